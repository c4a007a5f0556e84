"""The daemon as a service of its system: signals and its own log."""

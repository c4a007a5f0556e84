"""kevmond reads the macOS kernel's own events, decodes each one, and accounts for every loss."""

__version__ = "0.1.0"

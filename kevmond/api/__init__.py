"""The daemon's own API: HTTP on a private Unix socket, for the command line and local programs."""

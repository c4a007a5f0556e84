"""The one boundary with an operating system: event sockets, real or simulated."""

"""Channels to kernel controls: connecting, options, messages, and what keeps them connected."""

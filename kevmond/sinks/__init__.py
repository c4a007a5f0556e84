"""Where events go: one file a sink, and the one runner that drives them all."""

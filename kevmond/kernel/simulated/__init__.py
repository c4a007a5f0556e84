"""A kernel made of XNU's measured semantics, in this process or served to others."""

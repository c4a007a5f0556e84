"""The stories themselves: a function each, named as its story is."""

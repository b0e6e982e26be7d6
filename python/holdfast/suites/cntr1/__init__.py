"""The CNTR-1 suite: the life of a container."""

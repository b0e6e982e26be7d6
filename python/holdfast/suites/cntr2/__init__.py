"""The CNTR-2 suite: whom a container reaches, and who reaches it."""

"""The version of what is installed."""

from importlib.metadata import version

# What indexes call it, `name` in pyproject.toml; what is imported has a name of its own.
DISTRIBUTION = "holdfast"

__version__ = version(DISTRIBUTION)

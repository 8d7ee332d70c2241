"""The version of autofr."""

__version__ = "0.1.0"

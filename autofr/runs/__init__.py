"""The run directory: what a search writes, and everything that reads it again."""

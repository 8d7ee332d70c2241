"""The search: check, put together, loop, score, commit."""

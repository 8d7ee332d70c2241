"""The spaces that autofr ships: copy one into your own ``search_spaces/`` and extend it."""

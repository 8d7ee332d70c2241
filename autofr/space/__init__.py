"""Search spaces: dimensions, elastic networks, constraints, and where spaces are found."""

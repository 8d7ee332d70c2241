"""Files, arrays and images on disk, and the processes that decode them."""

"""``python -m autofr``."""

import sys

from autofr.cli import main

sys.exit(main())

"""The process that writes to MLflow, by itself."""

import os
import subprocess
import sys

import pytest

from tests.paths import REPOSITORY


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="no such priorities here")
def test_it_has_the_lowest_priority() -> None:
    """In a Python of its own: tests/eager keeps those that other tests start from it."""
    code = (
        "import os\nfrom autofr.tracking.follower import yield_to_training\nyield_to_training()\n"
        "print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)"
    )
    plain = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["19", "True"]

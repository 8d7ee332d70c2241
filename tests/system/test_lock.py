import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autofr import AutofrError, LockedError
from autofr.system.lock import is_locked, locked

FORK = """
import os, sys, time
from pathlib import Path
from autofr.system.lock import locked
with locked(Path(sys.argv[1]), "taken"):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(600)
"""

HOLD = """
import sys, time
from pathlib import Path
from autofr.system.lock import locked
with locked(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_holder_is_refused_and_a_crash_frees_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert is_locked(file)
    with pytest.raises(LockedError, match=r"^taken$"), locked(file, "taken"):
        pass
    holder.kill()
    holder.wait()
    assert file.exists()
    assert not is_locked(file)
    with locked(file, "taken"):
        pass


def test_it_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "taken"):
            raise ZeroDivisionError


def test_a_child_that_outlives_the_holder_does_not_hold_it(tmp_path: Path) -> None:
    """A worker that a source of a user's own forked, say."""
    holder = subprocess.Popen([sys.executable, "-c", FORK, tmp_path / "lock"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    with pytest.raises(AutofrError, match=r"^taken$"), locked(tmp_path / "lock", "taken"):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", "taken"):
        os.kill(child, signal.SIGKILL)


def test_two_threads_of_one_process(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", "taken"):
        with pytest.raises(AutofrError, match=r"^taken$"), locked(tmp_path / "lock", "taken"):
            pass
        with pytest.raises(AutofrError, match=r"^taken$"), locked(tmp_path / "lock", "taken", patience=0.2):
            pass

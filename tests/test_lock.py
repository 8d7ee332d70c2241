import subprocess
import sys
from pathlib import Path

import pytest

from autofr import AutofrError
from autofr.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from autofr.lock import locked
with locked(Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_holder_is_refused_and_a_crash_frees_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(AutofrError, match=r"^taken$"), locked(file, "taken"):
        pass
    holder.kill()
    holder.wait()
    assert file.exists()
    with locked(file, "taken"):
        pass


def test_it_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock", "taken"):
            raise ZeroDivisionError

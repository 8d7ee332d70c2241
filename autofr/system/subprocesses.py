"""Python processes that autofr starts: nothing in the working directory is taken for a module of theirs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_RUN = """
import sys
sys.path = [place for place in sys.path if place not in ("", ".")]
sys.argv = sys.argv[1:]
import runpy
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``module`` as ``python -m`` does, but for the working directory: that would come first on
    the path, so that a file of a stranger's there, ``queue.py`` say, would be executed."""
    return [sys.executable, "-c", _RUN, module, *arguments]


def environment(sharing: int = 1) -> dict[str, str]:
    """The environment for such a process: it finds this autofr, and what it starts itself keeps to the same.

    Args:
        sharing: how many such processes compute at the same time. They divide this one's threads unless the user said
            how many each has (``OMP_NUM_THREADS``): with as many as there are cores for each, they wait for each other.
    """
    package = str(Path(__file__).resolve().parents[2])
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(place for place in (package, *others) if place not in ("", "."))
    own = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}  # no rank itself
    found = own | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    if sharing > 1:
        import torch

        found.setdefault("OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // sharing)))
    return found

"""What processes that autofr starts are given."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import autofr
from autofr.system.subprocesses import environment


def test_processes_at_the_same_time_divide_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert "OMP_NUM_THREADS" not in environment()
    assert environment(sharing=3)["OMP_NUM_THREADS"] == "2"
    assert environment(sharing=20)["OMP_NUM_THREADS"] == "1"


def test_what_the_user_said_of_threads_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment(sharing=2)["OMP_NUM_THREADS"] == "5"


def test_it_is_this_autofr_that_they_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is not installed: no other one, and none of its parts under another name."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    first = environment()["PYTHONPATH"].split(":")[0]
    assert Path(first) == Path(autofr.__file__).resolve().parents[1]
    code = "import autofr; print(autofr.__file__)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout.strip() == autofr.__file__

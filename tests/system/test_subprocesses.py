"""What processes that autofr starts are given."""

import pytest
import torch

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

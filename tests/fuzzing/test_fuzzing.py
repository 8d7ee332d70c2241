"""A few hundred broken inputs for every parser; ``experiments/fuzz`` has a hundred thousand."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from autofr import AutofrError
from tests.fuzzing import TARGETS, Target, fuzz


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_broken_inputs_are_refused_clearly(name: str) -> None:
    found = fuzz(TARGETS[name](), 300)
    assert not found.failures, "\n".join(told for told, _ in found.failures.values())
    assert found.inputs == found.accepted + found.refused >= 300
    assert found.refused > 100 or name == "space"  # which tells what is broken, and raises nothing


@pytest.mark.slow
def test_the_same_seed_gives_the_same_inputs() -> None:
    seen: list[list[Any]] = [[], [], []]
    for run, seed in enumerate((3, 3, 4)):
        target = TARGETS["report"]()
        watched = Target(target.name, target.whole, target.broken, lambda folder, run=run: seen[run].append)  # type: ignore[misc]
        fuzz(watched, 100, seed)
    assert seen[0] == seen[1] != seen[2]


def _refuse(content: bytes) -> None:
    raise AutofrError("no")


def _refuse_in_two_lines(content: bytes) -> None:
    error = AutofrError("no")
    error.args = ("one\ntwo",)
    raise error


def _refuse_without_a_word(content: bytes) -> None:
    raise AutofrError("")


def _evaluate(content: bytes) -> None:
    eval("1 + 1")


def _start(content: bytes) -> None:
    subprocess.run(["true"], check=True)


def _start_a_shell(content: bytes) -> None:
    os.system("true")


def _dawdle(content: bytes) -> None:
    time.sleep(0.02)


@pytest.mark.parametrize(
    ("parse", "told"),
    [
        (_refuse, None),
        (_refuse_in_two_lines, "AutofrError at test_fuzzing.py"),
        (_refuse_without_a_word, "AutofrError at test_fuzzing.py"),
        (lambda content: {}[0], "KeyError at test_fuzzing.py"),
        (lambda content: 1 // 0, "ZeroDivisionError at test_fuzzing.py"),
        (_evaluate, "RuntimeError at feeding.py"),
        (_start, "RuntimeError at feeding.py"),
        (_start_a_shell, "RuntimeError at feeding.py"),
        (_dawdle, "slow"),
    ],
)
def test_what_is_a_failure(parse: Callable[[bytes], Any], told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if parse is _dawdle:
        monkeypatch.setattr("tests.fuzzing.feeding.SLOW", 0.01)

    def prepare(folder: Path) -> Callable[[bytes], Any]:
        return lambda content: None if content == b"whole" else parse(content)

    found = fuzz(Target("", b"whole", st.binary(min_size=1, max_size=4), prepare), 5)
    kinds = list(found.failures)
    assert (not kinds) if told is None else kinds[0].startswith(told)

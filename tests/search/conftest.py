"""What tests of whole searches share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file


def _journal(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "journal.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.fixture(scope="session")
def comparable() -> Callable[[Path], list[dict[str, Any]]]:
    """The journal of a run without what may differ: wall time."""
    return _journal


@pytest.fixture(scope="session")
def same_outcome() -> Callable[[Path, Path], bool]:
    """Whether two runs have the same journal and the same final weights, bit for bit."""

    def same(a: Path, b: Path) -> bool:
        one, two = (load_file(d / "model" / "model.safetensors") for d in (a, b))
        return _journal(a) == _journal(b) and all(torch.equal(one[name], two[name]) for name in one)

    return same

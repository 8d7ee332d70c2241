"""What is fuzzed: a parser, something that it accepts, and how that is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Parse = Callable[[Any], Any]


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: what it parses.
        whole: something that it accepts.
        broken: what it is handed.
        prepare: given an empty folder, what writes a content there and parses it.
        errors: besides ``AutofrError``, what it says that it raises.
    """

    name: str
    whole: Any
    broken: st.SearchStrategy[Any]
    prepare: Callable[[Path], Parse]
    errors: tuple[type[Exception], ...] = ()


def written(name: str, parse: Callable[[Path], Any], others: dict[str, bytes] | None = None) -> Callable[[Path], Parse]:
    """Write a content to a file called ``name``, beside ``others``, and parse that file."""

    def prepare(folder: Path) -> Parse:
        for other, content in (others or {}).items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(content)

        def run(content: bytes) -> Any:
            (folder / name).write_bytes(content)
            return parse(folder / name)

        return run

    return prepare


def as_json(value: Any) -> bytes:
    """``value`` as a JSON file has it."""
    return json.dumps(value).encode()

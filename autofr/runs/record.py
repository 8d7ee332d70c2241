"""One committed generation, and the line that it is in the journal."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from autofr.io.files import parse_json
from autofr.runs.pareto import Point
from autofr.space.space import Assignment


@dataclass(frozen=True)
class Record:
    """One committed generation. Lists are by member.

    Attributes:
        generation: from 0.
        epoch: epochs trained by the end of it.
        assignments: what each member drew, and ``drawn``, by name.
        keys: structural key of each member's weights.
        parents: member of the generation before whose weights each continued; ``None``: initial weights, or older.
        losses: mean training loss; ``None``: not finite.
        scores: ``sfr`` and ``mfr`` of each; ``before`` has those of the initial weights, in generation 0 only.
        rewards: higher is better; ``None``: diverged or failed, and ``troubles`` says how (``None``: all well).
        winner: the member whose weights the others of its key continue.
        alone: ``sfr``, ``mfr`` and ``reward`` of the winner after it went on alone; ``None``: all trained the whole
            generation.
        trained: epochs trained, of all members together.
        alpha: probabilities after the generation, by dimension.
        policy: the policy's state.
        lr_scale: factor on the learning rate, 1 or (after a rollback) 0.5.
        seconds: wall time, and ``finished``, when it ended (Unix time).
        checkpoint, sha256: file of the weight bank, and its hash.
    """

    generation: int
    epoch: float
    assignments: list[Assignment]
    keys: list[str]
    parents: list[int | None]
    losses: list[float | None]
    scores: list[dict[str, float | None]]
    rewards: list[float | None]
    winner: int
    alpha: dict[str, list[float]]
    policy: dict[str, Any]
    lr_scale: float
    seconds: float
    drawn: list[dict[str, str]]
    troubles: list[str | None]
    finished: float
    networks: list[str]
    trained: float
    before: dict[str, float | None] | None = None
    costs: list[float] = field(default_factory=list)
    alone: dict[str, float | None] | None = None
    checkpoint: str = ""
    sha256: str = ""

    @property
    def achieved(self) -> dict[str, float | None]:
        """``sfr``, ``mfr`` and ``reward`` of the weights that the generation leaves: the winner's."""
        return self.alone or {**self.scores[self.winner], "reward": self.rewards[self.winner]}

    @property
    def reward(self) -> float:
        """The winner's, at the end of the generation."""
        reward = self.achieved["reward"]
        return -math.inf if reward is None else reward

    @property
    def network(self) -> str:
        """The winner's backbone."""
        return self.networks[self.winner]

    @property
    def points(self) -> list[Point]:
        """The members as candidates of the Pareto set, without their weights; none, where networks are not searched."""
        return [
            Point(self.networks[m], -reward, cost, self.generation, m)
            for m, (cost, reward) in enumerate(zip(self.costs, self.rewards, strict=False))
            if reward is not None
        ]

    def to_line(self) -> bytes:
        """The record as JSON in one line, with a checksum of the rest as its last value."""
        text = json.dumps(asdict(self), allow_nan=False)
        return f'{text[:-1]}, "crc32": {zlib.crc32(text.encode())}}}\n'.encode()

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """What :meth:`to_line` wrote, if every value is what it should be.

        Raises:
            ValueError: it is not; a bit flipped, or somebody else wrote it.
        """
        values = parse_json(line)
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        if values.pop("crc32", None) != zlib.crc32(json.dumps(values).encode()):
            raise ValueError("its checksum does not fit")
        missing = [f.name for f in fields(cls) if f.name not in values]
        strange = sorted(values.keys() - {f.name for f in fields(cls)})
        if missing or strange:
            raise ValueError(f"it lacks {', '.join(missing)}" if missing else f"it has {', '.join(strange)[:80]}")
        for name, check in _CHECKS.items():
            if not check(values[name]):
                raise ValueError(f"its {name} is {str(values[name])[:40]}")
        record = cls(**values)
        record._check_lengths()
        return record

    def _check_lengths(self) -> None:
        members = len(self.assignments)
        for name in ("keys", "networks", "parents", "losses", "scores", "rewards", "drawn", "troubles"):
            if len(getattr(self, name)) != members:
                raise ValueError(f"it has {members} assignments, but {len(getattr(self, name))} {name}")
        if len(self.costs) not in (0, members):
            raise ValueError(f"it has {members} assignments, but {len(self.costs)} costs")
        if not 0 <= self.winner < members or self.rewards[self.winner] is None:
            raise ValueError(f"its winner is {self.winner}")
        if any(self.alpha.keys() != assignment.keys() for assignment in self.assignments):
            raise ValueError("its assignments and alpha have other dimensions")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _maybe(check: Any) -> Any:
    return lambda value: value is None or check(value)


def _list(check: Any) -> Any:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _dict(check: Any) -> Any:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _text(value: Any) -> bool:
    return isinstance(value, str)


_SCORES = _dict(_maybe(_number))
_CHECKS: Mapping[str, Any] = {
    "generation": _count,
    "epoch": _number,
    "assignments": _list(_dict(_number)),
    "keys": _list(_text),
    "parents": _list(_maybe(_count)),
    "losses": _list(_maybe(_number)),
    "scores": _list(lambda value: _SCORES(value) and {"sfr", "mfr"} <= value.keys()),
    "rewards": _list(_maybe(_number)),
    "winner": _count,
    "alpha": _dict(_list(_number)),
    "policy": lambda value: isinstance(value, dict),
    "lr_scale": _number,
    "seconds": _number,
    "before": _maybe(_SCORES),
    "alone": _maybe(lambda value: _SCORES(value) and value.keys() == {"sfr", "mfr", "reward"}),
    "trained": _number,
    "drawn": _list(_dict(_text)),
    "troubles": _list(_maybe(_text)),
    "finished": _number,
    "networks": _list(_text),
    "costs": _list(lambda value: _number(value) and value > 0),
    # A plain name: what a journal names is read, and it must not name another folder's.
    "checkpoint": lambda value: _text(value) and re.fullmatch(r"gen-\d{4,12}\.safetensors", value) is not None,
    "sha256": lambda value: _text(value) and re.fullmatch(r"[0-9a-f]{64}", value) is not None,
}

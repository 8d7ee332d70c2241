"""What a search found, read from its run directory."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import numpy as np
import numpy.typing as npt

from autofr.exceptions import AutofrError, DamagedFileError, RunFormatError
from autofr.io.files import read_json
from autofr.runs.journal import Journal
from autofr.runs.pareto import PRICES, ParetoSet, Point, Trade
from autofr.runs.record import Record

FORMAT = 1
"""Of a run directory's files. A run of another format is refused: raise it when they change."""
ENDED = "ended.json"
"""How a search ended that did not end well: its ``status``, ``KILLED`` or ``FAILED``."""


@dataclass(frozen=True)
class SearchResult:
    """A search, finished or under way.

    Args:
        run_dir: its directory.

    Attributes:
        run_dir: its directory.

    Raises:
        AutofrError: on reading, where ``run_dir`` holds no search.
    """

    run_dir: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_dir", Path(self.run_dir))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run's resolved configuration."""
        return read_config(self.run_dir)

    @cached_property
    def records(self) -> list[Record]:
        """The committed generations, oldest first."""
        columns = {dim: len(names) for dim, names in self.config["space"]["options"].items()}
        records = Journal(self.run_dir).sound().records
        for record in records:
            if {dim: len(p) for dim, p in record.alpha.items()} != columns:
                raise AutofrError(f"{self.run_dir}: journal and configuration are of different searches")
        return records

    @property
    def options(self) -> list[tuple[str, str]]:
        """The columns of :attr:`alpha`: dimension and option."""
        return [(dim, name) for dim, names in self.config["space"]["options"].items() for name in names]

    @property
    def alpha(self) -> npt.NDArray[np.float64]:
        """α after each generation: (generations, options), columns as :attr:`options`. Each dimension sums to 1."""
        rows = [[p for dim in self.config["space"]["options"] for p in r.alpha[dim]] for r in self.records]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.options))

    @property
    def pareto(self) -> list[Point]:
        """The networks that nothing beats in both error and cost, from the cheapest to the dearest, without their
        weights (those are in :attr:`run_dir` / ``pareto``); empty, where networks were not searched."""
        return ParetoSet([point for record in self.records for point in record.points]).points

    @property
    def best(self) -> dict[str, str]:
        """The search's answer: for every dimension the option with the highest α (of equals, the first); of a range,
        the middle of the interval with the highest."""
        space = self.config["space"]
        names = space["options"] | space["middles"]
        return {dim: names[dim][k] for dim, k in self.leading.items()}

    @property
    def leading(self) -> dict[str, int]:
        """The place in α that is highest, for every dimension (of equals, the first); of the architecture's, where it
        has budgets, the places of the allowed one with the highest product."""
        alpha, space = self.records[-1].alpha, self.config["space"]
        leading = {dim: int(np.argmax(p)) for dim, p in alpha.items()}
        if "allowed" in space:
            dims = [dim for dim in space["options"] if dim != "loss"]
            best = max(space["allowed"], key=lambda a: math.prod(alpha[d][k] for d, k in zip(dims, a, strict=True)))
            leading |= dict(zip(dims, best, strict=True))
        return leading

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """One row a member and generation: what it drew, whose weights it continued, how it scored, who won."""
        return [
            {
                "generation": r.generation,
                "member": m,
                "parent": r.parents[m],
                **r.drawn[m],
                **({"cost": r.costs[m]} if r.costs else {}),
                "reward": r.rewards[m],
                **r.scores[m],
                "loss_value": r.losses[m],
                "trouble": r.troubles[m],
                **({"reward_alone": r.alone["reward"] if m == r.winner else None} if r.alone else {}),
                "winner": m == r.winner,
            }
            for r in self.records
            for m in range(len(r.assignments))
        ]

    @property
    def scores(self) -> tuple[dict[str, float | None], dict[str, float | None]]:
        """``sfr`` and ``mfr`` on the validation identities, of the initial weights and of :attr:`checkpoint`."""
        record, member = self.chosen
        after = record.achieved if member == record.winner else record.scores[member]
        return self.records[0].before or {}, {key: after[key] for key in ("sfr", "mfr")}

    @property
    def chosen(self) -> tuple[Record, int]:
        """The generation and the member of :attr:`checkpoint`: the best, unless its own checkpoint was damaged; where
        networks were searched, the preferred one of the Pareto set; of a search that goes on, the best so far."""
        path = self.checkpoint / "config.json"
        model = read_json(path) if path.is_file() else None
        said: dict[str, Any] = model if isinstance(model, dict) else {}
        generation, member = said.get("generation"), said.get("member")
        if "trade" in self.config and generation is None:
            point = ParetoSet(self.pareto).pick(Trade(**self.config["trade"]))
            generation, member = point.generation, point.member
        if isinstance(generation, int) and 0 <= generation < len(self.records):
            record = self.records[generation]
            return record, member if isinstance(member, int) and 0 <= member < len(record.scores) else record.winner
        best = Journal(self.run_dir).best()
        return best, best.winner

    @property
    def trainings(self) -> float:
        """Images trained so far by all members, as a multiple of one training of as many epochs."""
        return sum(record.trained for record in self.records) / self.records[-1].epoch

    @property
    def checkpoint(self) -> Path:
        """Folder of the best network: ``model.safetensors`` and ``config.json``."""
        return self.run_dir / "model"

    def report(self) -> dict[str, Any]:
        """What ``report.json`` holds."""
        before, after = self.scores
        names = [f"{dim}={name}" for dim, name in self.options]
        return {
            "best": self.best,
            "alpha": dict(zip(names, self.alpha[-1].tolist(), strict=True)),
            "before": before,
            "after": after,
            "generations": len(self.records),
            "epochs": self.records[-1].epoch,
            "trainings": self.trainings,
            "seconds": sum(r.seconds for r in self.records),
            "checkpoint": str(self.checkpoint),
            **({"pareto": [point.said() for point in self.pareto]} if self.pareto else {}),
            "lineage": self.lineage,
            "config": self.config,
        }


def read_config(run_dir: Path) -> dict[str, Any]:
    """The resolved configuration of the run in ``run_dir``.

    Raises:
        RunFormatError: another version of autofr wrote it.
        AutofrError: there is none, or it is damaged.
    """
    path = run_dir / "config.json"
    if (run_dir / "study.json").is_file():
        raise AutofrError(f"{run_dir} is a study; its trials are the run directories, {run_dir / 'trial-0000'} and on")
    if not path.is_file():
        raise AutofrError(f"{run_dir} is no run directory: it has no config.json")
    loaded = read_json(path)
    if isinstance(loaded, dict) and "recipe" in loaded:  # else it is no configuration at all
        check_format(loaded, run_dir)
    if not _is_config(loaded):
        raise DamagedFileError(
            f"{path} is no configuration of a run; give the run directory itself, or restore the file"
        )
    return dict(loaded)


def _format_of(stored: Mapping[str, Any]) -> str:
    return f"its format is {stored['format']}" if "format" in stored else "it has no format number"


def check_format(stored: Mapping[str, Any], folder: Path) -> None:
    """Check that the files of a run or a study in ``folder``, of which ``stored`` is one, are of this version's format.

    Raises:
        RunFormatError: another version of autofr wrote them.
    """
    if stored.get("format") != FORMAT:
        raise RunFormatError(
            f"{folder} was written by another version of autofr: {_format_of(stored)}, this one reads "
            f"{FORMAT}; use that version, or start anew"
        )


def _is_config(loaded: Any) -> bool:
    """Whether all is there that is read from a configuration, and of its kind."""

    def has(values: Any, **kinds: type | UnionType) -> bool:
        return isinstance(values, dict) and all(
            k in values and isinstance(values[k], kind) for k, kind in kinds.items()
        )

    text, count = str | NoneType, int
    return (
        has(loaded, space=dict, data=dict, recipe=dict, policy=str, population=count, seed=count, device=str)
        and 1 <= loaded["population"] <= 10_000
        and has(loaded["space"], options=dict, name=text)
        and all(
            isinstance(names, list) and all(isinstance(name, str) for name in names) and names
            for names in loaded["space"]["options"].values()
        )
        and has(loaded["space"], ranges=dict, middles=dict)
        and loaded["space"]["ranges"].keys() == loaded["space"]["middles"].keys() <= loaded["space"]["options"].keys()
        and all(_is_interval(ends) for ends in loaded["space"]["ranges"].values())
        and all(_are_middles(names, loaded["space"]["options"][d]) for d, names in loaded["space"]["middles"].items())
        and _is_architecture(loaded["space"], loaded.get("trade"))
        and has(loaded["data"], source=text, landmarks=text, images=count, identities=count, fingerprint=str)
        and has(loaded["recipe"], image_size=count, embedding_dim=count, fmr=int | float)
        and isinstance(loaded["data"].get("validation_identities", ""), int | NoneType)
        and isinstance(loaded["data"].get("landmark_scheme"), text)
        and has(loaded, run=dict)
        and has(loaded["run"], id=str, started=int | float)
        and re.fullmatch("[0-9a-f]{32}", loaded["run"]["id"]) is not None
        and abs(loaded["run"]["started"]) < 1e12
    )


def _is_interval(ends: Any) -> bool:
    return isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)


def _are_middles(names: Any, options: list[str]) -> bool:
    return isinstance(names, list) and len(names) == len(options) and all(isinstance(name, str) for name in names)


def _is_architecture(space: dict[str, Any], trade: Any) -> bool:
    """Whether what a configuration says of searched networks is of its kind, if it says anything."""
    sizes = [len(names) for dim, names in space["options"].items() if dim != "loss"]
    allowed = space.get("allowed", [[0] * len(sizes)])
    if not isinstance(allowed, list) or not allowed:
        return False
    if trade is not None and not (isinstance(trade, dict) and trade.keys() == {"cost", "prefer"}):
        return False
    return (
        all(isinstance(row, list) and len(row) == len(sizes) for row in allowed)
        and all(type(k) is int and 0 <= k < n for row in allowed for k, n in zip(row, sizes, strict=True))
        and isinstance(space.get("constraints", []), list)
        and isinstance(space.get("family", ""), str)
        and (trade is None or (isinstance(trade["cost"], str) and trade["prefer"] in (*PRICES,)))
    )


def flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    out: dict[str, Any] = {}
    for key, value in nested.items():
        out |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out

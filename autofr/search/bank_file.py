"""The weight bank as a file: a checkpoint of a search."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from autofr.exceptions import AutofrError
from autofr.files import parse_json, write_tensors
from autofr.search.bank import Entry, WeightBank
from autofr.search.pareto import ParetoSet, Point

_PARETO, _BEST = "pareto ", "best "
"""What a key begins with that is the place of a point of the Pareto set, or of a key's best network."""


def save_bank(path: Path, bank: WeightBank) -> None:
    """Write a bank as one safetensors file: tensors named ``KEY|NAME``, origins and the Pareto set in the header.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {f"{key}|{name}": t for key, entry in bank.entries.items() for name, t in entry.state.items()}
    origins = {key: [entry.generation, entry.member] for key, entry in bank.entries.items()}
    points = bank.pareto.points
    tensors |= {f"{_PARETO}{i}|{name}": t for i, point in enumerate(points) for name, t in point.tensors.items()}
    tensors |= {f"{_BEST}{key}|{name}": t for key, e in bank.entries.items() for name, t in (e.best or {}).items()}
    header = {"origins": origins, "pareto": [point.said() for point in points]}
    # One value: safetensors writes several in an order of chance, and the same bank has to be the same bytes.
    write_tensors(path, tensors, {"bank": json.dumps(header)})


def load_bank(path: Path) -> WeightBank:
    """Read a bank that :func:`save_bank` wrote.

    Raises:
        AutofrError: it is no such file.
    """
    bank = WeightBank()
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            # An older version's header has the origins alone.
            header = parse_json((about["bank"] if "bank" in about else f'{{"origins": {about["origins"]}}}').encode())
            for key, (generation, member) in header["origins"].items():
                if type(generation) is not int or type(member) is not int:
                    raise ValueError(f"the origin of {key} is no generation and member")
                bank.entries[key] = Entry({}, generation, member)
            points = [_point(row) for row in header.get("pareto", [])]
            for full_name in list(file.keys()):
                key, name = full_name.rsplit("|", 1)
                if key.startswith(_PARETO):
                    held = points[int(key.removeprefix(_PARETO))].tensors
                elif key.startswith(_BEST):
                    entry = bank.entries[key.removeprefix(_BEST)]
                    held = entry.best = entry.best or {}
                else:
                    held = bank.entries[key].state
                held[name] = torch.as_tensor(file.get_tensor(full_name))
            bank.pareto = ParetoSet(points)
    except Exception as error:  # safetensors has errors of its own
        raise AutofrError(f"{path} is no checkpoint of a search: {error}") from error
    return bank


def _point(row: Any) -> Point:
    """A point of the Pareto set from the header, without its tensors.

    Raises:
        ValueError: it is none.
    """
    kinds = {"backbone": str, "error": float, "cost": float, "generation": int, "member": int}
    if not (isinstance(row, dict) and row.keys() == kinds.keys()):
        raise ValueError("a point of its Pareto set has other parts")
    if not all(type(row[name]) is kind for name, kind in kinds.items()) or not 0 < row["cost"] < math.inf:
        raise ValueError(f"a point of its Pareto set is {str(row)[:80]}")
    return Point(**row, tensors={})

"""The weight bank as a file: a checkpoint of a search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from autofr.compute.mesh import ALONE, Mesh
from autofr.exceptions import DamagedFileError
from autofr.io.files import parse_json, sha256, write_durably, write_tensors
from autofr.runs.bank import Entry, WeightBank
from autofr.runs.pareto import ParetoSet, Point

MAX_SHARDS = 2**16
_PARETO, _BEST = "pareto ", "best "
"""What a key begins with that is the place of a point of the Pareto set, or of a key's best network."""


def save_bank(path: Path, bank: WeightBank, shards: Sequence[str] = ()) -> None:
    """Write a bank as one safetensors file: tensors named ``KEY|NAME``, origins and the Pareto set in the header.

    Args:
        path: the file.
        bank: what to write.
        shards: hashes of the files that hold the class centres, where :func:`save_shards` wrote some.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {f"{key}|{name}": t for key, entry in bank.entries.items() for name, t in entry.state.items()}
    if shards:
        tensors = {name: t for name, t in tensors.items() if not _shared(name)}
    origins = {key: [entry.generation, entry.member] for key, entry in bank.entries.items()}
    points = bank.pareto.points
    tensors |= {f"{_PARETO}{i}|{name}": t for i, point in enumerate(points) for name, t in point.tensors.items()}
    tensors |= {f"{_BEST}{key}|{name}": t for key, e in bank.entries.items() for name, t in (e.best or {}).items()}
    header = {"origins": origins, "pareto": [point.said() for point in points], "shards": [*shards]}
    # One value: safetensors writes several in an order of chance, and the same bank has to be the same bytes.
    write_tensors(path, tensors, {"bank": json.dumps(header)})


def save_shards(path: Path, bank: WeightBank, mesh: Mesh) -> list[str]:
    """Where ranks share the class centres, write each one's of a bank, and their momentum, beside ``path``.

    Returns:
        Hashes of the files, by data rank, on every rank; none where centres are whole.

    Raises:
        OSError: one cannot be written.
    """
    if mesh.data == 1:
        return []
    digest = ""
    if mesh.group == 0:
        file = _shard(path, mesh.part, mesh.data)
        tensors = {f"{key}|{name}": t for key, entry in bank.entries.items() for name, t in entry.state.items()}
        own = {name: t for name, t in tensors.items() if _shared(name)}
        write_durably(file, lambda temporary: write_tensors(temporary, own))
        digest = sha256(file)
    return mesh.of_partners(digest)


def shards_are_whole(path: Path) -> bool:
    """Whether the class centres that belong to a bank's (whole) file are there, and what was written.

    Raises:
        DamagedFileError: it is no such file.
    """
    with _opened(path) as file:
        hashes = _header(path, file).get("shards", [])
    files = [_shard(path, part, len(hashes)) for part in range(len(hashes))]
    return all(file.is_file() and sha256(file) == digest for file, digest in zip(files, hashes, strict=True))


def load_bank(path: Path, mesh: Mesh = ALONE) -> WeightBank:
    """Read a bank that :func:`save_bank` wrote, on however many ranks.

    Args:
        path: the file.
        mesh: whose data ranks share the class centres: each reads its own.

    Raises:
        DamagedFileError: it is no such file.
    """
    bank = WeightBank()
    with ExitStack() as opened:
        file = opened.enter_context(_opened(path))
        header = _header(path, file)
        try:
            for key, (generation, member) in header["origins"].items():
                if type(generation) is not int or type(member) is not int:
                    raise ValueError(f"the origin of {key} is no generation and member")
                bank.entries[key] = Entry({}, generation, member)
            points = [_point(row) for row in header.get("pareto", [])]
            count = len(header.get("shards", []))
            shards = [opened.enter_context(_opened(_shard(path, part, count))) for part in range(count)]
            for full_name in [*file.keys(), *(shards[0].keys() if shards else ())]:
                key, name = full_name.rsplit("|", 1)
                if _shared(full_name):
                    bank.entries[key].state[name] = _rows(shards or [file], full_name, mesh)
                    continue
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
            raise DamagedFileError(f"{path} is no checkpoint of a search: {error}") from error
    return bank


def _shared(full_name: str) -> bool:
    """Whether the tensor of that name has a row a class, which data ranks share out."""
    key, name = full_name.rsplit("|", 1)
    return not key.startswith((_PARETO, _BEST)) and name.removeprefix("momentum.").split(".")[0] == "centres"


def _shard(path: Path, part: int, count: int) -> Path:
    return path.with_name(f"{path.stem}.shard-{part}-of-{count}.safetensors")


def _rows(files: Sequence[Any], name: str, mesh: Mesh) -> Tensor:
    """This rank's rows of a tensor whose rows are, in order, in ``files``."""
    slices = [file.get_slice(name) for file in files]
    counts = [part.get_shape()[0] for part in slices]
    own = mesh.own(sum(counts))
    found, before = [], 0
    for part, count in zip(slices, counts, strict=True):
        first, last = max(own.start - before, 0), min(own.stop - before, count)
        if first < last:
            found.append(part[first:last])
        before += count
    return torch.cat(found)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = safe_open(path, framework="pt")
    except Exception as error:
        raise DamagedFileError(f"{path} is no checkpoint of a search: {error}") from error
    with file:
        yield file


def _header(path: Path, file: Any) -> dict[str, Any]:
    try:
        about = file.metadata()
        header = parse_json(about["bank"].encode())
        shards = header.get("shards", [])
        if not (isinstance(shards, list) and len(shards) <= MAX_SHARDS and all(isinstance(s, str) for s in shards)):
            raise ValueError("its list of shards is none")
        return dict(header)
    except Exception as error:
        raise DamagedFileError(f"{path} is no checkpoint of a search: {error}") from error


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

"""Attributes of images, a CSV file with a row an image, and what the challenge's tracks by attributes share."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autofr.data.missing import tolerated
from autofr.evaluation.protocols.base import Embedded, Protocol, Row, all_pairs_row, rendered_row
from autofr.exceptions import AutofrError
from autofr.io.files import sha256

YES, NO = {"1", "true", "yes"}, {"0", "false", "no"}


class Track(Protocol):
    """Images told apart by attributes, among them ``masked`` where masks are really worn; else they are rendered.

    Args:
        attributes: the CSV file.
        columns: those that it must have.
    """

    def __init__(self, attributes: str | Path | None, *columns: str) -> None:
        if attributes is None:
            wanted = f"name, {', '.join(columns)} and masked"
            raise AutofrError(f"protocol {self.name} needs --attributes, a CSV with the columns {wanted}")
        self._path, self._columns = Path(attributes), columns

    def about(self) -> dict[str, Any]:
        """See :class:`Protocol`."""
        return {"worn": self._worn, "attributes": sha256(self._path)[:16]}

    @property
    def renders(self) -> bool:
        """See :class:`Protocol`."""
        return not self._worn

    def notes(self) -> list[str]:
        """See :class:`Protocol`."""
        return self._notes

    def _read(self, names: Sequence[str]) -> list[dict[str, str]]:
        """The rows; from then on it is known who wears a mask."""
        rows, self._notes = read_attributes(self._path, names, self._columns)
        self._worn = any("masked" in row for row in rows)
        self._wears = torch.tensor([bool(row) and self._worn and yes(row, "masked") for row in rows])
        return rows

    def _masked_rows(self, name: str, embedded: Embedded, members: Tensor, fmrs: Sequence[float]) -> list[Row]:
        """Masked against bare images of some members, (N,) bool; no row where no mask is worn or rendered."""
        bare = (members & ~self._wears).nonzero()[:, 0]
        if self._worn:
            return [all_pairs_row(name, embedded, bare, (members & self._wears).nonzero()[:, 0], fmrs)]
        return [] if embedded.masked is None else [rendered_row(name, embedded, bare, fmrs)]


def read_attributes(path: Path, names: Sequence[str], columns: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a CSV file with a header, in the order of ``names``.

    Args:
        path: the file; its column ``name`` has the images' paths below the folder, with or without suffix.
        names: of the images.
        columns: those that it must have.

    Returns:
        A dictionary an image (empty where the file has no row for it), and notes.

    Raises:
        AutofrError: no such file, no such column, a row twice, or over 1 % of the images without a row.
    """
    if not path.is_file():
        raise AutofrError(
            f"no attributes file {path}; --attributes takes a CSV with the columns name, {', '.join(columns)}"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [h.strip() for h in reader.fieldnames or []]
            reader.fieldnames = header
            rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise AutofrError(f"attributes file {path} is no CSV text: {error}") from error
    lacking = [c for c in ("name", *columns) if c not in header]
    if lacking:
        raise AutofrError(f"attributes file {path} lacks the column {lacking[0]}; it has {', '.join(header) or 'none'}")
    by_name: dict[str, dict[str, str]] = {}
    for row in rows:
        key = _stem(row["name"])
        if key in by_name:
            raise AutofrError(f"attributes file {path} names {row['name']} twice")
        by_name[key] = row
    found = [by_name.get(_stem(name), {}) for name in names]
    without = [name for name, row in zip(names, found, strict=True) if not row]
    notes = tolerated(without, len(names), f"images have no row in {path}")
    unused = by_name.keys() - set(map(_stem, names))
    if unused:
        notes.append(
            f"{len(unused)} rows of {path.name} name no image here ({', '.join(sorted(unused)[:3])}): not used"
        )
    return found, notes


def yes(row: dict[str, str], column: str) -> bool:
    """Whether a row says yes.

    Raises:
        AutofrError: it says neither yes nor no.
    """
    value = row.get(column, "").lower()
    if value not in YES | NO:
        raise AutofrError(f"attribute {column} of {row.get('name')} is '{value}', neither 1 nor 0")
    return value in YES


def _stem(name: str) -> str:
    head, dot, suffix = name.rpartition(".")
    return head if dot and "/" not in suffix else name

"""Attributes of images: a CSV file with a row an image."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from autofr.data.missing import tolerated
from autofr.exceptions import AutofrError

YES, NO = {"1", "true", "yes"}, {"0", "false", "no"}


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

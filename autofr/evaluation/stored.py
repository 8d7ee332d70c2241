"""Embeddings that were computed elsewhere: a ``.npy`` array, and a label a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.exceptions import AutofrError
from autofr.io.npy import npy_of, texts


def read_embeddings(path: Path) -> Tensor:
    """(N, D) float32 of a ``.npy`` file. Pickled arrays are refused.

    Raises:
        AutofrError: no such file, or no array of numbers (N, D).
    """
    array = _array(path, "embeddings")
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise AutofrError(f"embeddings {path} are {array.dtype} of shape {array.shape}; expected numbers (N, D)")
    return torch.from_numpy(array.astype(np.float32))


def read_labels(path: Path) -> tuple[list[str], Tensor]:
    """Names of the rows, and their identities, (N,) int64 from 0.

    Args:
        path: a ``.npy`` file of strings or whole numbers, or a text of a label a line. In ``IDENTITY/IMAGE`` the
            identity stands before the last ``/``.

    Raises:
        AutofrError: no such file, or another content.
    """
    lines = _labels(path)
    names = [line if "/" in line else f"{line}/{place:06d}" for place, line in enumerate(lines)]
    return names, identities_of(names)


def identities_of(names: Sequence[str]) -> Tensor:
    """The identity of each ``IDENTITY/IMAGE``, (N,) int64 from 0, in the order of their names."""
    owners = [name.rsplit("/", 1)[0] for name in names]
    number = {owner: place for place, owner in enumerate(sorted(set(owners)))}
    return torch.tensor([number[owner] for owner in owners])


def _labels(path: Path) -> list[str]:
    if path.suffix == ".npy":
        array = _array(path, "labels")
        if array.ndim != 1 or array.dtype.kind not in "iuU" or not array.size:
            raise AutofrError(
                f"labels {path} are {array.dtype} of shape {array.shape}; expected whole numbers or strings"
            )
        try:
            return texts(array)
        except ValueError as error:
            raise AutofrError(f"labels {path} cannot be read: {error}") from error
    if not path.is_file():
        raise AutofrError(f"no labels file {path}")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise AutofrError(f"labels {path} are neither .npy nor text: {error}") from error
    if not lines:
        raise AutofrError(f"labels file {path} is empty")
    return lines


def check_vectors(vectors: Tensor, names: Sequence[str], what: str) -> None:
    """Nothing, if every row can be compared.

    Raises:
        AutofrError: rows with NaN or infinite values, or all zero; the message counts and names them.
    """
    for bad, told in (
        (~vectors.isfinite().all(1), "not finite"),
        (vectors.abs().amax(1) == 0, "of length zero"),
    ):
        if bool(bad.any()):
            places = bad.nonzero()[:, 0].tolist()
            listed = ", ".join(names[place] for place in places[:5]) + (", ..." if len(places) > 5 else "")
            raise AutofrError(f"{len(places)} of {len(vectors)} embeddings of {what} are {told} ({listed})")


def _array(path: Path, what: str) -> npt.NDArray[Any]:
    if not path.is_file():
        raise AutofrError(f"no {what} file {path}")
    try:
        return npy_of(path)
    except ValueError as error:
        raise AutofrError(f"{what} {path} cannot be read: {error}; expected a .npy of plain numbers") from error

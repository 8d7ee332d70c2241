"""Pair protocols: LFW's 10 folds, and MFR2's single list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autofr.data.missing import tolerated
from autofr.evaluation.comparisons import Comparisons, ListedPairs
from autofr.evaluation.protocols.base import Embedded, Protocol, Row, usual_fmrs
from autofr.exceptions import AutofrError
from autofr.io.files import sha256

FOLDS = 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of images to compare.

    Attributes:
        first, second: (P,) int64 indices of the images.
        same: (P,) bool, whether the pair is genuine.
        fold: (P,) int64, 0 to 9.
        notes: what was skipped.
    """

    first: Tensor
    second: Tensor
    same: Tensor
    fold: Tensor
    notes: tuple[str, ...] = ()


class PairList(Protocol):
    """The pairs of a list: errors over all of them, and the accuracy of ten folds.

    Args:
        pairs: the list (:func:`read_pairs`).
    """

    name = "pairs"

    def __init__(self, pairs: str | Path | None = None) -> None:
        if pairs is None:
            raise AutofrError("protocol pairs needs a list of them: --pairs pairs.txt")
        self._path = Path(pairs)

    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """See :class:`Protocol`."""
        self._pairs = read_pairs(self._path, names)

    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """See :class:`Protocol`."""
        return pair_rows(self._pairs, embedded, fmrs, embedded.labels)

    def about(self) -> dict[str, Any]:
        """See :class:`Protocol`."""
        return {"pairs": sha256(self._path)[:16]}

    def notes(self) -> list[str]:
        """See :class:`Protocol`."""
        return list(self._pairs.notes)


def pair_rows(pairs: Pairs, embedded: Embedded, fmrs: Sequence[float] | None, identities: Tensor | None) -> list[Row]:
    """Standard and masked rows of listed pairs.

    Args:
        pairs: indices into ``embedded``.
        embedded: the images.
        fmrs: target false match rates; ``None``: the usual ones.
        identities: of the images, if they are known.
    """
    wanted = usual_fmrs(int((~pairs.same).sum())) if fmrs is None else fmrs
    rows = []
    for name, *sides in embedded.kinds():
        first, second = (embedded.unit(masked) for masked in sides)
        scores = (first[pairs.first] * second[pairs.second]).sum(1).cpu()
        make: Callable[[], Comparisons] = partial(
            ListedPairs, scores, pairs.same, pairs.first, pairs.second, identities
        )
        accuracy = partial(_accuracy, scores, pairs)
        rows.append(Row(name, make, wanted, identities, masked=(sides[0], sides[1]), more=accuracy))
    return rows


def _accuracy(scores: Tensor, pairs: Pairs) -> dict[str, float]:
    accuracies = fold_accuracies(scores, pairs)
    return {"accuracy": float(accuracies.mean()), "accuracy_std": float(accuracies.std(ddof=1))}


def read_pairs(path: Path, names: Sequence[str]) -> Pairs:
    """Read an LFW-style list: ``NAME I J`` for a genuine pair, ``NAME I OTHER J`` for an impostor pair.

    With LFW's header (``10 300``) the folds are the file's: 300 genuine then 300 impostor pairs each. Without one
    (MFR2) genuine and impostor pairs are dealt to ten folds in turn, so that each fold has its share of both.

    Args:
        path: the list.
        names: image names, ``NAME/NAME_0001.jpg``.

    Raises:
        AutofrError: no such file, a line of another form, too few pairs, or over 1 % name a missing image.
    """
    if not path.is_file():
        raise AutofrError(f"no pairs file {path}; --pairs takes a list like LFW's pairs.txt")
    if not path.stat().st_size:
        raise AutofrError(f"pairs file {path} is empty")
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise AutofrError(f"pairs file {path} is not text: {error}") from error
    header = rows[0] if rows and len(rows[0]) <= 2 else None
    rows = rows[1:] if header else rows
    where = {name.rsplit(".", 1)[0]: index for index, name in enumerate(names)}
    first, second, same, missing = [], [], [], []
    kept = []
    for number, row in enumerate(rows):
        if len(row) not in (3, 4) or not _number(row[1]) or not _number(row[-1]):
            raise AutofrError(f"pairs file {path}: '{' '.join(row)}' is neither 'NAME I J' nor 'NAME I OTHER J'")
        keys = [f"{n}/{n}_{int(i):04d}" for n, i in ((row[0], row[1]), (row[-2] if len(row) == 4 else row[0], row[-1]))]
        if keys[0] == keys[1] or (len(row) == 4 and row[0] == row[2]):
            wrong = (
                "compares an image with itself" if keys[0] == keys[1] else "calls one person's images an impostor pair"
            )
            raise AutofrError(f"pairs file {path}: '{' '.join(row)}' {wrong}")
        absent = [key for key in keys if key not in where]
        if absent:
            missing.append(absent[0])
            continue
        kept.append(number)
        first.append(where[keys[0]])
        second.append(where[keys[1]])
        same.append(len(row) == 3)
    remedy = "is --data the folder of this list?"
    notes = tuple(tolerated(missing, len(rows), "pairs name a missing image", remedy))
    genuine = torch.tensor(same, dtype=torch.bool)
    if int(genuine.sum()) < FOLDS or int((~genuine).sum()) < FOLDS:
        raise AutofrError(f"pairs file {path} has too few pairs: {FOLDS} genuine and {FOLDS} impostor at the least")
    fold = _file_folds(path, header, kept) if header else _dealt_folds(genuine)
    if bool((torch.bincount(fold, minlength=FOLDS) == 0).any()):
        raise AutofrError(
            f"pairs file {path}: its header '{' '.join(header or [])}' promises {FOLDS} folds, and its {len(rows)} "
            f"pairs fill {len(set(fold.tolist()))}"
        )
    return Pairs(torch.tensor(first), torch.tensor(second), genuine, fold, notes)


def _file_folds(path: Path, header: list[str], kept: list[int]) -> Tensor:
    if len(header) != 2 or not all(map(_number, header)) or int(header[0]) != FOLDS or int(header[1]) < 1:
        raise AutofrError(f"pairs file {path}: header '{' '.join(header)}' is not '{FOLDS} PAIRS_PER_FOLD'")
    fold = torch.tensor(kept) // (2 * int(header[1]))
    if int(fold.max()) >= FOLDS:
        raise AutofrError(f"pairs file {path} has more pairs than its header '{' '.join(header)}' says")
    return fold


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def folds_in_order(count: int) -> Tensor:
    """Ten folds of ``count`` pairs in a row; the first have one more where they cannot be equal. (count,) int64."""
    sizes = torch.tensor([count // FOLDS + (fold < count % FOLDS) for fold in range(FOLDS)])
    return torch.arange(FOLDS).repeat_interleave(sizes)


def _dealt_folds(genuine: Tensor) -> Tensor:
    fold = torch.empty(len(genuine), dtype=torch.int64)
    for kind in (genuine, ~genuine):
        fold[kind] = torch.arange(int(kind.sum())) % FOLDS
    return fold


def fold_accuracies(scores: Tensor, pairs: Pairs) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Accuracy on each fold at the threshold that was best on the other nine (LFW view 2), (10,).

    Args:
        scores: (P,) one a pair; a pair matches when its score is above the threshold.
        pairs: which are genuine, and their folds.
    """
    scores = scores.double()
    out = []
    for fold in range(FOLDS):
        held = pairs.fold == fold
        threshold = best_accuracy_threshold(scores[~held], pairs.same[~held])
        out.append(float(((scores[held] > threshold) == pairs.same[held]).double().mean()))
    return np.array(out)


def best_accuracy_threshold(scores: Tensor, same: Tensor) -> float:
    """The threshold with the highest accuracy on these pairs; of several, the lowest.

    Candidates are below the lowest score, between neighbouring distinct scores (their midpoint), and the highest.

    Args:
        scores: (P,) float64.
        same: (P,) bool, whether the pair is genuine.
    """
    order = scores.argsort()
    ranked, genuine = scores[order], same[order].long()
    # With the k lowest scores rejected: right are the impostors among them and the genuine ones above.
    rejected = torch.cat([torch.zeros(1, dtype=torch.long), genuine.cumsum(0)])
    right = torch.arange(len(ranked) + 1) - rejected + (genuine.sum() - rejected)
    right[1:-1][ranked[1:] == ranked[:-1]] = -1  # no threshold separates equal scores
    k = int(right.argmax())
    if k == 0:
        return float(ranked[0]) - 1.0
    return float(ranked[-1]) if k == len(ranked) else float((ranked[k - 1] + ranked[k]) / 2)

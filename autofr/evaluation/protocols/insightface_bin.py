"""InsightFace's ``.bin`` sets: LFW, CFP-FP, AgeDB-30 and others, as its training code evaluates them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autofr.data.faces import Faces, Note
from autofr.data.insightface_bin import read_bin
from autofr.evaluation.protocols.base import FACE_SIZE, Embedded, Protocol, Row, check_pairs
from autofr.evaluation.protocols.pairs import FOLDS, Pairs, folds_in_order, pair_rows
from autofr.exceptions import AutofrError
from autofr.io.files import sha256


class InsightFaceBin(Protocol):
    """The pairs of a ``.bin`` file, in its order, in ten folds in a row. Who is on them is not known, so there
    are no intervals."""

    name = "bin"
    needs = "a .bin file"
    template_masks = True
    labelled = False
    known_identities = False

    def load(
        self, data: Path, landmarks: str | Path | None, scheme: str | None, progress: Callable[[str, int], Any]
    ) -> Faces:
        """See :class:`Protocol`."""
        if landmarks is not None or scheme is not None:
            raise AutofrError("a .bin file has no landmarks file; its masks hang on the template's five points")
        faces, self._same = read_bin(data, FACE_SIZE)
        self._hash = sha256(data)[:16]
        return replace(faces, notes=(Note("who is on these pairs is not known: no intervals"),))

    def rows_of(self, data: Path, progress: Callable[[str, int], Any]) -> tuple[list[str], Tensor]:
        """See :class:`Protocol`."""
        faces = self.load(data, None, None, progress)
        return list(faces.names), faces.labels

    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """See :class:`Protocol`."""
        same = torch.tensor(self._same)
        if len(names) != 2 * len(same):
            raise AutofrError(f"{len(names)} embeddings for {len(same)} pairs")
        check_pairs(int(same.sum()), int((~same).sum()), "the file")
        if len(same) < FOLDS:
            raise AutofrError(f"the file has {len(same)} pairs; ten folds need {FOLDS}")
        first = torch.arange(0, 2 * len(same), 2)
        self._pairs = Pairs(first, first + 1, same, folds_in_order(len(same)))

    def about(self) -> dict[str, Any]:
        """See :class:`Protocol`."""
        return {"pairs": self._hash}

    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """See :class:`Protocol`."""
        return pair_rows(self._pairs, embedded, fmrs, None)

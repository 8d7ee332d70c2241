"""All against all: every pair of a labelled set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autofr.evaluation.protocols.base import (
    Embedded,
    Protocol,
    Row,
    all_pairs_row,
    check_pairs,
    rendered_row,
    usual_fmrs,
)


class AllAgainstAll(Protocol):
    """Every pair of images once. With masks on the probe: every masked image against every other bare one."""

    name = "all"

    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """See :class:`Protocol`."""
        ordered = len(labels) ** 2
        same = int(torch.bincount(labels).square().sum())
        self._impostors = (ordered - same) // 2
        check_pairs((same - len(labels)) // 2, self._impostors, "the set")

    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """See :class:`Protocol`."""
        wanted = usual_fmrs(self._impostors) if fmrs is None else fmrs
        whole = torch.arange(len(embedded.labels))
        standard = all_pairs_row("standard", embedded, whole, None, wanted)
        return [standard] if embedded.masked is None else [standard, rendered_row("masked", embedded, whole, wanted)]

"""All pairs of embeddings, whose scores are streamed block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from autofr.evaluation.comparisons import Block, Pairs

ROWS, COLUMNS = 1024, 1024
"""Of the score matrix in memory at a time: 4 MB of float32 scores, which stay in the cache of most processors."""
_SAMPLED_ROWS = 256


@dataclass(frozen=True)
class Side:
    """One side of an all-pairs comparison.

    Attributes:
        vectors: (N, D) L2-normalised float32 or float64.
        labels: (N,) int64, identities from 0.
        ids: (N,) int64, which image (or template) each row is. A row is never compared with the row of the same id.
    """

    vectors: Tensor
    labels: Tensor
    ids: Tensor

    def at(self, rows: Tensor) -> Side:
        """The rows at some places, or where a mask of them is true."""
        return Side(self.vectors[rows], self.labels[rows], self.ids[rows])

    def ordered(self) -> Side:
        """The same rows, by label: impostors then stand in large blocks without a genuine pair among them."""
        return self.at(self.labels.argsort(stable=True))


class AllPairs:
    """Cosines of every probe with every gallery row, never all in memory. Of one set alone: every pair once.

    Args:
        gallery: the enrolled side.
        probes: the other side, on the same device; ``None``: the gallery itself.
    """

    def __init__(self, gallery: Side, probes: Side | None = None) -> None:
        self._gallery = gallery.ordered()
        self._once = probes is None
        self._probes = self._gallery if probes is None else probes.ordered()
        self._buffer = gallery.vectors.new_empty(ROWS * COLUMNS)
        labels = self._probes.labels.contiguous()
        self._first = torch.searchsorted(self._gallery.labels, labels).tolist()
        self._last = torch.searchsorted(self._gallery.labels, labels, right=True).tolist()
        genuine, left, right = [], [], []
        for scores, row, column, same in self._mixed_blocks():
            places = same.nonzero()
            genuine.append(scores[same])
            left.append(self._probes.ids[row + places[:, 0]])
            right.append(self._gallery.ids[column + places[:, 1]])
        empty = gallery.ids.new_empty(0)
        self.genuine = torch.cat(genuine) if genuine else gallery.vectors.new_empty(0)
        self._genuine_pairs = (torch.cat(left), torch.cat(right)) if left else (empty, empty)
        self.impostors = self._count()

    @property
    def genuine_pairs(self) -> Pairs:
        """See :class:`Comparisons`."""
        return self._genuine_pairs

    @cached_property
    def _per_identity(self) -> tuple[Tensor, Tensor]:
        count = 1 + max(
            (int(side.labels.max()) for side in (self._probes, self._gallery) if len(side.labels)), default=0
        )
        probes, gallery = (
            torch.bincount(side.labels, minlength=count).double().cpu() for side in (self._probes, self._gallery)
        )
        return probes, gallery

    def _count(self) -> int:
        return round(self.impostor_weight(torch.ones(len(self._per_identity[0]), dtype=torch.float64)))

    def people(self) -> Tensor:
        """See :class:`Comparisons`."""
        probes, gallery = self._per_identity
        return (probes + gallery).nonzero()[:, 0]

    def impostor_weight(self, weights: Tensor) -> float:
        """See :class:`Comparisons`. One id has one label, so a row's own image is among the pairs left out."""
        probes, gallery = (weights[: len(count)] * count for count in self._per_identity)
        ordered = float(probes.sum() * gallery.sum() - (probes * gallery).sum())
        return ordered / 2 if self._once else ordered

    def _row_blocks(self) -> Iterator[tuple[int, int, int, int]]:
        """First and last probe, and the gallery columns ``[low, high)`` outside which all their pairs are impostors."""
        for start in range(0, len(self._probes.labels), ROWS):
            stop = min(start + ROWS, len(self._probes.labels))
            yield start, stop, start if self._once else self._first[start], self._last[stop - 1]

    def _scores(self, rows: slice, columns: slice) -> Tensor:
        """(rows, columns) scores, in memory that the next call takes: new memory each time costs half as much again."""
        left, right = self._probes.vectors[rows], self._gallery.vectors[columns]
        return torch.mm(left, right.T, out=self._buffer[: len(left) * len(right)].view(len(left), len(right)))

    def _mixed_blocks(self, genuine: bool = True) -> Iterator[tuple[Tensor, int, int, Tensor]]:
        """Blocks that have genuine pairs: scores, first row and column, and which are genuine (or, impostor)."""
        for start, stop, low, high in self._row_blocks():
            for column in range(low, high, COLUMNS):
                rows, columns = slice(start, stop), slice(column, min(column + COLUMNS, high))
                same = self._probes.labels[rows, None] == self._gallery.labels[None, columns]
                if self._once:
                    row = torch.arange(start, stop, device=same.device)[:, None]
                    counted = torch.arange(columns.start, columns.stop, device=same.device)[None] > row
                else:
                    counted = self._probes.ids[rows, None] != self._gallery.ids[None, columns]
                yield self._scores(rows, columns), start, column, (same if genuine else ~same) & counted

    def impostor_blocks(self) -> Iterator[Block]:
        """See :class:`Comparisons`."""
        for scores, row, column, different in self._mixed_blocks(genuine=False):
            yield Block(scores[different], self._pairs(row, column, scores.shape[1], different))
        for start, stop, low, high in self._row_blocks():
            spans = [(high, len(self._gallery.labels))] + ([] if self._once else [(0, low)])
            for first, last in spans:
                for column in range(first, last, COLUMNS):
                    scores = self._scores(slice(start, stop), slice(column, min(column + COLUMNS, last)))
                    yield Block(scores.flatten(), self._pairs(start, column, scores.shape[1]))

    def _pairs(self, row: int, column: int, width: int, chosen: Tensor | None = None) -> Callable[[Tensor], Pairs]:
        def pairs(places: Tensor) -> Pairs:
            flat = places if chosen is None else chosen.flatten().nonzero()[:, 0][places]
            return self._probes.ids[row + flat // width], self._gallery.ids[column + flat % width]

        return pairs

    def sample(self) -> Tensor | None:
        """See :class:`Comparisons`. The scores of some rows, evenly spaced among the identities."""
        rows = len(self._probes.labels)
        if not rows or not len(self._gallery.labels):
            return None
        chosen = torch.linspace(0, rows - 1, min(rows, _SAMPLED_ROWS), device=self._probes.labels.device).long()
        scores = self._probes.vectors[chosen] @ self._gallery.vectors.T
        return scores[self._probes.labels[chosen, None] != self._gallery.labels[None]]

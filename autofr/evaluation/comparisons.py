"""Where scores come from: what a set of comparisons is, and lists of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

BLOCK = 1 << 20
"""Scores looked at at a time."""

Pairs = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Block:
    """Some impostor scores.

    Attributes:
        scores: (K,) float; good until the next block is asked for.
        pairs: from places in ``scores`` to the ids of the two sides compared there.
    """

    scores: Tensor
    pairs: Callable[[Tensor], Pairs]


class Comparisons(Protocol):
    """Genuine scores, and impostor scores that can be gone through any number of times.

    Attributes:
        genuine: (G,) every genuine score; higher is more alike.
        impostors: how many impostor scores there are.
    """

    genuine: Tensor
    impostors: int

    @property
    def genuine_pairs(self) -> Pairs:
        """Ids of the two sides of each genuine score, (G,) int64 twice."""

    def impostor_blocks(self) -> Iterator[Block]:
        """Every impostor score once."""

    def sample(self) -> Tensor | None:
        """Some impostor scores, by which to guess where thresholds lie; ``None`` where there are none."""

    def people(self) -> Tensor:
        """The identities that take part, each once, int64 on the CPU."""

    def impostor_weight(self, weights: Tensor) -> float:
        """Sum over the impostor pairs of the product of their sides' weights.

        Args:
            weights: (identities,) float64, a weight an identity.
        """


class ScoreLists:
    """Two lists of scores. The id of either side of a comparison is its place in its list.

    Args:
        genuine: (G,) float, finite.
        impostor: (I,) float, finite.
    """

    def __init__(self, genuine: Tensor, impostor: Tensor) -> None:
        if genuine.dtype in (torch.float16, torch.bfloat16):
            genuine, impostor = genuine.float(), impostor.float()
        self.genuine, self.impostor = genuine, impostor
        self.impostors = len(impostor)

    @property
    def genuine_pairs(self) -> Pairs:
        """See :class:`Comparisons`."""
        places = torch.arange(len(self.genuine), device=self.genuine.device)
        return places, places

    def impostor_pairs(self, places: Tensor) -> Pairs:
        """Ids of the two sides of the impostor scores at some places."""
        return places, places

    def impostor_blocks(self) -> Iterator[Block]:
        """See :class:`Comparisons`."""
        for start in range(0, self.impostors, BLOCK):

            def pairs(places: Tensor, start: int = start) -> Pairs:
                return self.impostor_pairs(start + places)

            yield Block(self.impostor[start : start + BLOCK], pairs)

    def sample(self) -> Tensor | None:
        """See :class:`Comparisons`. All of them: they are at hand."""
        return self.impostor if self.impostors else None

    def people(self) -> Tensor:
        """See :class:`Comparisons`."""
        raise ValueError("the identities behind these scores are not known")

    def impostor_weight(self, weights: Tensor) -> float:
        """See :class:`Comparisons`."""
        raise ValueError("the identities behind these scores are not known")


class ListedPairs(ScoreLists):
    """Scores of a list of pairs.

    Args:
        scores: (P,) float, finite.
        same: (P,) bool, whether the pair is genuine.
        first, second: (P,) int64 ids of its sides.
        identities: (ids,) int64, the identity of each id; ``None``: not known.
    """

    def __init__(
        self, scores: Tensor, same: Tensor, first: Tensor, second: Tensor, identities: Tensor | None = None
    ) -> None:
        super().__init__(scores[same], scores[~same])
        self._genuine_pairs = first[same], second[same]
        self._pairs = first[~same], second[~same]
        self._identities = identities

    @property
    def genuine_pairs(self) -> Pairs:
        """See :class:`Comparisons`."""
        return self._genuine_pairs

    def impostor_pairs(self, places: Tensor) -> Pairs:
        """See :class:`ScoreLists`."""
        return self._pairs[0][places], self._pairs[1][places]

    def people(self) -> Tensor:
        """See :class:`Comparisons`."""
        if self._identities is None:
            return super().people()
        sides = torch.cat([*self._genuine_pairs, *self._pairs])
        people: Tensor = torch.unique(self._identities[sides])
        return people

    def impostor_weight(self, weights: Tensor) -> float:
        """See :class:`Comparisons`."""
        if self._identities is None:
            return super().impostor_weight(weights)
        first, second = (self._identities[side] for side in self._pairs)
        return float((weights[first] * weights[second]).sum())

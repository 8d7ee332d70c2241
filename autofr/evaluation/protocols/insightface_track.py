"""The InsightFace track of the masked-face challenge (Deng et al., ICCV 2021 workshops).

TAR of masked against bare faces at FAR = 1e-4; of all pairs of the children's set at 1e-4; of all pairs of each
multi-racial set, and of all of these together (MR-All), at 1e-6. Entries were ranked by 0.25 TAR(Mask) + 0.75
TAR(MR-All).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from autofr.evaluation.protocols.attributes import Track
from autofr.evaluation.protocols.base import Embedded, Row, all_pairs_row, has_pairs
from autofr.exceptions import AutofrError

MASK, CHILDREN, ALL = "Mask", "Children", "MR-All"
MASK_FMR, FMR = 1e-4, 1e-6
MASK_SHARE = 0.25


class InsightFaceTrack(Track):
    """TAR by set, and the score.

    Args:
        attributes: a CSV with the columns ``name``, ``set`` (``mask``, ``children``, or the name of a multi-racial set)
            and, where the set ``mask`` has really worn masks, ``masked`` (1 or 0). Without it they are rendered.
    """

    name = "insightface"
    shown = "tar"

    def __init__(self, attributes: str | Path | None = None) -> None:
        super().__init__(attributes, "set")

    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """See :class:`Protocol`."""
        rows = self._read(names)
        sets = [row.get("set", "") for row in rows]
        if any(row and not s for row, s in zip(rows, sets, strict=True)):
            raise AutofrError(f"{self._path}: an image belongs to no set")
        known = {MASK.lower(): MASK, CHILDREN.lower(): CHILDREN}
        sets = [known.get(s.lower(), s) for s in sets]
        spelt: dict[str, str] = {}
        for name in sorted(set(sets)):
            if name.lower() == ALL.lower() or spelt.setdefault(name.lower(), name) != name:
                raise AutofrError(
                    f"{self._path}: '{name}' is no name of a set: it is taken ({spelt.get(name.lower(), ALL)})"
                )
        self._sets = {name: torch.tensor([s == name for s in sets]) for name in sorted(set(sets) - {""})}
        if MASK in self._sets and self._worn and not bool((self._wears & self._sets[MASK]).any()):
            raise AutofrError(f"{self._path}: no image of the set mask is masked; leave the column out to render masks")
        races = [members for name, members in self._sets.items() if name not in (MASK, CHILDREN)]
        self._all = torch.stack(races).any(0) if races else None
        if MASK in self._sets and not self._worn and not masked:
            self._notes.append("no column 'masked' and no rendered masks: Mask is not measured")
        for lacking, told in ((MASK not in self._sets, "mask"), (self._all is None, "multi-racial")):
            if lacking:
                self._notes.append(f"no {told} set: no score")
        whole = [labels[members] for members in self._sets.values()]
        if not any(has_pairs(part) for part in whole):
            raise AutofrError(f"{self._path}: no set has a genuine and an impostor pair")

    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """See :class:`Protocol`. Given rates take the place of the track's own."""
        rows: list[Row] = []
        if MASK in self._sets:
            rows += self._masked_rows(MASK, embedded, self._sets[MASK], fmrs or [MASK_FMR])
        if CHILDREN in self._sets:
            rows.append(self._bare_row(CHILDREN, embedded, self._sets[CHILDREN], fmrs or [MASK_FMR]))
        for name, members in self._sets.items():
            if name not in (MASK, CHILDREN):
                rows.append(self._bare_row(name, embedded, members, fmrs or [FMR]))
        if self._all is not None:
            rows.append(self._bare_row(ALL, embedded, self._all, fmrs or [FMR]))
        return rows

    @staticmethod
    def _bare_row(name: str, embedded: Embedded, members: Tensor, fmrs: Sequence[float]) -> Row:
        return all_pairs_row(name, embedded, members.nonzero()[:, 0], None, fmrs)

    def summary(self, fnmr: Mapping[str, Mapping[float, float]]) -> dict[str, float]:
        """``score``: 0.25 TAR(Mask) + 0.75 TAR(MR-All), each at its first FMR."""
        if MASK not in fnmr or ALL not in fnmr:
            return {}
        mask, everyone = (1 - next(iter(fnmr[name].values())) for name in (MASK, ALL))
        return {"score": MASK_SHARE * mask + (1 - MASK_SHARE) * everyone}

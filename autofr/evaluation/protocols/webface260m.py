"""The WebFace260M track of the masked-face challenge (Zhu et al., ICCV 2021 workshops), and MAN's Table 1.

SFR compares bare faces, MFR masked with bare ones; each over all images, over those taken in the wild, and over those
taken under control. FNMR at FMR = 1e-5. From 13 July 2021 the leaderboard's MFR columns were blended, 0.25 of the old
column and 0.75 of SFR, so as not to reward what overfits to masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from autofr.evaluation.protocols.attributes import Track
from autofr.evaluation.protocols.base import Embedded, Row, all_pairs_row, has_pairs
from autofr.exceptions import AutofrError

FMR = 1e-5
GROUPS = ("All", "Wild", "Controlled")
MFR_SHARE = 0.25
"""Of the old masked column in the blended one; SFR has the rest."""


class WebFace260M(Track):
    """SFR and MFR over All, Wild and Controlled images, and the blended columns.

    Args:
        attributes: a CSV with the columns ``name``, ``scene`` (``wild`` or ``controlled``) and, where masks are really
            worn, ``masked`` (1 or 0). Without that column, MFR is measured on rendered masks.
        scene: name of the column with the scene.
    """

    name = "webface260m"

    def __init__(self, attributes: str | Path | None = None, scene: str = "scene") -> None:
        super().__init__(attributes, scene)

    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """See :class:`Protocol`."""
        rows, (column,) = self._read(names), self._columns
        scenes = [row.get(column, "").lower() for row in rows]
        strange = sorted({s for s, row in zip(scenes, rows, strict=True) if row and s not in ("wild", "controlled")})
        if strange:
            raise AutofrError(f"{self._path}: {column} is wild or controlled, not '{strange[0]}'")
        self._groups = {
            "All": torch.tensor([bool(row) for row in rows]),
            "Wild": torch.tensor([s == "wild" for s in scenes]),
            "Controlled": torch.tensor([s == "controlled" for s in scenes]),
        }
        if self._worn and not bool(self._wears.any()):
            raise AutofrError(f"{self._path}: no image is masked; leave the column out to render masks")
        if not has_pairs(labels[self._groups["All"] & ~self._wears]):
            raise AutofrError(f"{self._path}: the bare images have no genuine or no impostor pair")
        if not self._worn and not masked:
            self._notes.append("no column 'masked' and no rendered masks: MFR is not measured")

    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """See :class:`Protocol`."""
        wanted = [FMR] if fmrs is None else fmrs
        rows = []
        for group, members in self._groups.items():
            bare = (members & ~self._wears).nonzero()[:, 0]
            rows.append(all_pairs_row(f"SFR {group}", embedded, bare, None, wanted))
        for group, members in self._groups.items():
            rows += self._masked_rows(f"MFR {group}", embedded, members, wanted)
        return rows

    def summary(self, fnmr: Mapping[str, Mapping[float, float]]) -> dict[str, float]:
        """The blended columns, at the first FMR: 0.25 MFR + 0.75 SFR."""
        blended = {}
        for group in GROUPS:
            if f"MFR {group}" in fnmr:
                mfr, sfr = (next(iter(fnmr[f"{kind} {group}"].values())) for kind in ("MFR", "SFR"))
                blended[f"blended {group}"] = MFR_SHARE * mfr + (1 - MFR_SHARE) * sfr
        return blended

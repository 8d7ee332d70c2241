"""Scoring members on validation identities: SFR, MFR and the reward."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autofr.compute.collectives import gather_rows
from autofr.compute.mesh import ALONE, Mesh, parts
from autofr.data.faces import Faces
from autofr.evaluation.embedding import embed, masked_copies, read_all
from autofr.evaluation.errors import impostors_allowed, measure
from autofr.evaluation.rewards import REWARDS, fmrs_around
from autofr.evaluation.streaming import AllPairs, Side
from autofr.exceptions import AutofrError
from autofr.masks.geometry import AWAY

MFR_WEIGHT = 0.75
"""Weight of masked recognition in the reward; standard has the rest (the masked-face challenge's weights)."""


@dataclass(frozen=True)
class Scores:
    """One member's scores of one generation.

    Attributes:
        sfr: FNMR of unmasked against unmasked images, at the validation's FMR. NaN: the member diverged.
        mfr: FNMR of masked against unmasked images. ``None``: the faces have no landmarks, so no masks.
        reward: higher is better: 0.75 times what masked against unmasked images are worth, and 0.25 times what unmasked
            ones are; the latter alone where nothing is masked. NaN: the member diverged.
    """

    sfr: float
    mfr: float | None
    reward: float

    def to_json(self) -> dict[str, float | None]:
        """The error rates, without NaN, which JSON does not have."""
        return {k: None if v is None or math.isnan(v) else v for k, v in (("sfr", self.sfr), ("mfr", self.mfr))}


class Validation:
    """The validation identities, plain and masked: the same images and masks for every member and generation.

    Args:
        faces: identities that no member trains on.
        fmr: false match rate at which FNMR is taken.
        seed: decides the masks.
        device: where scoring runs.
        mesh: whose data ranks share the work.
        reward: a key of :data:`autofr.evaluation.rewards.REWARDS`.

    Raises:
        AutofrError: so few impostor pairs cannot show that rate.
    """

    def __init__(
        self,
        faces: Faces,
        fmr: float,
        seed: int,
        device: torch.device,
        mesh: Mesh = ALONE,
        reward: str = "det_area",
    ) -> None:
        counted = faces.labels
        places = faces.placement()
        if places is not None:
            counted = counted[places > AWAY]
        impostors = (len(counted) ** 2 - int(torch.bincount(counted).square().sum())) // 2
        if impostors_allowed(fmr, impostors) < 1:
            raise AutofrError(
                f"{len(faces.identities)} validation identities give {impostors} impostor pairs; an FMR of {fmr:g} "
                f"needs {math.ceil(1 / fmr)}: raise --fmr or --validation-identities"
            )
        self.faces, self.device, self.mesh = faces, device, mesh
        self.worth, self.fmrs = REWARDS[reward], [fmr, *fmrs_around(fmr, impostors)]
        self.labels = faces.labels.to(device)
        self.ids = torch.arange(len(faces), device=device)
        self.plain = read_all(faces)
        self.masked = None
        if places is not None and faces.anchors is not None:
            self.masked = masked_copies(faces.anchors, self.plain, seed)
            # A face that cannot be masked stays bare, and would pass for an easy masked one.
            self.maskable = (places > AWAY).to(device)

    def score(self, backbone: nn.Module, trouble: str | None = None) -> Scores:
        """Errors over all pairs of the validation images; NaN if something troubles the member whose backbone it is."""
        if trouble is not None:
            return Scores(math.nan, None if self.masked is None else math.nan, math.nan)
        gallery = self._embed(backbone, self.plain)
        sfr, reward = self._measured(Side(gallery, self.labels, self.ids))
        if self.masked is None:
            return Scores(sfr, None, reward)
        sides = (gallery, self._embed(backbone, self.masked))
        mfr, masked = self._measured(*(Side(v, self.labels, self.ids).at(self.maskable) for v in sides))
        return Scores(sfr, mfr, MFR_WEIGHT * masked + (1 - MFR_WEIGHT) * reward)

    def _measured(self, gallery: Side, probes: Side | None = None) -> tuple[float, float]:
        """FNMR, and what it is worth; NaN where an embedding is not finite."""
        if not all(bool(side.vectors.isfinite().all()) for side in (gallery, probes) if side is not None):
            return math.nan, math.nan
        errors = measure(AllPairs(gallery, probes), self.fmrs)
        return errors.rates[0].fnmr, self.worth(errors)

    def _embed(self, backbone: nn.Module, images: Tensor) -> Tensor:
        """As :func:`embed`, of all images; each data rank does a part of them."""
        shares = parts(len(images), self.mesh.data)
        own = shares[self.mesh.part]
        return gather_rows(embed(backbone, images[own.start : own.stop]), self.mesh, [*map(len, shares)])

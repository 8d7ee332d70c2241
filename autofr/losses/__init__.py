"""Margin losses: one class, one file. Each is swapped in and out of a member that owns the class centres."""

from __future__ import annotations

from collections.abc import Callable

from autofr.losses.adaface import AdaFace
from autofr.losses.arcface import ArcFace
from autofr.losses.base import AdditiveMarginLoss, MarginLoss
from autofr.losses.combined import CombinedMargin
from autofr.losses.cosface import CosFace
from autofr.losses.curricularface import CurricularFace
from autofr.losses.elasticface import ElasticFace
from autofr.losses.lfs_softmax import LFSSoftmax
from autofr.losses.magface import MagFace
from autofr.losses.mv_softmax import MVSoftmax
from autofr.losses.norm_softmax import NormSoftmax
from autofr.losses.sphereface2 import SphereFace2
from autofr.losses.subcentre_arcface import SubCentreArcFace
from autofr.losses.uniface import UniFace
from autofr.registry import build

LOSSES: dict[str, Callable[..., MarginLoss]] = {
    "adaface": AdaFace,
    "arcface": ArcFace,
    "combined": CombinedMargin,
    "cosface": CosFace,
    "curricularface": CurricularFace,
    "elasticface": ElasticFace,
    "lfs_softmax": LFSSoftmax,
    "magface": MagFace,
    "mv_softmax": MVSoftmax,
    "norm_softmax": NormSoftmax,
    "sphereface2": SphereFace2,
    "subcentre_arcface": SubCentreArcFace,
    "uniface": UniFace,
}
"""The losses that ``--loss`` takes by name."""


def create_loss(spec: str) -> MarginLoss:
    """The loss that ``spec`` describes: a key of :data:`LOSSES`, with settings or without: ``arcface:0.3``,
    ``elasticface:kind=cos,plus=True``.

    Raises:
        AutofrError: no such loss (the nearest names are offered) or setting, or a value out of range.
    """
    return build("loss", spec, LOSSES)


__all__ = [
    "LOSSES",
    "AdaFace",
    "AdditiveMarginLoss",
    "ArcFace",
    "CombinedMargin",
    "CosFace",
    "CurricularFace",
    "ElasticFace",
    "LFSSoftmax",
    "MVSoftmax",
    "MagFace",
    "MarginLoss",
    "NormSoftmax",
    "SphereFace2",
    "SubCentreArcFace",
    "UniFace",
    "create_loss",
]

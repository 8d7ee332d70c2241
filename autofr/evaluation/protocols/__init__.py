"""Verification protocols, one file each. ``PROTOCOLS`` names those that ``--protocol`` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autofr.evaluation.protocols.all_pairs import AllAgainstAll
from autofr.evaluation.protocols.base import Embedded, Protocol, Row
from autofr.evaluation.protocols.ijb import IJB
from autofr.evaluation.protocols.insightface_bin import InsightFaceBin
from autofr.evaluation.protocols.insightface_track import InsightFaceTrack
from autofr.evaluation.protocols.pairs import PairList
from autofr.evaluation.protocols.webface260m import WebFace260M
from autofr.exceptions import AutofrError
from autofr.registry import build

PROTOCOLS: dict[str, Callable[..., Protocol]] = {
    "all": AllAgainstAll,
    "bin": InsightFaceBin,
    "ijb": IJB,
    "insightface": InsightFaceTrack,
    "pairs": PairList,
    "webface260m": WebFace260M,
}
"""Makers of protocols by name. Each takes its own settings, and ``pairs`` or ``attributes`` if it reads such a file."""


def create_protocol(
    spec: str | None, data: Path | None, pairs: str | Path | None, attributes: str | Path | None
) -> Protocol:
    """The protocol that ``spec`` describes.

    Args:
        spec: a key of :data:`PROTOCOLS`, with settings or without: ``ijb:pooling=mean``. ``None``: ``pairs`` with a
            list of pairs, ``bin`` for a ``.bin`` file, ``ijb`` for a folder of that layout, else ``all``.
        data: what will be evaluated on.
        pairs: a list of pairs.
        attributes: a CSV of attributes.

    Raises:
        AutofrError: no such protocol or setting, or a file that it has no use for.
    """
    if spec is None:
        spec = _inferred(data, pairs, attributes)
    files = {"pairs": pairs, "attributes": attributes}
    protocol = build("protocol", spec, PROTOCOLS, files)
    for option, users in (("pairs", {"pairs"}), ("attributes", {"webface260m", "insightface"})):
        if files[option] is not None and protocol.name not in users:
            raise AutofrError(f"protocol {protocol.name} has no use for --{option}")
    return protocol


def _inferred(data: Path | None, pairs: str | Path | None, attributes: str | Path | None) -> str:
    if attributes is not None and pairs is None:
        raise AutofrError("--attributes goes with --protocol webface260m or insightface")
    if pairs is not None:
        return "pairs"
    if data is not None and data.suffix == ".bin":
        return "bin"
    if data is not None and (data / "meta").is_dir() and (data / "loose_crop").is_dir():
        return "ijb"
    return "all"


__all__ = ["PROTOCOLS", "Embedded", "Protocol", "Row", "create_protocol"]

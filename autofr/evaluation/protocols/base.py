"""What a protocol is: which images it takes, which comparisons it makes of their embeddings, what it sums up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from autofr.data import Faces, load_faces, scan
from autofr.evaluation.comparisons import Comparisons
from autofr.evaluation.stored import identities_of
from autofr.evaluation.streaming import AllPairs, Side
from autofr.exceptions import AutofrError

FACE_SIZE = 112
"""Pixels at which faces are read and masked, whatever a model's input: so all models meet the same masks."""


@dataclass(frozen=True)
class Embedded:
    """A set of images, embedded.

    Attributes:
        labels: (N,) int64, identities from 0.
        plain: (N, D) float32, not normalised.
        masked: the same of the images with rendered masks; ``None``: nothing was masked.
        maskable: (N,) bool, images that can be masked; ``None``: all.
        on: ``probe`` or ``both``: which side of a comparison wears them.
        device: where scores are computed; ``None``: where the embeddings are.
    """

    labels: Tensor
    plain: Tensor
    masked: Tensor | None = None
    maskable: Tensor | None = None
    on: str = "probe"
    device: torch.device | None = None

    def unit(self, masked: bool = False) -> Tensor:
        """L2-normalised embeddings, (N, D), on the device."""
        vectors = self.masked if masked else self.plain
        if vectors is None:
            raise ValueError("nothing was masked")
        return unit(vectors.to(self.device or vectors.device))

    def kinds(self) -> list[tuple[str, bool, bool]]:
        """Rows of a plain benchmark: name, whether the first and the second side are masked."""
        rows = [("standard", False, False)]
        return rows if self.masked is None else [*rows, ("masked", self.on == "both", True)]


def unit(vectors: Tensor) -> Tensor:
    """Vectors divided by their lengths, also by very small and very large ones."""
    largest = vectors.abs().amax(dim=1, keepdim=True)
    return F.normalize(vectors / largest.where(largest > 0, 1.0), dim=1)


@dataclass(frozen=True)
class Row:
    """One set of comparisons: a row of the report's table.

    Attributes:
        name: of the row.
        make: the comparisons. Ids are indices of images, or of templates.
        fmrs: target false match rates.
        identities: (ids,) int64 identity of each id, for intervals; ``None``: not known.
        images: from ids to images; ``None``: they are images.
        masked: whether each side of its pairs wears rendered masks, in the order of the pairs' ids.
        more: further figures of the row, from its comparisons.
    """

    name: str
    make: Callable[[], Comparisons]
    fmrs: Sequence[float]
    identities: Tensor | None = None
    images: Sequence[int] | None = None
    masked: tuple[bool, bool] = (False, False)
    more: Callable[[], dict[str, float]] | None = None


class Protocol(ABC):
    """A way of evaluating.

    Attributes:
        name: as ``--protocol`` takes it.
        needs: what ``data`` is, for errors.
        template_masks: whether the faces are certainly aligned to the ArcFace template, so that masks can hang on its
            five points where there are no landmarks.
        shown: what tables show at a FMR, ``fnmr`` or ``tar``.
        known_identities: whether the images' labels are people.
        labelled: whether a label a row says enough of embeddings; else ``data`` must say what they are of.
    """

    name: str
    needs = "a folder with one sub-folder an identity"
    template_masks = False
    labelled = True
    shown = "fnmr"
    known_identities = True

    @property
    def renders(self) -> bool:
        """Whether rendered masks have a place in it; known after :meth:`prepare`."""
        return True

    def load(
        self, data: Path, landmarks: str | Path | None, scheme: str | None, progress: Callable[[str, int], Any]
    ) -> Faces:
        """The images.

        Args:
            data: where they are.
            landmarks, scheme: as :func:`autofr.data.scan` takes them.
            progress: opens a bar of a name and a total, for a ``with`` statement.

        Raises:
            AutofrError: they cannot be read.
        """
        found = scan(data, landmarks, scheme)
        with progress("reading faces", len(found.names)) as advance:
            return load_faces(found, FACE_SIZE, advance)

    def rows_of(self, data: Path, progress: Callable[[str, int], Any]) -> tuple[list[str], Tensor]:
        """Names and identities of the images of which embeddings were stored, in their order.

        Args:
            data, progress: as for :meth:`load`.
        """
        names = scan(data).names
        return names, identities_of(names)

    @abstractmethod
    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """Read what the protocol needs besides images, and see that they serve; before anything is embedded.

        Args:
            names: of the images, ``IDENTITY/IMAGE``.
            labels: (N,) int64 identity of each.
            masked: whether masks will be rendered.

        Raises:
            AutofrError: no genuine or no impostor pair, or files that do not fit.
        """

    @abstractmethod
    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """The comparisons to make.

        Args:
            embedded: what :meth:`prepare` was told of, embedded.
            fmrs: target false match rates; ``None``: the protocol's own.
        """

    def summary(self, fnmr: Mapping[str, Mapping[float, float]]) -> dict[str, float]:
        """Figures over several rows, by name.

        Args:
            fnmr: FNMR by row and FMR; NaN where not measurable.
        """
        return {}

    def about(self) -> dict[str, Any]:
        """Settings, for the report, JSON-able."""
        return {}

    def notes(self) -> list[str]:
        """What was skipped: one line each, known after :meth:`prepare`."""
        return []


def usual_fmrs(impostors: int) -> list[float]:
    """1e-2, 1e-3, ... to 1e-6, as far as ``impostors`` comparisons can show them; 1e-2 and 1e-3 at the least."""
    return [f for f in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6) if f >= 1e-3 or impostors * f >= 1]


def check_pairs(genuine: int, impostors: int, what: str) -> None:
    """Nothing, if there are pairs of both kinds.

    Raises:
        AutofrError: there are not.
    """
    if genuine < 1:
        raise AutofrError(f"{what} has no genuine pair: no identity has two images")
    if impostors < 1:
        raise AutofrError(f"{what} has no impostor pair: there is one identity only")


def has_pairs(labels: Tensor) -> bool:
    """Whether images of these identities make a genuine and an impostor pair."""
    counts = torch.bincount(labels) if len(labels) else labels
    return bool((counts > 1).any()) and int((counts > 0).sum()) > 1


def all_pairs_row(
    name: str,
    embedded: Embedded,
    gallery: Tensor,
    probes: Tensor | None,
    fmrs: Sequence[float],
    masked: tuple[bool, bool] = (False, False),
) -> Row:
    """All pairs between two subsets of the images, or within one.

    Args:
        name: of the row.
        embedded: all images.
        gallery, probes: int64 indices of the images of each side; ``None``: the pairs within the gallery, once each.
        fmrs: target false match rates.
        masked: whether gallery and probes wear rendered masks.
    """
    gallery_masked, probes_masked = masked

    def side(places: Tensor, wears: bool) -> Side:
        vectors = embedded.unit(wears)
        rows = places.to(vectors.device)
        return Side(vectors[rows], embedded.labels.to(vectors.device)[rows], rows)

    def make() -> Comparisons:
        # Masked on both sides alike is one set still: each pair once.
        return AllPairs(side(gallery, gallery_masked), None if probes is None else side(probes, probes_masked))

    return Row(name, make, fmrs, embedded.labels, masked=(probes_masked, gallery_masked))


def rendered_row(name: str, embedded: Embedded, places: Tensor, fmrs: Sequence[float]) -> Row:
    """All pairs of a subset with rendered masks: masked probes against every other bare image, or masks on both sides.

    Images that cannot be masked are left out of the masked side: bare, they would pass for easy masked ones.

    Args:
        name: of the row.
        embedded: all images, with masked copies.
        places: (n,) int64 indices of the subset.
        fmrs: target false match rates.
    """
    both = embedded.on == "both"
    worn = places if embedded.maskable is None else places[embedded.maskable[places]]
    return all_pairs_row(name, embedded, worn if both else places, None if both else worn, fmrs, (both, True))

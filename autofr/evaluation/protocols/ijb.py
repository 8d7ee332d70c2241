"""IJB-B and IJB-C, 1:1 verification of templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autofr.data import Faces
from autofr.data.ijb import Templates, read_ijb
from autofr.evaluation.comparisons import ListedPairs
from autofr.evaluation.protocols.base import Embedded, Protocol, Row, check_pairs, unit
from autofr.exceptions import AutofrError

FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_CHUNK = 1 << 17


class IJB(Protocol):
    """Pairs of templates; a template is the pooled embedding of its images.

    Args:
        pooling: ``media``: images of one photograph or video are averaged first, and these averages added up; ``mean``:
            all images count alike.
        detector_scores: weigh each image by its detector score.
        norms: leave embeddings as long as the network made them, so that images it is sure of weigh more.
    """

    name = "ijb"
    needs = "a folder with meta/ and loose_crop/"
    labelled = False

    def __init__(self, pooling: str = "media", detector_scores: bool = True, norms: bool = True) -> None:
        if pooling not in ("media", "mean"):
            raise ValueError(f"pooling is media or mean, got {pooling}")
        self._pooling, self._detector_scores, self._norms = pooling, detector_scores, norms
        self._templates: Templates | None = None

    def about(self) -> dict[str, Any]:
        """See :class:`Protocol`."""
        settings = {"pooling": self._pooling, "detector_scores": self._detector_scores, "norms": self._norms}
        return settings | {"metadata": self._known().digest}

    def notes(self) -> list[str]:
        """See :class:`Protocol`."""
        return list(self._known().notes)

    def load(
        self, data: Path, landmarks: str | Path | None, scheme: str | None, progress: Callable[[str, int], Any]
    ) -> Faces:
        """See :class:`Protocol`."""
        if landmarks is not None or scheme is not None:
            raise AutofrError("an IJB set brings five points of each face; leave --landmarks out")
        faces, self._templates = read_ijb(data)
        return faces

    def rows_of(self, data: Path, progress: Callable[[str, int], Any]) -> tuple[list[str], Tensor]:
        """See :class:`Protocol`."""
        faces = self.load(data, None, None, progress)
        return list(faces.names), faces.labels

    def prepare(self, names: Sequence[str], labels: Tensor, masked: bool) -> None:
        """See :class:`Protocol`."""
        known = self._known()
        if len(names) != len(known.template):
            raise AutofrError(f"{len(names)} embeddings for {len(known.template)} images of the set")
        check_pairs(int(known.same.sum()), int((~known.same).sum()), "the set")

    def rows(self, embedded: Embedded, fmrs: Sequence[float] | None) -> list[Row]:
        """See :class:`Protocol`."""
        known = self._known()
        pooled = {False: self._pooled(embedded.plain)}
        if embedded.masked is not None:
            pooled[True] = self._pooled(embedded.masked)
        people = people_of(known, len(pooled[False]))
        first_image = torch.full((len(people),), -1).scatter_reduce(
            0, known.template, torch.arange(len(known.template)), "amin", include_self=False
        )
        rows = []
        for name, *masked in embedded.kinds():
            first, second = pooled[masked[0]], pooled[masked[1]]
            sides = zip(torch.split(known.first, _CHUNK), torch.split(known.second, _CHUNK), strict=True)
            scores = torch.cat([(first[a] * second[b]).sum(1) for a, b in sides])
            make = partial(ListedPairs, scores, known.same, known.first, known.second, people)
            impostors = int((~known.same).sum())
            wanted = [f for f in FMRS if f >= 1e-2 or f * impostors >= 1] if fmrs is None else fmrs
            rows.append(Row(name, make, wanted, people, first_image.tolist(), (masked[0], masked[1])))
        return rows

    def _known(self) -> Templates:
        if self._templates is None:
            raise AutofrError("protocol ijb needs --data, the folder of the set, also for embeddings")
        return self._templates

    def _pooled(self, vectors: Tensor) -> Tensor:
        """Templates' embeddings, L2-normalised, (T, D)."""
        known = self._known()
        weighed = (vectors if self._norms else unit(vectors)).double()
        if self._detector_scores:
            weighed = weighed * known.detector_scores[:, None]
        if self._pooling == "mean":
            return _checked(_added(weighed, known.template, int(known.template.max()) + 1))
        # One group for each template and media; groups are in order of template.
        both = known.template * (int(known.media.max()) + 1) + known.media
        groups, place = torch.unique(both, return_inverse=True)
        means = _added(weighed, place, len(groups)) / torch.bincount(place)[:, None]
        owner = torch.div(groups, int(known.media.max()) + 1, rounding_mode="floor")
        return _checked(_added(means, owner, int(known.template.max()) + 1))


def _checked(templates: Tensor) -> Tensor:
    """L2-normalised, float32.

    Raises:
        AutofrError: the images of a template cancel each other, or all weigh nothing.
    """
    empty = (templates.abs().amax(1) == 0).nonzero()[:, 0].tolist()
    if empty:
        raise AutofrError(f"{len(empty)} templates pool to nothing: their images' detector scores are all 0, or cancel")
    return unit(templates).float()


def _added(vectors: Tensor, places: Tensor, count: int) -> Tensor:
    return vectors.new_zeros(count, vectors.shape[1]).index_add_(0, places, vectors)


def people_of(templates: Templates, count: int) -> Tensor:
    """The person of each template, from 0, as far as genuine pairs tell: templates that they connect are one person's.

    Args:
        templates: the set.
        count: how many templates there are.
    """
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    genuine = zip(templates.first[templates.same].tolist(), templates.second[templates.same].tolist(), strict=True)
    for first, second in genuine:
        parent[root(first)] = root(second)
    people: Tensor = torch.unique(torch.tensor([root(place) for place in range(count)]), return_inverse=True)[1]
    return people

"""Training batches: read, flipped, masked and normalised once, for every member of the population."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autofr.data.faces import Faces
from autofr.data.load import MAX_BAD
from autofr.data.reading import UnreadableImagesError, in_background
from autofr.exceptions import AutofrError
from autofr.masks import RandomFaceMask, flip_anchors
from autofr.seeding import derive_seed, seeded

WATCHDOG = 600.0
"""Seconds after which a batch that has not come is given up; a source's own retries have ended by then."""


@dataclass(frozen=True)
class Batch:
    """``images`` (B, 3, S, S) float32 in [-1, 1], channels_last, and ``labels`` (B,) int64, on the device;
    ``relations`` (B, B), how alike a guide finds the faces, and the ``guide``'s key, where there is one."""

    images: Tensor
    labels: Tensor
    relations: Tensor | None = None
    guide: str = ""


class TrainingBatches:
    """The endless sequence of training batches. Batch ``t`` is a function of the seed and ``t`` alone: shuffled
    anew each epoch, its flips and masks drawn for its step. So a resumed run meets the same batches, and so does
    every member.

    Args:
        faces: what to train on.
        batch_size: images a batch; a smaller set gives one batch an epoch. An epoch's odd rest is left out.
        mask_prob: probability that a face is masked.
        seed: decides order, flips and masks.
        device: where batches go, and where masks are painted.
        say: takes a line for the user; called from another thread.
    """

    def __init__(
        self,
        faces: Faces,
        batch_size: int,
        mask_prob: float,
        seed: int,
        device: torch.device,
        say: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.faces, self.seed, self.device, self.say = faces, seed, device, say
        self._instead: dict[int, int] = {}  # images that could no longer be read, and what stands in for them
        self.batch_size = min(batch_size, len(faces))
        self.steps_per_epoch = len(faces) // self.batch_size
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)
        self.mask = RandomFaceMask(p=mask_prob).to(device) if mask_prob > 0 and faces.anchors is not None else None

    def indices(self, step: int) -> Tensor:
        """Which images batch ``step`` holds, (B,) int64."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch != epoch:
            rng = np.random.default_rng(derive_seed(self.seed, "order", epoch))
            self._epoch, self._order = epoch, rng.permutation(len(self.faces))
        return torch.from_numpy(self._order[place * self.batch_size : (place + 1) * self.batch_size])

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches ``first`` to ``last - 1``; the next one is read while the caller uses this one."""
        coming = self._ahead(first)
        for step in range(first, last):
            try:
                indices, pixels = coming.result(WATCHDOG)
            except AutofrError:
                raise
            except Exception as error:  # a source may be the user's own, and have workers that die
                named = ", ".join(self.faces.names[i] for i in self.indices(step)[:3].tolist())
                late = isinstance(error, FutureTimeoutError) and not coming.done()
                happened = (
                    f"has not returned for {WATCHDOG:.0f} s" if late else f"failed: {type(error).__name__}: {error}"
                )
                raise AutofrError(
                    f"reading the batch of step {step} ({named}, ...) from {self.faces.source} {happened}"
                ) from error
            if step + 1 < last:
                coming = self._ahead(step + 1)
            yield self._prepare(step, indices, pixels)

    def _ahead(self, step: int) -> Future[tuple[Tensor, Tensor]]:
        indices = self.indices(step)
        return in_background(lambda: self._read(indices))

    def _read(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        while True:
            indices = torch.tensor([self._instead.get(i, i) for i in indices.tolist()])
            try:
                return indices, self.faces.read(indices)
            except UnreadableImagesError as error:
                self._do_without(indices[error.places].tolist(), error)

    def _do_without(self, lost: list[int], error: UnreadableImagesError) -> None:
        """From now on, meet another image of the same identity in the place of each of ``lost``.

        Raises:
            UnreadableImagesError: too many have been lost by now.
        """
        gone = {*self._instead, *lost}
        if len(gone) > MAX_BAD * len(self.faces):
            raise error
        for index in gone:
            same = (self.faces.labels == self.faces.labels[index]).nonzero().squeeze(1).tolist()
            others = (i % len(self.faces) for i in range(index, index + len(self.faces)))
            self._instead[index] = next(i for i in (*same, *others) if i not in gone)
        self.say(f"{error}: other images of the same identities stand in")

    @torch.no_grad()
    def _prepare(self, step: int, indices: Tensor, pixels: Tensor) -> Batch:
        images = pixels.to(self.device).float() / 255
        labels = self.faces.labels[indices].to(self.device)
        with seeded(self.seed, "augment", step):
            flipped = torch.rand(len(images), device=self.device) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
            if self.mask is not None and self.faces.anchors is not None:
                anchors = self.faces.anchors[indices].to(self.device)
                mirrored = flip_anchors(anchors, images.shape[-1])
                images = self.mask(images, torch.where(flipped[:, None, None], mirrored, anchors))
        return Batch(normalise(images), labels)


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] to what backbones take: [-1, 1], channels_last."""
    return ((images - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)

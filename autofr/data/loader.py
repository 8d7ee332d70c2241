"""Training batches: read, flipped, masked and normalised once, for every member of the population."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

import torch
from torch import Tensor

from autofr.backbones.normalise import normalise
from autofr.compute.device import to_device
from autofr.compute.mesh import ALONE, Mesh, parts
from autofr.compute.seeding import derive_seed, seeded
from autofr.data.sources import WATCHDOG, BatchSource, Read
from autofr.exceptions import AutofrError
from autofr.masks import RandomFaceMask, flip_anchors
from autofr.system.thread_pool import in_background


@dataclass(frozen=True)
class Batch:
    """``images`` (B, 3, S, S) float32 in [-1, 1], channels_last, and ``labels`` (B,) int64, on the device;
    ``relations`` (B, B), how alike a guide finds the faces, and the ``guide``'s key, where there is one; ``sizes``, B
    of each rank that has a part of the batch, where several have; ``seed``, from which they draw what they share."""

    images: Tensor
    labels: Tensor
    relations: Tensor | None = None
    guide: str = ""
    sizes: tuple[int, ...] = ()
    seed: int = 0


class TrainingBatches:
    """The endless sequence of training batches. Batch ``t`` is a function of the seed and ``t`` alone: its images (see
    :mod:`autofr.data.sources`), flips and masks. So a resumed run meets the same batches, and so does every member.

    Args:
        source: where images come from.
        mask_prob: probability that a face is masked.
        seed: decides flips and masks.
        device: where batches go, and where masks are painted.
        mesh: whose data ranks have a part of each batch each.
    """

    def __init__(
        self, source: BatchSource, mask_prob: float, seed: int, device: torch.device, mesh: Mesh = ALONE
    ) -> None:
        self.source, self.seed, self.device, self.mesh = source, seed, device, mesh
        self.steps_per_epoch = source.steps_per_epoch
        self.mask = RandomFaceMask(p=mask_prob).to(device) if mask_prob > 0 and source.maskable else None

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Batches ``first`` to ``last - 1``; the next one is read while the caller uses this one."""
        self.source.seek(first)
        coming = self._ahead(first)
        for step in range(first, last):
            try:
                read = coming.result(WATCHDOG)
            except AutofrError:
                raise
            except Exception as error:  # a source may be the user's own, and have workers that die
                late = isinstance(error, FutureTimeoutError) and not coming.done()
                happened = (
                    f"has not returned for {WATCHDOG:.0f} s" if late else f"failed: {type(error).__name__}: {error}"
                )
                raise AutofrError(f"reading the batch of step {step} {self.source.called(step)} {happened}") from error
            if step + 1 < last:
                coming = self._ahead(step + 1)
            yield self._prepare(step, read)

    def _ahead(self, step: int) -> Future[Read]:
        return in_background(lambda: self._read(step))

    def _read(self, step: int) -> Read:
        read = self.source.read(step)
        if self.device.type == "cpu":
            return read
        # Here already, where nothing waits for it: it is a copy.
        anchors = None if read.anchors is None else read.anchors.pin_memory()
        return Read(read.pixels.pin_memory(), read.labels.pin_memory(), anchors)

    @torch.no_grad()
    def _prepare(self, step: int, read: Read) -> Batch:
        images = to_device(read.pixels, self.device).to(torch.float32, memory_format=torch.contiguous_format) / 255
        labels = to_device(read.labels, self.device)
        with seeded(self.seed, "augment", step, self.mesh.part):
            flipped = torch.rand(len(images), device=self.device) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
            if self.mask is not None and read.anchors is not None:
                anchors = to_device(read.anchors, self.device)
                mirrored = flip_anchors(anchors, images.shape[-1])
                images = self.mask(images, torch.where(flipped[:, None, None], mirrored, anchors))
        sizes = tuple(map(len, parts(self.source.batch_size, self.mesh.data)))
        return Batch(normalise(images), labels, sizes=sizes, seed=derive_seed(self.seed, "step", step))

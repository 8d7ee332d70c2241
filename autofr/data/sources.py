"""Where training batches come from: faces that can be looked up, or a stream of shards."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.compute.mesh import ALONE, Mesh
from autofr.compute.seeding import derive_seed
from autofr.data.faces import Faces
from autofr.data.load import MAX_BAD
from autofr.data.reading import UnreadableImagesError
from autofr.data.samples import decode_samples
from autofr.data.shards import Sample, Shards
from autofr.data.stream import ShardStream
from autofr.exceptions import AutofrError
from autofr.masks import landmark_scheme
from autofr.system.remote_object import Worker, WorkerDiedError
from autofr.system.thread_pool import STUCK, in_background

logger = logging.getLogger(__name__)

SKIPPED = 20_000
"""Samples that are passed over at a time on the way to a place."""
WATCHDOG = 600.0
"""Seconds after which a source, or a server, is given up; its own retries have ended by then."""
AHEAD = 2
"""Batches of a stream that are read and decoded before they are asked for."""
Decoded: TypeAlias = tuple[list[Sample], Tensor, npt.NDArray[np.float32] | None, dict[int, str]]


@dataclass(frozen=True)
class Read:
    """One rank's part of a batch as it was read: ``pixels`` (B, 3, S, S) uint8, ``labels`` (B,) int64, and
    ``anchors`` (B, 19, 2) float32, or ``None`` where nothing can be masked."""

    pixels: Tensor
    labels: Tensor
    anchors: Tensor | None


class BatchSource(Protocol):
    """What :class:`autofr.data.loader.TrainingBatches` reads from. Batch ``t`` follows from the seed and ``t`` alone.

    Attributes:
        batch_size: images of all ranks' parts of a batch.
        steps_per_epoch: batches an epoch.
        maskable: whether there are landmarks.
    """

    batch_size: int
    steps_per_epoch: int
    maskable: bool

    def seek(self, step: int) -> None:
        """Get ready for batch ``step``: it may take a while."""

    def read(self, step: int) -> Read:
        """This rank's part of a batch. Called from another thread, one call at a time."""

    def called(self, step: int) -> str:
        """What the batch's images are called in an error."""


class FacesSource:
    """Faces in memory, or that are decoded when they are asked for: shuffled anew each epoch.

    Args:
        faces: what to train on.
        batch_size: images a batch; a smaller set gives one batch an epoch. An epoch's odd rest is left out.
        seed: decides the order.
        mesh: whose data ranks have a part of each batch each.
    """

    def __init__(
        self,
        faces: Faces,
        batch_size: int,
        seed: int,
        mesh: Mesh = ALONE,
    ) -> None:
        self.faces, self.seed, self.mesh = faces, seed, mesh
        self.batch_size = min(batch_size, len(faces))
        self.steps_per_epoch = len(faces) // self.batch_size
        self.maskable = faces.anchors is not None
        self._instead: dict[int, int] = {}  # images that could no longer be read, and what stands in for them
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def indices(self, step: int) -> Tensor:
        """Which images this rank's part of batch ``step`` holds, (B,) int64."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._epoch != epoch:
            rng = np.random.default_rng(derive_seed(self.seed, "order", epoch))
            self._epoch, self._order = epoch, rng.permutation(len(self.faces))
        own = self.mesh.own(self.batch_size)
        first = place * self.batch_size + own.start
        return torch.from_numpy(self._order[first : first + len(own)])

    def called(self, step: int) -> str:
        named = ", ".join(self.faces.names[i] for i in self.indices(step)[:3].tolist())
        return f"({named}, ...) from {self.faces.source}"

    def seek(self, step: int) -> None:
        """Nothing: any image can be looked up."""

    def read(self, step: int) -> Read:
        indices, anchors = self.indices(step), self.faces.anchors
        while True:
            indices = torch.tensor([self._instead.get(i, i) for i in indices.tolist()])
            try:
                pixels = self.faces.read(indices)
            except UnreadableImagesError as error:
                self._do_without(indices[error.places].tolist(), error)
            else:
                return Read(
                    pixels, _rows(self.faces.labels, indices), None if anchors is None else _rows(anchors, indices)
                )

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
        logger.warning(f"{error}: other images of the same identities stand in")


class ShardsSource:
    """A stream of shards. An image that cannot be read is skipped: another one of its batch stands in, so that the
    place of all others in the stream stays the same.

    Args:
        shards: the set.
        image_size: pixels.
        batch_size, seed, mesh: as for :class:`FacesSource`.

    Raises:
        AutofrError: the shards cannot be shared out evenly among the data ranks.
    """

    def __init__(
        self,
        shards: Shards,
        image_size: int,
        batch_size: int,
        seed: int,
        mesh: Mesh = ALONE,
    ) -> None:
        self.shards, self.image_size = shards, image_size
        self.batch_size = min(batch_size, len(shards))
        self.steps_per_epoch = len(shards) // self.batch_size
        self.maskable = shards.scheme is not None
        self._own = len(mesh.own(self.batch_size))
        epoch = self.steps_per_epoch * self._own
        self._stream = (shards, derive_seed(seed, "shards"), epoch, mesh.part, mesh.data)
        ShardStream(*self._stream)  # sees whether they can be shared out
        self._reader: Worker | None = None  # a process that has the stream: this one has to train
        self._ahead: deque[tuple[int, Future[Decoded]]] = deque()  # batches that are being read, and their steps
        self._taken: Future[list[Sample]] | None = None  # the samples of the last of them
        self._at = -1  # the sample that the reader is at
        self._patience = WATCHDOG if "://" in shards.source else STUCK
        self._lost, self._met = 0, 0
        self._untold: list[str] = []  # of what was lost
        self._spare: Read | None = None  # faces that can stand in where a whole part cannot be read

    def called(self, step: int) -> str:
        return f"from {self.shards.source}"

    def seek(self, step: int) -> None:
        self._read_ahead(step).result()

    def _read_ahead(self, step: int) -> Future[Decoded]:
        """Batch ``step``. The next ones are read and decoded meanwhile: so no core waits for the end of a batch."""
        if self._ahead and self._ahead[0][0] != step:
            self._ahead.clear()
        while len(self._ahead) <= AHEAD:
            number = step + len(self._ahead)
            self._taken = in_background(partial(self._take, number * self._own, self._taken))
            self._ahead.append((number, in_background(partial(self._decode, self._taken))))
        return self._ahead[0][1]

    def _take(self, first: int, before: Future[list[Sample]] | None, again: bool = True) -> list[Sample]:
        if before is not None:
            wait([before])  # the stream is read in order
        if self._reader is None:
            self._reader, self._at = Worker(ShardStream, *self._stream), -1
        try:
            while self._at != first and not self._reader.call("seek", first, SKIPPED, patience=self._patience):
                pass
            found: list[Sample] = self._reader.call("take", first, self._own, patience=self._patience)
            self._at = first + self._own
        except TimeoutError as error:
            raise AutofrError(
                f"reading {self.shards.source} has not returned for {self._patience:.0f} s: is its file system, or "
                "server, stuck?"
            ) from error
        except WorkerDiedError as error:
            self._reader = None
            if not again:
                raise AutofrError(f"reading {self.shards.source}: {error}, twice: is there memory enough?") from error
            return self._take(first, None, again=False)
        return found

    def _decode(self, taken: Future[list[Sample]]) -> Decoded:
        samples = taken.result()
        return samples, *decode_samples(samples, self.shards.points, self.image_size)

    def read(self, step: int) -> Read:
        samples, pixels, landmarks, reasons = self._read_ahead(step).result()
        self._ahead.popleft()
        self._read_ahead(step + 1)
        for place, sample in enumerate(samples):
            if sample.label >= self.shards.identities:
                reasons[place] = f"{sample.name} has label {sample.label}, past the set's identities"
        self._met += len(samples)
        self._tell(reasons)
        good = [place for place in range(len(samples)) if place not in reasons]
        if not good:
            return self._stand_in(reasons[0])
        chosen = [place if place not in reasons else good[place % len(good)] for place in range(len(samples))]
        labels = torch.tensor([samples[place].label for place in chosen])
        anchors = None
        if self.shards.scheme is not None and landmarks is not None:
            anchors = landmark_scheme(self.shards.scheme).anchors(torch.from_numpy(landmarks[chosen]))
        self._spare = Read(pixels[chosen] if reasons else pixels, labels, anchors)
        return self._spare

    def _stand_in(self, reason: str) -> Read:
        """The last faces that could be read, for a part of a batch of which none can.

        Raises:
            AutofrError: there were none yet.
        """
        if self._spare is None:
            raise AutofrError(f"no sample of a batch can be read ({reason}): is {self.shards.source} whole?")
        return self._spare

    def _tell(self, reasons: dict[int, str]) -> None:
        """Name and count what was skipped: each of the first ones, then whenever twice as many are lost.

        Raises:
            AutofrError: over 5 % of a thousand samples or more, or of an epoch.
        """
        before, self._lost = self._lost, self._lost + len(reasons)
        self._untold += [reasons[place] for place in sorted(reasons)]
        if not reasons:
            return
        named = "; ".join(self._untold[-5:])
        told = f"{self._lost} of {self._met} samples so far cannot be read ({named})"
        if self._met >= min(1000, len(self.shards) * self._own // self.batch_size) and self._lost > MAX_BAD * self._met:
            raise AutofrError(f"{told}: is {self.shards.source} whole, and can it be reached?")
        if self._lost <= 16 or before.bit_length() != self._lost.bit_length():
            logger.warning(f"{told}: skipped")
            self._untold.clear()


def _rows(table: Tensor, indices: Tensor) -> Tensor:
    """``table[indices]``, without torch's threads: see :func:`autofr.data.reading.memory_reader`."""
    return torch.from_numpy(table.numpy()[indices.numpy()])

"""What a training meets of a set in shards: the endless stream of its samples, and the faces that are held back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autofr.data.faces import Faces
from autofr.data.load import MAX_BAD
from autofr.data.reading import in_parallel
from autofr.data.shards import Sample, Shards, read_shard
from autofr.exceptions import AutofrError
from autofr.images import decode_pixels

CHUNK = 1024
"""Samples that are decoded at a time."""
UNEVEN = 0.1
"""How much less a data rank may have than another."""


class ShardStream:
    """The endless stream of a set's training samples that one data rank meets: its shards in another order each epoch,
    and shuffled in a buffer. Sample ``n`` is a function of the seed and the ranks alone.

    Args:
        shards: the set.
        seed: decides the order.
        epoch: samples of this rank after which another epoch begins; ``None``: as many as it has.
        part, parts: which data rank this is, of how many; each has its own shards.
        buffer: samples among which the next one is drawn.

    Raises:
        AutofrError: the shards cannot be shared out evenly.
    """

    def __init__(
        self,
        shards: Shards,
        seed: int,
        epoch: int | None = None,
        part: int = 0,
        parts: int = 1,
        buffer: int = 4096,
    ) -> None:
        shares = [sum(count for _, count in shards.train[rank::parts]) for rank in range(parts)]
        if min(shares) < (1 - UNEVEN) * max(shares):
            raise AutofrError(
                f"{parts} data ranks cannot share out the {len(shards.train)} shards of {shards.source} evenly: one "
                f"would have {min(shares)} samples, another {max(shares)}; pack it with a smaller --shard-size"
            )
        self.shards, self.seed, self.part, self.buffer = shards, seed, part, buffer
        self.own, self.epoch = shards.train[part::parts], epoch or shares[part]
        self._place = -1
        self._samples: Iterator[Sample] = iter(())

    def seek(self, first: int) -> None:
        """Read up to sample ``first``, from the beginning of its epoch if that lies behind."""
        start = first - first % self.epoch
        if not start <= self._place <= first:
            self._place = start
            self._samples = self._from(first // self.epoch)
        for _ in range(first - self._place):
            next(self._samples)
        self._place = first

    def take(self, first: int, count: int) -> list[Sample]:
        """Samples ``first`` to ``first + count - 1``; the next ones are then read on from there."""
        self.seek(first)
        self._place += count
        return [next(self._samples) for _ in range(count)]

    def _from(self, epoch: int) -> Iterator[Sample]:
        while True:
            left = self.epoch
            for turn in itertools.count():  # again, if the others have a little more
                rng = np.random.default_rng([self.seed, epoch, turn, self.part])
                for sample in itertools.islice(self._shuffled(rng), left):
                    yield sample
                    left -= 1
                if not left:
                    break
            epoch += 1

    def _shuffled(self, rng: np.random.Generator) -> Iterator[Sample]:
        held: list[Sample] = []
        places: Iterator[int] = iter(())
        for number in rng.permutation(len(self.own)):
            for sample in read_shard(self.shards, *self.own[number]):
                if len(held) < self.buffer:
                    held.append(sample)
                    continue
                place = next(places, None)
                if place is None:  # drawn many at a time: one by one they take as long as all the rest
                    places = iter(rng.integers(self.buffer, size=self.buffer).tolist())
                    place = next(places)
                held[place], sample = sample, held[place]
                yield sample
        for place in rng.permutation(len(held)).tolist():
            yield held[place]


def read_validation(shards: Shards, image_size: int, progress: Callable[[int], None] = lambda done: None) -> Faces:
    """The faces to score on, in memory.

    Raises:
        AutofrError: over 5 % of them cannot be read.
    """
    pixels, names, labels, points, lost = [], [], [], [], []
    for name, count in shards.validation:
        stream = read_shard(shards, name, count)
        while samples := list(itertools.islice(stream, CHUNK)):
            images, landmarks, reasons = decode_samples(samples, image_size)
            for place, sample in enumerate(samples):
                if sample.label >= shards.held_back:
                    reasons[place] = f"{sample.name} has label {sample.label}, past the set's identities"
            good = [place for place in range(len(samples)) if place not in reasons]
            lost += [reasons[place] for place in sorted(reasons)]
            if len(lost) > MAX_BAD * sum(listed for _, listed in shards.validation):
                raise AutofrError(
                    f"{len(lost)} images cannot be read ({'; '.join(lost[:3])}): over {MAX_BAD:.0%}: pack the set again"
                )
            pixels.append(images[good].contiguous())
            names += [samples[place].name for place in good]
            labels += [samples[place].label for place in good]
            if landmarks is not None:
                points.append(torch.from_numpy(landmarks[good]))
            progress(len(samples))
    total = len(names) + len(lost)
    total = len(names) + len(lost)
    told = f"{len(lost)} of {total} images cannot be read ({'; '.join(lost[:3])})"
    stacked = torch.cat(pixels)
    kept, numbers = torch.unique(torch.tensor(labels), return_inverse=True)
    return Faces(
        source=shards.source,
        read=lambda wanted: stacked[wanted],
        labels=numbers,
        identities=[f"held back {number}" for number in kept.tolist()],
        names=names,
        landmarks=torch.cat(points) if points else None,
        image_size=image_size,
        scheme=shards.scheme,
        notes=(f"{told}: skipped",) if lost else (),
    )


def decode_samples(
    samples: Sequence[Sample], image_size: int
) -> tuple[Tensor, npt.NDArray[np.float32] | None, dict[int, str]]:
    """Decode samples on as many threads as there are cores.

    Returns:
        Pixels, (N, 3, S, S) uint8; landmarks in them, (N, K, 2), or ``None`` where the set has none; and by place why a
        sample could not be decoded.
    """
    pixels = np.empty((len(samples), image_size, image_size, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
    sizes = np.ones((len(samples), 1, 2), dtype=np.float32)
    reasons: dict[int, str] = {}
    threads = min(os.cpu_count() or 1, len(samples))

    def decode(thread: int) -> None:
        for place in range(thread, len(samples), threads):
            sample = samples[place]
            try:
                if sample.image is None:
                    raise OSError(sample.name)
                pixels[place], sizes[place] = decode_pixels(sample.image, image_size, image_size, sample.name)
            except OSError as error:
                reasons[place] = str(error)

    in_parallel(decode, range(threads), lambda thread: f"a batch from {samples[thread].name} on")
    given = [sample.landmarks for sample in samples]
    found = next((points for points in given if points is not None), None)
    landmarks = None
    if found is not None:
        nothing = np.full_like(found, np.nan)
        stored = np.stack([nothing if points is None else points for points in given])
        landmarks = ((stored + 0.5) * (image_size / sizes) - 0.5).astype(np.float32)
    return torch.from_numpy(pixels), landmarks, reasons

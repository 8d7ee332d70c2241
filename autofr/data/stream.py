"""The endless stream of the samples of a set in shards. No torch: it is read by a process of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from autofr.data.shards import Sample, Shards, read_shard
from autofr.exceptions import AutofrError

FIRST = 8
"""Share of the buffer, one in so many, that is filled before the first sample leaves it."""
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

    def seek(self, first: int, most: int | None = None) -> bool:
        """Read up to sample ``first``, from the beginning of its epoch if that lies behind; of ``most`` samples at a
        time. Returns whether it is reached."""
        start = first - first % self.epoch
        if not start <= self._place <= first:
            self._place = start
            self._samples = self._from(first // self.epoch)
        for _ in range(first - self._place if most is None else min(most, first - self._place)):
            next(self._samples)
            self._place += 1
        return self._place == first

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
        draws: Iterator[float] = iter(())
        samples = (
            sample for number in rng.permutation(len(self.own)) for sample in read_shard(self.shards, *self.own[number])
        )
        for met, sample in enumerate(samples):
            held.append(sample)
            # While the buffer fills up, one leaves for two that come: so nobody waits until it is full.
            if len(held) > self.buffer or (len(held) > self.buffer // FIRST and met % 2):
                draw = next(draws, None)
                if draw is None:  # many at a time: one by one they take as long as all the rest
                    draws = iter(rng.random(1024).tolist())
                    draw = next(draws)
                place = int(draw * len(held))
                held[place], held[-1] = held[-1], held[place]
                yield held.pop()
        for place in rng.permutation(len(held)).tolist():
            yield held[place]

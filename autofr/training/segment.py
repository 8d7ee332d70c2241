"""What happens between two scorings: every member trains on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from autofr.compute.seeding import seeded
from autofr.data.loader import Batch, TrainingBatches
from autofr.training.distillation import Guide
from autofr.training.recipe import Timetable


class Trainee(Protocol):
    """Something that learns from a batch: a member of the population."""

    index: int

    def step(self, batch: Batch, lr: float, ramp: float) -> None:
        """One optimizer step."""

    def half_way(self) -> None:
        """Called before the step with which the second half of a segment begins."""


def train_segment(
    members: Sequence[Trainee],
    batches: TrainingBatches,
    timetable: Timetable,
    steps: range,
    seed: int,
    lr_scale: float = 1.0,
    advance: Callable[[int], None] | None = None,
    guide: Guide | None = None,
) -> None:
    """Train every member for a while.

    Each batch is made once and met by all, so decoding and masking do not cost once a member. Dropout and other
    draws inside a network differ from member to member, and follow from the seed, the step and the member's index.

    Args:
        members: who trains.
        batches: what on.
        timetable: steps, learning rates and ramp.
        steps: of the run: a generation's, or a part of them.
        seed: the run's.
        lr_scale: factor on the learning rate (a half after a rollback).
        advance: called with 1 after each step of all members.
        guide: whose embeddings help those of other architectures; asked once a batch.
    """
    for step, batch in zip(steps, batches.batches(steps.start, steps.stop), strict=True):
        if guide is not None:
            batch = replace(batch, relations=guide.relations(batch.images), guide=guide.key)
        for member in members if step == steps[len(steps) // 2] else ():
            member.half_way()
        for member in members:
            with seeded(seed, "member", step, member.index, batches.mesh.part):
                member.step(batch, timetable.lr(step) * lr_scale, timetable.ramp(step))
        if advance is not None:
            advance(1)

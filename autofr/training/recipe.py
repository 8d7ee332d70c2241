"""How members train: SGD as MAN publishes it, and what a small run needs changed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from autofr.compute.precision import PRECISIONS
from autofr.evaluation.rewards import REWARDS
from autofr.exceptions import AutofrError, UnknownNameError

SMALL = 100_000
"""A run on fewer images is small."""
LARGEST = {
    "epochs": 1e6,
    "segment": 1e6,
    "warmup": 1e6,
    "image_size": 1024,
    "embedding_dim": 2**16,
    "batch_size": 2**20,
}
"""What nobody means to exceed: a configuration may come from a stranger."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training. The defaults are MAN's: SGD, lr 0.1, momentum 0.9, weight decay 1e-4, batch 256, a
    tenth of the learning rate after 50 %, 75 % and 90 % (epochs 10, 15, 18 of 20), a fifth of the faces masked.

    Attributes:
        backbone: name for :func:`autofr.backbones.create_backbone`; a space with a ``backbone`` dimension overrules.
        image_size: side of the images, pixels.
        embedding_dim: length of the embedding.
        epochs: passes over the training identities; each member makes them all.
        segment: length of a generation, epochs (MAN: 1).
        explore: share of a generation, above 0, up to 1 (MAN: 1), that every member trains; then all are scored, and
            the winner goes on alone.
        batch_size: images a step.
        lr, momentum, weight_decay: SGD's.
        schedule: ``step`` (MAN's) or ``cosine`` (to 0).
        warmup: epochs over which the learning rate rises from 0 and margins from none to full.
        clip: largest gradient norm; larger gradients are scaled down to it.
        average: score, and keep, the mean of a member's weights over the second half of a segment
            (:meth:`autofr.engine.member.Member.settle`); without, as they are after its last step.
        scale: the losses' ``s`` where they leave it open.
        mask_prob: probability that a training face is masked.
        fmr: false match rate at which validation takes FNMR.
        reward: what members are compared by: a key of :data:`autofr.evaluation.rewards.REWARDS`.
        distil: weight of :func:`autofr.training.distillation.relation_loss` in the loss of members of other
            architectures than the last generation's best; 0: none.
        class_rate: share of the classes that a step meets (:class:`autofr.losses.partial_fc.PartialFC`); 1: all.
        precision: ``fp32``, ``bf16`` or ``fp16`` (:class:`autofr.compute.precision.Precision`).
        compile: have ``torch.compile`` make the network's kernels.
    """

    backbone: str = "ir50"
    image_size: int = 112
    embedding_dim: int = 512
    epochs: float = 20
    segment: float = 1.0
    explore: float = 1.0
    batch_size: int = 256
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "step"
    warmup: float = 1.0
    clip: float = 5.0
    average: bool = True
    scale: float = 64.0
    mask_prob: float = 0.2
    fmr: float = 1e-3
    reward: str = "det_area"
    distil: float = 0.0
    class_rate: float = 1.0
    precision: str = "fp32"
    compile: bool = False

    @classmethod
    def for_images(cls, images: int, **given: Any) -> Recipe:
        """The recipe for a set of that many images, with ``given`` settings (those that are not ``None``) on top.

        Below 100,000 images it is scaled to a small run: a small net on 64-pixel images; batch 128 and a cosine
        schedule, so that a short run has steps enough, all of them at a useful rate; weight decay 5e-4 against
        overfitting; scale 24, because 64 saturates the softmax of a few thousand identities; two epochs of ramp;
        FMR 1e-2, because few validation pairs cannot show a smaller one steadily.
        """
        small: dict[str, Any] = {}
        if images < SMALL:
            small = {"backbone": "ir_mini", "image_size": 64, "embedding_dim": 128, "epochs": 12, "batch_size": 128}
            small |= {"weight_decay": 5e-4, "schedule": "cosine", "warmup": 2.0, "scale": 24.0, "fmr": 1e-2}
        return replace(cls(), **small | {k: v for k, v in given.items() if v is not None}).checked()

    def checked(self) -> Recipe:
        """This recipe, if its values make sense.

        Raises:
            AutofrError: one does not; it is named.
        """
        for name, value in asdict(self).items():
            shown, kind = name.replace("_", "-"), type(getattr(Recipe, name))
            if kind is bool:
                if not isinstance(value, bool):
                    raise AutofrError(f"{shown} is true or false, got {value!r}")
                continue
            if kind is str:
                if not isinstance(value, str):
                    raise AutofrError(f"{shown} is a name, got {value!r}")
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise AutofrError(f"{shown} is a number, got {value!r}")
            if not math.isfinite(value):
                raise AutofrError(f"{shown} must be a finite number, got {value}")
            if kind is int and name != "epochs" and not isinstance(value, int):
                raise AutofrError(f"{shown} is a whole number, got {value!r}")
            if value > LARGEST.get(name, math.inf):
                raise AutofrError(f"{shown} is {LARGEST[name]:g} at most, got {value!r}")
        positive = ("image_size", "embedding_dim", "epochs", "segment", "batch_size", "lr", "clip", "scale")
        for name in positive:
            value = getattr(self, name)
            if not value > 0:
                raise AutofrError(f"{name.replace('_', '-')} must be above 0, got {value}")
        if self.batch_size < 2:
            raise AutofrError("batch-size must be 2 or more: BatchNorm needs it")
        for name in ("mask_prob", "momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise AutofrError(f"{name.replace('_', '-')} lies from 0 to 1, got {getattr(self, name)}")
        if not 0 < self.fmr < 1:
            raise AutofrError(f"fmr lies between 0 and 1, got {self.fmr}")
        if self.warmup < 0 or self.weight_decay < 0 or self.distil < 0:
            raise AutofrError("warmup, weight-decay and distil must be 0 or more")
        for name, whole in (("class_rate", "the classes"), ("explore", "a generation")):
            if not 0 < getattr(self, name) <= 1:
                shown = name.replace("_", "-")
                raise AutofrError(f"{shown} is a share of {whole}, above 0, up to 1, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)
        if self.reward not in REWARDS:
            raise UnknownNameError("reward", self.reward, REWARDS)
        if self.schedule not in ("step", "cosine"):
            raise UnknownNameError("schedule", self.schedule, ("step", "cosine"))
        return self

    def to_json(self) -> dict[str, Any]:
        """Every setting by name."""
        return asdict(self)


@dataclass(frozen=True)
class Timetable:
    """A recipe in steps: what is in force at each.

    Args:
        recipe: the settings.
        steps_per_epoch: training batches an epoch.
    """

    recipe: Recipe
    steps_per_epoch: int

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return max(1, round(self.recipe.epochs * self.steps_per_epoch))

    @property
    def segment(self) -> int:
        """Steps of a generation."""
        return min(self.total, max(1, round(self.recipe.segment * self.steps_per_epoch)))

    @property
    def generations(self) -> int:
        """Generations of the whole run; the last one may be shorter."""
        return math.ceil(self.total / self.segment)

    @property
    def ramped_generations(self) -> int:
        """Generations at the start that are not trained at full margin throughout."""
        steps = min(self.recipe.warmup * self.steps_per_epoch, self.total / 2)
        return math.ceil(steps / self.segment)

    def steps_of(self, generation: int) -> range:
        """The steps of ``generation``."""
        return range(generation * self.segment, min((generation + 1) * self.segment, self.total))

    def explored(self, generation: int) -> range:
        """Those of them, from the first on, that every member trains; the winner does the others alone."""
        steps = self.steps_of(generation)
        return steps[: max(1, round(self.recipe.explore * len(steps)))]

    def ramp(self, step: int) -> float:
        """Share of the warm-up that is done at ``step``, 0 to 1; never past half of a short run."""
        steps = min(self.recipe.warmup * self.steps_per_epoch, self.total / 2)
        return 1.0 if step >= steps else (step + 1) / (steps + 1)

    def lr(self, step: int) -> float:
        """Learning rate at ``step``."""
        done = step / self.total
        if self.recipe.schedule == "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * done))
        else:
            factor = 0.1 ** sum(done >= share for share in (0.5, 0.75, 0.9))
        return self.recipe.lr * factor * self.ramp(step)

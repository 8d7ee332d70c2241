"""What every script of this experiment shares: the faces, the pool of margins, and how networks train."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autofr import Choice, SearchSpace
from autofr.compute.seeding import seeded
from autofr.data import Faces, load_faces, scan, split_by_identity
from autofr.data.loader import TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.member import Member
from autofr.losses import ArcFace
from autofr.training.recipe import Recipe, Timetable

HERE = Path(__file__).resolve().parent
POOL = [k / 100 for k in range(5, 50, 5)]
"""The margins of ``arcface_margins``: MAN's."""
MARGINS = [0.0, *POOL]
SPACE = SearchSpace(loss=Choice(ArcFace(m) for m in MARGINS))
VERDICT = 300
"""Identities that no run ever meets: what a margin is worth in the end is read off them."""


@dataclass(frozen=True)
class Setting:
    """How large everything is.

    Attributes:
        identities: to train on and to score on, together.
        validation: to score on.
        epochs: of a whole training.
        recipe: what else differs from autofr's own choice for as many images.
    """

    identities: int
    validation: int
    epochs: int
    recipe: dict[str, Any]


SMALL = Setting(990, 150, 12, {"image_size": 48, "backbone": "ir_mini-w0.5", "batch_size": 64})
FULL = Setting(1453, 150, 20, {"image_size": 112, "backbone": "ir50", "batch_size": 128, "embedding_dim": 512})


@dataclass(frozen=True)
class Ground:
    """What one seed trains and is scored on.

    Attributes:
        training, validation: as a search of that seed divides the faces.
        verdict: faces of identities that are in neither.
        recipe, timetable: how members train, and when what.
        seed: decides all that is drawn.
        device: where.
    """

    training: Faces
    validation: Faces
    verdict: Faces
    recipe: Recipe
    timetable: Timetable
    seed: int
    device: torch.device

    def batches(self, seed: int | None = None) -> TrainingBatches:
        """The batches that a search of ``seed`` (the own one) meets."""
        drawn = self.seed if seed is None else seed
        source = FacesSource(self.training, self.recipe.batch_size, drawn)
        return TrainingBatches(source, self.recipe.mask_prob, drawn, self.device)

    def member(self, margin: float) -> Member:
        """A member with the initial weights of the seed, to train with ``margin``."""
        with seeded(self.seed, f"initial weights of {self.recipe.backbone}"):
            member = Member(0, self.recipe.backbone, SPACE, self.recipe, len(self.training.identities), self.device)
        member.begin(MARGINS.index(margin))
        return member


def searched(faces: Faces, setting: Setting) -> Faces:
    """The faces that searches get: the first identities in an order that is drawn once for all."""
    return _of_identities(faces, _order(faces)[: setting.identities])


def ground(faces: Faces, setting: Setting, seed: int) -> Ground:
    """What ``seed`` trains and is scored on, of all faces of ``train``."""
    training, validation = split_by_identity(searched(faces, setting), setting.validation, seed)
    recipe = Recipe.for_images(len(training) + len(validation), epochs=setting.epochs, **setting.recipe)
    steps = FacesSource(training, recipe.batch_size, seed).steps_per_epoch
    verdict = _of_identities(faces, _order(faces)[-VERDICT:])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Ground(training, validation, verdict, recipe, Timetable(recipe, steps), seed, device)


def read_faces(folder: Path, setting: Setting) -> Faces:
    """All faces of ``train``, at the setting's size."""
    return load_faces(scan(folder / "train"), setting.recipe["image_size"], lambda count: None)


def _order(faces: Faces) -> torch.Tensor:
    return torch.randperm(len(faces.identities), generator=torch.Generator().manual_seed(0))


def _of_identities(faces: Faces, wanted: torch.Tensor) -> Faces:
    return faces.subset(torch.isin(faces.labels, wanted).nonzero().squeeze(1))


def write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table beside this file; numbers as they are given. The columns are those of all rows."""
    with open(HERE / name, "w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in rows for key in row))
        writer.writeheader()
        writer.writerows(rows)


def arguments(about: str | None) -> argparse.Namespace:
    """The command line that all scripts share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="holds train/ with its landmarks, lfw/ and mfr2/")
    parser.add_argument("--runs", type=Path, required=True, help="where what is done already is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--processes", type=int, default=2, help="at work at once, on one thread each")
    parser.add_argument("--full", action="store_true", help="the full-size setting, for a GPU")
    return parser.parse_args()

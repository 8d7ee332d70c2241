"""What a search needs before it starts, and everything that can be wrong with what it was handed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autofr.backbones.costs import COSTS, cost
from autofr.compute.device import pick_device
from autofr.compute.mesh import ALONE, Mesh
from autofr.compute.precision import check_compiler
from autofr.console import Display
from autofr.data import Faces, Scan
from autofr.data.loader import TrainingBatches
from autofr.data.shards import Shards
from autofr.data.sources import BatchSource, FacesSource, ShardsSource
from autofr.engine.check_losses import check_shared, try_losses
from autofr.engine.data import images_of, load_call, scan_call
from autofr.engine.loop import Run
from autofr.engine.population import Population
from autofr.engine.request import resolved_config, resolved_recipe, stored_budget
from autofr.engine.validation import Validation
from autofr.exceptions import AutofrError, UnknownNameError
from autofr.policies import create_policy
from autofr.runs.bank import WeightBank
from autofr.runs.journal import Journal
from autofr.runs.pareto import PRICES, Trade
from autofr.runs.record import Record
from autofr.space.budget import check_architectures, within_budget
from autofr.space.constraints import name_of
from autofr.space.space import SearchSpace
from autofr.tracking import Tracker
from autofr.training.recipe import Recipe, Timetable

logger = logging.getLogger(__name__)


def check_run_dir(run_dir: Path, resume: bool) -> None:
    """Nothing, if a run can begin in ``run_dir``, or go on there. A folder in which nothing was begun yet (a run that
    was killed in its first instant leaves one) is as good as none.

    Raises:
        AutofrError: it holds something else, or cannot be written.
    """
    if resume and not (run_dir / "config.json").is_file():
        raise AutofrError(f"nothing to resume: {run_dir} has no config.json")
    begun = run_dir.exists() and not (
        run_dir.is_dir() and all(p.name in ("lock", "config.json.tmp") for p in run_dir.iterdir())
    )
    if begun and not resume:
        raise AutofrError(f"run directory {run_dir} exists; go on with --resume {run_dir}, or name a new one")
    nearest = next(p for p in (run_dir.absolute(), *run_dir.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise AutofrError(f"run directory {run_dir} cannot be made: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise AutofrError(f"run directory {run_dir} cannot be written: {nearest} is read-only; name another --run-dir")


@dataclass(frozen=True)
class Prepared:
    """The parts of a search that do not hang on how far it got.

    Attributes:
        space: what is searched.
        call: the arguments of the search.
        recipe: how members train.
        device: where.
        training: faces to train on.
        validation: faces to score on.
        config: what ``config.json`` holds.
    """

    space: SearchSpace
    call: dict[str, Any]
    recipe: Recipe
    device: torch.device
    training: Faces | Shards
    validation: Validation
    config: dict[str, Any]

    def run(
        self,
        journal: Journal,
        bank: WeightBank,
        track: Callable[[], Tracker],
        display: Display,
        watch: Callable[[Record], None],
        mesh: Mesh,
    ) -> Run:
        """The search as ``journal`` left it. ``track`` is called last: it starts a process. ``watch`` is called after
        each generation.

        Raises:
            AutofrError: the journal holds a state that the policy does not take.
        """
        seed, size = self.call["seed"], self.call["population"]
        batches = TrainingBatches(self._source(mesh), self.recipe.mask_prob, seed, self.device, mesh)
        timetable = Timetable(self.recipe, batches.steps_per_epoch)
        policy = create_policy(self.call["policy"], self.space, seed, timetable.ramped_generations)
        if journal.records:
            try:
                policy.load(journal.records[-1].policy)
            except Exception as error:  # whatever a state that is not its own makes of it
                raise AutofrError(f"{journal.path}: its policy state is no state of {self.call['policy']}") from error
        return Run(
            policy=policy,
            population=Population(self.space, self.recipe, size, self.classes, seed, self.device, mesh),
            mesh=mesh,
            bank=bank,
            batches=batches,
            timetable=timetable,
            validation=self.validation,
            journal=journal,
            display=display,
            seed=seed,
            trade=Trade(self.call["cost"], self.call["prefer"]),
            cost=self._costs(journal),
            watch=watch,
            tracker=track(),
        )

    @property
    def classes(self) -> int:
        """Identities to train on."""
        return self.training.identities if isinstance(self.training, Shards) else len(self.training.identities)

    @property
    def shown(self) -> Faces:
        """Faces for a sheet of masks: those trained on, or where these are a stream, those held back."""
        return self.validation.faces if isinstance(self.training, Shards) else self.training

    def _source(self, mesh: Mesh) -> BatchSource:
        seed, size = self.call["seed"], self.recipe.batch_size
        if isinstance(self.training, Shards):
            return ShardsSource(self.training, self.recipe.image_size, size, seed, mesh)
        return FacesSource(self.training, size, seed, mesh)

    def _costs(self, journal: Journal) -> Callable[[str], float]:
        """What networks cost: as the run knows it already, or else counted or measured, once."""
        known = {n: c for record in journal.records for n, c in zip(record.networks, record.costs, strict=False)}

        def found(backbone: str) -> float:
            if backbone not in known:
                sizes = self.recipe.image_size, self.recipe.embedding_dim
                known[backbone] = cost(self.call["cost"], backbone, *sizes)
            return known[backbone]

        return found


def check_settings(
    space: SearchSpace,
    call: dict[str, Any],
    source: Scan | Faces | Shards | None,
    display: Display,
    stored: dict[str, Any] | None = None,
) -> tuple[SearchSpace, Recipe, torch.device]:
    """Check all that can be checked before any image is read.

    Args:
        space: what to search.
        call: the arguments of :func:`autofr.search`, by name.
        source: where the faces are.
        display: where progress goes.
        stored: the configuration of the run that goes on, if one does.

    Returns:
        The space within its budgets, the recipe, and the device.

    Raises:
        AutofrError: bad input.
    """
    try_losses(space)
    for name, known in (("cost", COSTS), ("prefer", PRICES)):
        if call[name] not in known:
            raise UnknownNameError(name, str(call[name]), known)
    if call["seed"] < 0:
        raise AutofrError(f"a seed is 0 or more, got {call['seed']}")
    create_policy(call["policy"], space, call["seed"])
    device = pick_device(call["device"])
    recipe = resolved_recipe(call, images_of(source))
    _refuse_idle(space, call, recipe)
    if recipe.compile:
        check_compiler(device)
    check_architectures(space, recipe.backbone, recipe.image_size, recipe.embedding_dim)
    space = (stored and stored_budget(stored, space)) or _within_budget(space, recipe, display)
    has_landmarks = source is None or (source.scheme if isinstance(source, Shards) else source.landmarks) is not None
    if not has_landmarks and recipe.mask_prob > 0:
        packed = "pack it again with --landmarks" if isinstance(source, Shards) else "name --landmarks"
        remedy = f"{packed} ('autofr landmarks' makes them)"
        raise AutofrError(f"{call['data']} has no landmarks to hang masks on; {remedy}, or --mask-prob 0")
    return space, recipe, device


def _refuse_idle(space: SearchSpace, call: dict[str, Any], recipe: Recipe) -> None:
    """Refuse settings that would do nothing."""
    asked = [f"--{name} {call[name]}" for name in ("cost", "prefer") if call[name] != getattr(Trade(), name)]
    if asked and not space.architecture:
        raise AutofrError(f"{asked[0]} weighs networks, and this space has one: leave it out, or search the backbone")
    if space.architecture and call.get("backbone") is not None:
        raise AutofrError("the space searches the network, and --backbone would do nothing: leave it out")
    if recipe.explore < 1 and call["population"] == 1:
        raise AutofrError("--explore is for a population, and a training has one network: leave it out")
    if recipe.explore < 1 and space.architecture:
        raise AutofrError(
            "--explore has one winner go on alone, and weights of other networks would stay behind: leave it out where "
            "the space searches the network"
        )
    unrelated = "backbone" in space and len(space.dimensions["backbone"]) > 1
    if recipe.distil > 0 and not unrelated:
        raise AutofrError("--distil helps unrelated networks, and this space has no Choice of them: leave it out")


def prepare(
    space: SearchSpace,
    call: dict[str, Any],
    display: Display,
    stored: dict[str, Any] | None = None,
    mesh: Mesh = ALONE,
) -> Prepared:
    """Check all that a search was handed, and read its faces. Nothing is written but timings of networks, to a cache.

    Args:
        space, call, display, stored: as for :func:`check_settings`.
        mesh: which ranks do the work.

    Raises:
        AutofrError: bad input.
    """
    if mesh.data > 1:
        check_shared(space)
    source = scan_call(call)
    space, recipe, device = check_settings(space, call, source, display, stored)
    training, held_back, about = load_call(source, recipe.image_size, call, display)
    config = resolved_config(space, call, recipe, device, about)
    json.dumps(config, allow_nan=False)
    for what, count, least in (
        ("images a batch", recipe.batch_size, 2 * mesh.data),  # BatchNorm needs two on each rank
        ("images to score on", len(held_back), mesh.data),
    ):
        if count < least:
            raise AutofrError(f"{count} {what} are too few for {mesh.data} data ranks, which need {least}")
    prepared = Prepared(
        space,
        call,
        recipe,
        device,
        training,
        Validation(held_back, recipe.fmr, call["seed"], device, mesh, recipe.reward),
        config,
    )
    if prepared.classes < mesh.data:
        raise AutofrError(f"{mesh.data} data ranks cannot share out {prepared.classes} identities")
    logger.info(
        f"{len(training)} images of {prepared.classes} identities to train on, {len(held_back)} of "
        f"{len(held_back.identities)} to score on; {_networks(space, recipe)} at {recipe.image_size} pixels, {device}"
    )
    if call["population"] == 1:
        logger.info(f"loss {space.dimensions['loss'].names[0]}, scale {recipe.scale:g} if it names none")
    return prepared


def _within_budget(space: SearchSpace, recipe: Recipe, display: Display) -> SearchSpace:
    if not space.constraints:
        return space
    with display.bar("costs of networks", space.size) as advance:
        return within_budget(space, recipe.backbone, recipe.image_size, recipe.embedding_dim, advance)


def _networks(space: SearchSpace, recipe: Recipe) -> str:
    if not space.architecture:
        return recipe.backbone
    limits = ", ".join(map(name_of, space.constraints))
    within = "" if space.allowed is None else f"{len(space.allowed)} within {limits} of "
    return f"{within}{space.size} architectures"

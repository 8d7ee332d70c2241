"""`autofr.search` and `autofr.train`: the arguments, and what they mean."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from autofr.compute.mesh import Shape
from autofr.data import Faces
from autofr.engine.run import run_search
from autofr.exceptions import AutofrError
from autofr.losses import MarginLoss, create_loss
from autofr.runs.record import Record
from autofr.runs.result import SearchResult
from autofr.space.dimensions import Choice
from autofr.space.load import load_space
from autofr.space.space import SearchSpace
from autofr.system.torchrun import launched
from autofr.training.arguments import RecipeArguments, with_recipe_arguments
from autofr.training.recipe import Recipe

POPULATION = 4
"""Members of a search where nobody says how many."""


def search_call(policy: str, population: int | None, **others: Any) -> dict[str, Any]:
    """The arguments of a search by name, without settings of the recipe that are ``None``.

    Raises:
        AutofrError: no population, or no policy.
    """
    population = POPULATION if population is None else population
    if isinstance(population, bool) or not isinstance(population, int) or population < 2:
        raise AutofrError(f"a population needs 2 members or more to compare, a whole number, got {population}")
    if not isinstance(policy, str):
        raise AutofrError(f"a policy is named by a string such as 'lfs:lr=0.1', got {policy!r}")
    given = {k: v for k, v in others.items() if v is not None or k not in Recipe.__dataclass_fields__}
    return {"policy": policy, "population": population, **given}


@with_recipe_arguments
def search(
    space: SearchSpace | str | Path,
    data: str | Path | Faces | None = None,
    *,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    policy: str = "thompson",
    population: int | None = None,
    seed: int = 0,
    device: str = "auto",
    validation_identities: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    tracking: bool = True,
    progress: bool = True,
    cost: str = "flops",
    prefer: str = "accurate",
    mesh: str | None = None,
    watch: Callable[[Record], None] | None = None,
    **recipe: Unpack[RecipeArguments],
) -> SearchResult:
    """Search while training once.

    A population trains in step. Each generation every member draws its choices from the policy's probabilities α,
    trains for a segment, and is scored on identities that nobody trains on; α moves to what scored well; all
    continue from the best weights.

    Args:
        space: a :class:`SearchSpace`, or a name that :func:`autofr.space.load.load_space` finds.
        data: a folder with one sub-folder an identity, faces in memory, or ``None`` for the built-in drawn faces.
        landmarks: ``.npz`` of landmarks; ``None``: ``DATA_landmarks.npz`` beside the folder.
        landmark_scheme: what the landmarks are (:func:`autofr.masks.landmark_scheme`); ``None``: the file or their
            number says it.
        policy: a name in ``autofr.policies.POLICIES``, with settings or without: ``lfs:lr=0.1``. The
            default did best over options where it was measured (docs/policies.md); MAN's is ``lfs``.
        population: members, 2 or more; ``None``: as many as ``mesh`` says, or 4.
        seed: decides everything that is drawn.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        validation_identities: how many to hold back; ``None``: a tenth, 2 to 200.
        run_dir: where to write; ``None``: ``runs/SPACE-TIME``. It must be new, unless ``resume``.
        resume: go on where the run in ``run_dir`` stopped. Settings and data must be the same.
        tracking: write to MLflow.
        progress: print what is logged (a line a generation) and show a bar; ``False``: log it only.
        cost: where networks are searched, what error is weighed against: ``params``, ``flops`` or ``latency``
            (milliseconds on one thread of the CPU, batch 1).
        prefer: where networks are searched, how: ``accurate``, ``balanced`` or ``fast``
            (:class:`autofr.runs.pareto.Trade`). It steers α, and picks :attr:`SearchResult.checkpoint` from the
            Pareto set.
        mesh: how the processes that ``torchrun`` started share the work (docs/scaling.md): ``member=M,data=D``, M
            members spread over groups of D ranks; ``None``: ``data=1``. Needs ``run_dir``.
        watch: called with each generation's record once it is committed, but for the last one's. What it raises
            (:class:`Pruned`, say) ends the search, which can be resumed.
        recipe: settings of :class:`autofr.training.recipe.Recipe`, each an argument of its own; they are listed below.

    Returns:
        The result, read from the run directory.

    Raises:
        AutofrError: bad input; nothing has been written then.
        SettingsDifferError: a run is resumed with other settings.
        LockedError: another process works in ``run_dir``.
        DivergedError: every member diverged, at half the learning rate too.
    """
    space = str(space) if isinstance(space, Path) else space
    name = Path(space).stem if isinstance(space, str) else "search"
    loaded = load_space(space) if isinstance(space, str) else space
    call: dict[str, Any] = {"space": space, "data": data, "landmarks": landmarks, "landmark_scheme": landmark_scheme}
    if population is None:
        population = None if mesh is None else Shape.parse(mesh).member
    call |= {"policy": policy, "population": population, "seed": seed, "device": device}
    call |= {"validation_identities": validation_identities, "cost": cost, "prefer": prefer}
    call = search_call(**call, **recipe)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    _check_launch(mesh, call["population"], run_dir)
    return run_search(loaded, call, folder, resume, tracking, progress, watch, mesh)


@with_recipe_arguments
def train(
    loss: MarginLoss | str,
    data: str | Path | Faces | None = None,
    *,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    seed: int = 0,
    device: str = "auto",
    validation_identities: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    tracking: bool = True,
    progress: bool = True,
    mesh: str | None = None,
    watch: Callable[[Record], None] | None = None,
    **recipe: Unpack[RecipeArguments],
) -> SearchResult:
    """Train one network with one loss: a search of one option by one member, in the same loop and run directory.

    Args:
        loss: what to train with: a loss, or a description that :func:`autofr.losses.create_loss` takes.
        data: a folder with one sub-folder an identity, faces in memory, or ``None`` for the built-in drawn faces.
        landmarks: ``.npz`` of landmarks; ``None``: ``DATA_landmarks.npz`` beside the folder.
        landmark_scheme: what the landmarks are (:func:`autofr.masks.landmark_scheme`); ``None``: the file or their
            number says it.
        seed: decides everything that is drawn.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        validation_identities: how many to hold back; ``None``: a tenth, 2 to 200.
        run_dir: where to write; ``None``: ``runs/train-TIME``. It must be new, unless ``resume``.
        resume: go on where the run in ``run_dir`` stopped. Settings and data must be the same.
        tracking: write to MLflow.
        progress: print what is logged (a line a generation) and show a bar; ``False``: log it only.
        mesh: how the processes that ``torchrun`` started share the work (docs/scaling.md): ``data=D``; ``None``:
            ``data=1``. Needs ``run_dir``.
        watch: called with each generation's record once it is committed, but for the last one's. What it raises ends
            the training, which can be resumed.
        recipe: settings of :class:`autofr.training.recipe.Recipe`, each an argument of its own; they are listed below.

    Returns:
        The result, read from the run directory.

    Raises:
        AutofrError: bad input; nothing has been written then. The named errors are those of :func:`search`.
    """
    taken = sorted({"space", "policy", "population", "cost", "prefer"} & recipe.keys())
    if taken:
        raise AutofrError(f"train sets {', '.join(taken)} itself; use search to choose them")
    made = create_loss(loss) if isinstance(loss, str) else loss
    _check_launch(mesh, 1, run_dir)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / f"train-{time.strftime('%Y%m%d-%H%M%S')}"
    call: dict[str, Any] = {"space": loss, "data": data, "landmarks": landmarks, "landmark_scheme": landmark_scheme}
    call |= {"policy": "fixed", "population": 1, "seed": seed, "device": device, "cost": "flops", "prefer": "accurate"}
    call |= {"validation_identities": validation_identities, **recipe}
    return run_search(SearchSpace(loss=Choice(made)), call, folder, resume, tracking, progress, watch, mesh)


def _check_launch(mesh: str | None, population: int, run_dir: str | Path | None) -> None:
    """Nothing, if the processes that there are fit the mesh.

    Raises:
        AutofrError: they do not.
    """
    shape = Shape.parse(mesh) if mesh is not None else Shape()
    if not launched():
        if shape.data > 1:
            raise AutofrError(f"--mesh {mesh} needs {shape.data} processes or more: start autofr by torchrun")
        shape.groups(population, 1)
    elif run_dir is None:
        raise AutofrError("processes of torchrun need --run-dir: one that is started again finds its run by it")

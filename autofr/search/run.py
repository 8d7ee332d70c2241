"""`autofr.search` and `autofr.train`: check everything, put the parts together, run the loop, write it down."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import torch

from autofr.backbones import create_backbone
from autofr.data import Faces, load_folder, scan_folder, split_by_identity, synthetic_faces
from autofr.data.folder import FolderScan
from autofr.data.loader import TrainingBatches
from autofr.data.synthetic import SYNTHETIC_IDENTITIES, SYNTHETIC_IMAGES
from autofr.device import pick_device
from autofr.dimensions import Choice, Range
from autofr.embedder import best_embedder
from autofr.evaluation.validation import Validation
from autofr.exceptions import AutofrError
from autofr.files import write_json
from autofr.losses import MarginLoss, create_loss
from autofr.progress import Display, command_name
from autofr.search.config import refuse_other_settings, resolved_config, resolved_recipe
from autofr.search.journal import Journal
from autofr.search.loop import Run, search_loop
from autofr.search.policies import create_policy
from autofr.search.population import Population
from autofr.search.result import SearchResult
from autofr.seeding import seeded
from autofr.spaces import SearchSpace, load_space
from autofr.tracking import Tracker
from autofr.training.recipe import Timetable


def search(
    space: SearchSpace | str | Path,
    data: str | Path | Faces | None = None,
    *,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    policy: str = "thompson",
    population: int = 4,
    seed: int = 0,
    device: str = "auto",
    validation_identities: int | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    tracking: bool = True,
    progress: bool = True,
    **recipe: Any,
) -> SearchResult:
    """Search while training once.

    A population trains in step. Each generation every member draws its choices from the policy's probabilities α,
    trains for a segment, and is scored on identities that nobody trains on; α moves to what scored well; all
    continue from the best weights.

    Args:
        space: a :class:`SearchSpace`, or a name that :func:`autofr.spaces.load_space` finds.
        data: a folder with one sub-folder an identity, faces in memory, or ``None`` for the built-in drawn faces.
        landmarks: ``.npz`` of landmarks; ``None``: ``DATA_landmarks.npz`` beside the folder.
        landmark_scheme: what the landmarks are (:func:`autofr.masks.landmark_scheme`); ``None``: the file or their
            number says it.
        policy: a name in ``autofr.search.policies.POLICIES``, with settings or without: ``lfs:lr=0.1``. The
            default did best over options where it was measured (docs/policies.md); MAN's is ``lfs``.
        population: members, 2 or more.
        seed: decides everything that is drawn.
        device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        validation_identities: how many to hold back; ``None``: a tenth, 2 to 200.
        run_dir: where to write; ``None``: ``runs/SPACE-TIME``. It must be new, unless ``resume``.
        resume: go on where the run in ``run_dir`` stopped. Settings and data must be the same.
        tracking: write to MLflow.
        progress: show a bar and a line a generation.
        recipe: any field of :class:`autofr.training.recipe.Recipe`, such as ``epochs``, ``lr`` or ``image_size``.

    Returns:
        The result, read from the run directory.

    Raises:
        AutofrError: bad input; nothing has been written then.
    """
    space = str(space) if isinstance(space, Path) else space
    if not isinstance(population, int) or population < 2:
        raise AutofrError(f"a population needs 2 members or more to compare, a whole number, got {population}")
    if not isinstance(policy, str):
        raise AutofrError(f"a policy is named by a string such as 'lfs:lr=0.1', got {policy!r}")
    name = Path(space).stem if isinstance(space, str) else "search"
    loaded = load_space(space) if isinstance(space, str) else space
    wanted = {k: v for k, v in recipe.items() if v is not None}
    call: dict[str, Any] = {"space": space, "data": data, "landmarks": landmarks, "landmark_scheme": landmark_scheme}
    call |= {"policy": policy, "population": population, "seed": seed, "device": device}
    call |= {"validation_identities": validation_identities, **wanted}
    folder = Path(run_dir) if run_dir is not None else Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return _run(loaded, call, folder, resume, tracking, Display(progress))


def train(loss: MarginLoss | str, data: str | Path | Faces | None = None, **settings: Any) -> SearchResult:
    """Plain training: a search of one option by one member, in the same loop and run directory.

    Args:
        loss: what to train with: a loss, or a description that :func:`autofr.losses.create_loss` takes.
        data: as for :func:`search`.
        settings: any other argument of :func:`search`, but for ``space``, ``policy`` and ``population``.
    """
    taken = sorted({"space", "policy", "population"} & settings.keys())
    if taken:
        raise AutofrError(f"train sets {', '.join(taken)} itself; use search to choose them")
    made = create_loss(loss) if isinstance(loss, str) else loss
    progress, tracking = settings.pop("progress", True), settings.pop("tracking", True)
    resume, run_dir = settings.pop("resume", False), settings.pop("run_dir", None)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / f"train-{time.strftime('%Y%m%d-%H%M%S')}"
    call: dict[str, Any] = {"space": loss, "data": data, "landmarks": None, "landmark_scheme": None, "policy": "fixed"}
    call |= {"population": 1, "seed": 0, "device": "auto", "validation_identities": None, **settings}
    return _run(SearchSpace(loss=Choice(made)), call, folder, resume, tracking, Display(progress))


def _run(
    space: SearchSpace, call: dict[str, Any], run_dir: Path, resume: bool, tracking: bool, display: Display
) -> SearchResult:
    """Everything that can be wrong is found before the run directory is made."""
    if run_dir.exists() and not resume:
        raise AutofrError(f"run directory {run_dir} exists; go on with --resume {run_dir}, or name a new one")
    if resume and not (run_dir / "config.json").is_file():
        raise AutofrError(f"nothing to resume: {run_dir} has no config.json")
    for option in space.dimensions["loss"].options:
        if not isinstance(option, MarginLoss):
            raise AutofrError(f"loss option '{option}' is a {type(option).__name__}, not a MarginLoss of autofr.losses")
        _try_out(option)
    if isinstance(space.dimensions["loss"], Range):
        _try_range(space.dimensions["loss"])
    if call["seed"] < 0:
        raise AutofrError(f"a seed is 0 or more, got {call['seed']}")
    create_policy(call["policy"], space, call["seed"])
    device = pick_device(call["device"])
    source = _scan(call["data"], call["landmarks"], call["landmark_scheme"])
    count = SYNTHETIC_IDENTITIES * SYNTHETIC_IMAGES if source is None else len(source)
    recipe = resolved_recipe(call, count)
    for backbone in space.dimensions["backbone"].options if "backbone" in space else (recipe.backbone,):
        create_backbone(str(backbone), recipe.image_size, recipe.embedding_dim)
    if source is not None and source.landmarks is None and recipe.mask_prob > 0:
        raise AutofrError(
            f"{call['data']} has no landmarks to hang masks on; name --landmarks ('autofr landmarks' makes them), "
            "or --mask-prob 0"
        )
    faces = _load(source, recipe.image_size, call["seed"], display)
    training, validation = split_by_identity(faces, call["validation_identities"], call["seed"])
    config = resolved_config(space, call, recipe, device, faces, len(validation.identities))
    scoring = Validation(validation, recipe.fmr, call["seed"], device)
    if resume:
        refuse_other_settings(run_dir, config)
    for note in faces.notes:
        display.say(note)
    display.say(
        f"{len(training)} images of {len(training.identities)} identities to train on, {len(validation)} of "
        f"{len(validation.identities)} to score on; {recipe.backbone} at {recipe.image_size} pixels, {device}"
    )

    batches = TrainingBatches(training, recipe.batch_size, recipe.mask_prob, call["seed"], device)
    timetable = Timetable(recipe, batches.steps_per_epoch)
    run = Run(
        policy=create_policy(call["policy"], space, call["seed"], timetable.ramped_generations),
        population=Population(space, recipe, call["population"], len(training.identities), call["seed"], device),
        batches=batches,
        validation=scoring,
        **_opened(run_dir, config, resume, display),
        timetable=timetable,
        tracker=Tracker(run_dir, config, display.say, tracking),
        display=display,
        seed=call["seed"],
    )
    if call["population"] == 1:
        display.say(f"loss {run.population.space.dimensions['loss'].names[0]}, scale {recipe.scale:g} if it names none")
    if run.journal.records:
        run.policy.load(run.journal.records[-1].policy)
        finished = run.journal.next_generation >= timetable.generations
        where = "has all its generations" if finished else f"goes on at generation {run.journal.next_generation + 1}"
        display.say(f"resuming: {run_dir} {where}")
    try:
        search_loop(run)
        return _write_down(run, run_dir, training)
    except BaseException as error:
        run.tracker.abandon("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        if isinstance(error, KeyboardInterrupt):
            command = "train" if call["population"] == 1 else "search"
            display.say(f"interrupted; go on with: {command_name()} {command} --resume {run_dir}")
        raise


def _try_out(option: MarginLoss) -> torch.Tensor:
    """A loss of the user's own that cannot be called is found before anything is trained. Returns its value."""
    loss = copy.deepcopy(option)
    loss.s = 16.0 if loss.s is None else loss.s
    cosines = torch.linspace(-0.5, 0.5, 4 * loss.sub_centres).view(2, -1)
    try:
        with seeded(0, "try out"):
            value = loss(cosines, torch.tensor([0, 1]), torch.tensor([10.0, 20.0]))
    except Exception as error:
        raise AutofrError(f"loss option '{option}' fails on a batch: {type(error).__name__}: {error}") from error
    if not (isinstance(value, torch.Tensor) and value.ndim == 0):
        raise AutofrError(f"loss option '{option}' gives no scalar for (cosines, labels, norms)")
    return value


def _try_range(dimension: Range) -> None:
    """Setting the parameter must do what making the loss anew does; one that computes from it when made does not."""
    made, kept = dimension.option(dimension.high), copy.deepcopy(dimension.options[0])
    dimension.pick([kept], dimension.high)
    if not torch.equal(_try_out(made), _try_out(kept)):
        raise AutofrError(
            f"{type(made).__name__} does not heed a change of its attribute '{dimension.parameter}': "
            "let it compute from it when it is called, not when it is made"
        )


def _opened(run_dir: Path, config: dict[str, Any], resume: bool, display: Display) -> dict[str, Any]:
    if not resume:
        json.dumps(config, allow_nan=False)  # before there is a directory
        run_dir.mkdir(parents=True)
        write_json(run_dir / "config.json", config)
    journal = Journal(run_dir)
    bank = journal.recover()
    for note in journal.notes:
        display.say(note)
    return {"journal": journal, "bank": bank}


def _write_down(run: Run, run_dir: Path, training: Faces) -> SearchResult:
    from autofr.evaluation.plots import plot_alpha, plot_lineage
    from autofr.sheet import mask_sheet

    result = SearchResult(run_dir)
    winner = best_embedder(run_dir)
    winner.save(result.checkpoint)
    run.display.say("writing pictures and the best network")
    pictures = [run_dir / "alpha.png", run_dir / "lineage.png", run_dir / "report.json"]
    plot_alpha(result.alpha, result.options, pictures[0])
    plot_lineage(result.lineage, list(run.population.space), pictures[1])
    write_json(run_dir / "report.json", result.report())
    if training.landmarks is not None:
        pictures.append(run_dir / "masks.png")
        mask_sheet(training, pictures[-1], run.seed)
    run.tracker.sync(run.journal, run.bank)
    run.tracker.finish(result, winner, pictures)
    return result


def _scan(
    data: str | Path | Faces | None, landmarks: str | Path | None, scheme: str | None
) -> FolderScan | Faces | None:
    if isinstance(data, (str, Path)):
        return scan_folder(data, landmarks, scheme)
    if landmarks is not None or scheme is not None:
        raise AutofrError("--landmarks goes with --data: drawn faces and faces in memory bring their own")
    return data


def _load(source: FolderScan | Faces | None, image_size: int, seed: int, display: Display) -> Faces:
    if isinstance(source, Faces):
        return source
    if source is None:
        with display.bar("drawing faces", SYNTHETIC_IDENTITIES * SYNTHETIC_IMAGES) as advance:
            return synthetic_faces(SYNTHETIC_IDENTITIES, SYNTHETIC_IMAGES, image_size, seed, advance)
    with display.bar("reading faces", len(source)) as advance:
        return load_folder(source, image_size, advance)

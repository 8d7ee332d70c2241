"""`autofr.study`: check everything, start the workers, keep MLflow up to date, say what was best."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofr.backbones.budget import check_architectures
from autofr.child import environment, module_command
from autofr.data import scan
from autofr.exceptions import AutofrError
from autofr.interrupts import stoppable
from autofr.lock import locked
from autofr.progress import Display, command_name
from autofr.spaces import SearchSpace, is_space_file, load_space, shipped_spaces
from autofr.studies.mirror import mirror_study
from autofr.studies.plan import Plan, vary_json
from autofr.studies.worker import Worker, open_study, trial_dir

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

POLL = 1.0
"""Seconds between two looks at what the workers did."""


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        study_dir: its directory.
        plan: what was asked for.
        trials: Optuna's, in order.
    """

    study_dir: Path
    plan: Plan
    trials: list[FrozenTrial]

    @property
    def best(self) -> FrozenTrial:
        """The finished trial with the highest reward; the earliest of equals.

        Raises:
            AutofrError: none is finished.
        """
        done = [trial for trial in self.trials if trial.state.name == "COMPLETE"]
        if not done:
            why = next((t.user_attrs["error"] for t in self.trials if "error" in t.user_attrs), "none has ended")
            raise AutofrError(f"no trial of {self.study_dir} came to its end; the first: {why}")
        return max(done, key=lambda trial: (trial.value, -trial.number))

    @property
    def run_dir(self) -> Path:
        """The run directory of the best trial's search."""
        return trial_dir(self.study_dir, self.best.number)


def study(
    space: SearchSpace | str | Path,
    data: str | Path | None = None,
    *,
    vary: Mapping[str, Sequence[Any] | BaseDistribution],
    trials: int = 20,
    workers: int = 1,
    sampler: str = "TPESampler",
    pruner: str = "MedianPruner",
    seed: int = 0,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    study_dir: str | Path | None = None,
    resume: bool = False,
    tracking: bool = True,
    progress: bool = True,
    **settings: Any,
) -> StudyResult:
    """Search over what the members of a population cannot share: a study of Optuna, each trial a short search.

    A trial's value is its best generation's reward; after every generation the pruner is asked whether to go on. Trials
    are run directories in the study's, where they can be looked at, evaluated and compared like any other.

    Args:
        space: what each trial searches, as for :func:`autofr.search`.
        data: faces, or ``None`` for drawn ones.
        vary: for each setting of the recipe that is varied, its distribution: Optuna's, or a list as
            :func:`autofr.studies.plan.distribution` takes it.
        trials: how many, in all.
        workers: processes that run trials at the same time; a space built in Python has one.
        sampler, pruner: names in ``optuna.samplers`` and ``optuna.pruners``, with settings or without:
            ``TPESampler:n_startup_trials=5``, ``NopPruner``.
        seed: decides what is drawn; trials have it for theirs.
        landmarks, landmark_scheme: as for :func:`autofr.search`.
        study_dir: where to write; ``None``: ``runs/study-SPACE-TIME``.
        resume: go on with the study in ``study_dir``. Trials that were under way go on from their last generation;
            ``trials`` may be raised, the rest has to be the same.
        tracking: write to MLflow: the study a run, every trial a child run with its parameters.
        progress: show a line a trial.
        settings: other arguments of :func:`autofr.search`: ``epochs``, ``population``, ``policy`` ...

    Raises:
        AutofrError: bad input, before anything is written; or no trial came to its end.
    """
    name = Path(space).stem if isinstance(space, str | Path) else "search"
    named = f"study-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path(study_dir) if study_dir is not None else Path("runs") / named
    display = Display(progress)
    given = {key: value for key, value in settings.items() if value is not None}
    plan = Plan(
        id=uuid.uuid4().hex,
        started=time.time(),
        space=None if isinstance(space, SearchSpace) else _located(str(space)),
        data=None if data is None else str(Path(data).resolve()),
        landmarks=None if landmarks is None else str(Path(landmarks).resolve()),
        landmark_scheme=landmark_scheme,
        vary=vary_json(vary),
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        settings=given,
    )
    loaded = load_space(str(space)) if not isinstance(space, SearchSpace) else space
    _check(plan, loaded, workers)
    if resume:
        plan = _as_before(Plan.load(folder), plan)
    elif folder.exists() and any(folder.iterdir()):
        raise AutofrError(f"study directory {folder} exists; go on with --resume {folder}, or name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    with stoppable(), locked(folder / "lock", f"another process runs the study {folder}"):
        plan.save(folder)
        open_study(folder, plan)
        follow = _Follower(folder, plan, display.say, tracking)
        try:
            if workers == 1:
                Worker(folder, plan, str(space) if isinstance(space, Path) else space, display.say).work(follow.look)
            else:
                _in_processes(folder, str(space), workers, display.say, follow.look)
        except KeyboardInterrupt:
            again = f"{command_name()} study --resume {folder}"
            by_path = "" if plan.space in shipped_spaces() else f" --space {plan.space}"
            display.say(f"stopped; go on with: {again}{by_path}")
            raise
        finally:
            follow.look(last=True)
    result = StudyResult(folder, plan, open_study(folder, plan).get_trials())
    _ = result.best
    return result


def _located(space: str) -> str:
    return str(Path(space).resolve()) if is_space_file(space) else space


def _check(plan: Plan, space: SearchSpace, workers: int) -> None:
    """Everything that can be wrong before a trial begins."""
    for what, count in (("trials", plan.trials), ("workers", workers)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise AutofrError(f"{what} is a whole number, 1 or more, got {count!r}")
    if plan.space is None and workers > 1:
        raise AutofrError("several workers need a space that each can load: write it to a file, and name that")
    taken = sorted(plan.vary.keys() & plan.settings.keys())
    if taken:
        raise AutofrError(f"{taken[0]} is both set and varied; leave out one")
    if "backbone" in plan.vary and space.architecture:
        raise AutofrError("the space searches the network, and --vary backbone would too; leave out one")
    plan.make_sampler(0)
    plan.make_pruner()
    source = None if plan.data is None else scan(plan.data, plan.landmarks, plan.landmark_scheme)
    images = 1000 if source is None else len(source.names)
    for name, found in plan.distributions().items():
        for value in _extremes(found):
            recipe = plan.recipe(images, **{name: value})
            if name in ("backbone", "image_size", "embedding_dim"):
                check_architectures(space, recipe.backbone, recipe.image_size, recipe.embedding_dim)


def _extremes(found: BaseDistribution) -> list[Any]:
    """Among which a value is that no recipe takes, if there is one: all options, or both ends of an interval."""
    choices = getattr(found, "choices", None)
    return list(choices) if choices is not None else [vars(found)["low"], vars(found)["high"]]


def _as_before(stored: Plan, now: Plan) -> Plan:
    """The stored plan, with as many trials as are asked for now.

    Raises:
        AutofrError: something else differs.
    """
    skipped = ("id", "started", "trials", "space", "data", "landmarks")
    different = [k for k in vars(now) if k not in skipped and getattr(stored, k) != getattr(now, k)]
    if different:
        listed = "; ".join(f"{k} was {getattr(stored, k)}, is {getattr(now, k)}" for k in different)
        raise AutofrError(f"cannot go on with this study with other settings: {listed}; take those, or start anew")
    return Plan(**(vars(stored) | {k: getattr(now, k) for k in ("trials", "space", "data", "landmarks")}))


def _in_processes(
    study_dir: Path, space: str, workers: int, say: Callable[[str], None], look: Callable[[], None]
) -> None:
    command = module_command("autofr.studies.worker", str(study_dir.absolute()), space)
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True)
        for _ in range(workers)
    ]
    for process in processes:
        threading.Thread(target=_relay, args=(process, say), daemon=True).start()
    try:
        while any(process.poll() is None for process in processes):
            look()
            time.sleep(POLL)
    except BaseException:
        for process in processes:
            process.send_signal(signal.SIGINT)  # each commits, or rolls back, the generation that it is at
        for process in processes:
            process.wait()
        raise
    failed = [process.returncode for process in processes if process.returncode]
    if len(failed) == workers:
        raise AutofrError(f"every worker of {study_dir} failed, the first with status {failed[0]}; see above")


def _relay(process: subprocess.Popen[str], say: Callable[[str], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        say(line.rstrip())


class _Follower:
    """Writes the study to MLflow whenever a trial ended. A store that fails costs a line, and is tried again."""

    def __init__(self, study_dir: Path, plan: Plan, say: Callable[[str], None], enabled: bool) -> None:
        self.study_dir, self.plan, self.say, self.enabled = study_dir, plan, say, enabled
        self._known, self._failing = -1, False

    def look(self, last: bool = False) -> None:
        """Write what is new."""
        if not self.enabled:
            return
        ended = sum(trial.state.is_finished() for trial in open_study(self.study_dir, self.plan).get_trials())
        if ended == self._known and not last:
            return
        try:
            mirror_study(self.study_dir)
            self._known, self._failing = ended, False
        except Exception as error:  # whatever MLflow raises
            if not self._failing or last:
                told = str(error).splitlines()[0] if str(error) else type(error).__name__
                self.say(f"MLflow failed ({told}); {command_name()} sync-tracking {self.study_dir} fills it in")
            self._failing, self._known = True, ended


def stored_arguments(study_dir: Path, space: str | None) -> dict[str, Any]:
    """The arguments of :func:`study` that made a study, for going on with it.

    Args:
        study_dir: the study's.
        space: the space that the user named for it, if any.

    Raises:
        AutofrError: no study; one whose space was built in Python; or one whose space does not come with autofr, and
            the user did not name it: a directory may come from somebody else, and must not choose what is executed.
    """
    plan = Plan.load(study_dir)
    if plan.space is None:
        raise AutofrError(f"{study_dir} was started from Python; go on there: autofr.study(..., resume=True)")
    if space is None and plan.space not in shipped_spaces():
        raise AutofrError(
            f"the space of {study_dir}, {plan.space}, is Python of somebody's and would be executed; if you trust it, "
            f"name it: --space {plan.space}"
        )
    kept = ("data", "landmarks", "landmark_scheme", "trials", "sampler", "pruner", "seed")
    chosen = space or str(shipped_spaces()[plan.space])
    vary = plan.distributions()
    return {"space": chosen, "vary": vary, **{k: getattr(plan, k) for k in kept}, **plan.settings}

"""`autofr.study`: check everything, start the workers, keep MLflow up to date, say what was best."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofr.console import Display, command_name, printed
from autofr.data import Scan, scan
from autofr.data.shards import is_shards
from autofr.engine.prepare import check_settings
from autofr.engine.request import described, located
from autofr.exceptions import AutofrError, SettingsDifferError
from autofr.space.load import load_space, shipped_spaces
from autofr.space.space import SearchSpace
from autofr.studies.follower import Follower
from autofr.studies.plan import Plan, vary_json
from autofr.studies.worker import Worker, open_study, trial_dir
from autofr.system.lock import locked
from autofr.system.signals import stoppable
from autofr.system.subprocesses import environment, module_command

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

POLL, STOPPING = 1.0, 60.0
"""Seconds between two looks at what the workers did, and that they have to stop."""
ROUNDS = 5
"""How often workers are started: again, if one was killed in the midst of the last trial."""


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
    loaded = space if isinstance(space, SearchSpace) else load_space(str(space))
    if data is not None and is_shards(data):
        raise AutofrError(f"a study reads its faces once for all trials: {data} is a stream of shards; name a folder")
    source = None if data is None else scan(str(data), landmarks, landmark_scheme)
    plan = Plan(
        id=uuid.uuid4().hex,
        started=time.time(),
        space=located(str(space) if isinstance(space, Path) else space),
        data=None if data is None else str(Path(data).resolve()),
        landmarks=None if landmarks is None else str(Path(landmarks).resolve()),
        landmark_scheme=landmark_scheme,
        vary=vary_json(vary),
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        settings={key: value for key, value in settings.items() if value is not None},
        about=_about(loaded, source),
    )
    _check(plan, loaded, source, workers, display)
    if resume:
        plan = _as_before(Plan.load(folder), plan)
    elif folder.exists() and {file.name for file in folder.iterdir()} - {"lock", "study.json.tmp"}:
        raise AutofrError(f"study directory {folder} exists; go on with --resume {folder}, or name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    with printed(progress), stoppable(), locked(folder / "lock", f"another process runs the study {folder}"):
        plan.save(folder)
        optuna_study = open_study(folder, plan)
        before, stopped = optuna_study.get_trials(), False
        if len(before) > trials:
            raise AutofrError(f"{folder} has {len(before)} trials already; --trials is how many in all")
        follower = Follower(folder, tracking)
        try:
            if workers == 1:
                Worker(folder, plan, str(space) if isinstance(space, Path) else space).work(follower.look)
            else:
                _in_processes(folder, str(space), workers, follower.look)
        except KeyboardInterrupt:
            stopped = True
            ended = sum(trial.state.is_finished() for trial in optuna_study.get_trials())
            logger.warning(
                f"{ended} of {trials} trials have ended; go on with: {_resume_command(folder, plan, workers)}"
            )
            raise
        finally:
            if stopped or optuna_study.get_trials() != before or not before:
                follower.finish(stopped)
    result = StudyResult(folder, plan, optuna_study.get_trials())
    _ = result.best
    return result


def _about(space: SearchSpace, source: Scan | None) -> dict[str, Any]:
    """What a study must not meet otherwise when it goes on: the space, and the images' names."""
    images = "" if source is None else hashlib.sha256("\n".join(source.names).encode()).hexdigest()[:16]
    return described(space) | {"images": images}


def _resume_command(study_dir: Path, plan: Plan, workers: int) -> str:
    if plan.space is None:  # built in Python: nothing to name on a command line
        return f"autofr.study(..., study_dir={str(study_dir)!r}, resume=True)"
    more = [] if plan.space in shipped_spaces() else ["--space", plan.space]
    more += ["--workers", str(workers)] if workers > 1 else []
    return shlex.join([command_name(), "study", "--resume", str(study_dir), *more])


def _check(plan: Plan, space: SearchSpace, source: Scan | None, workers: int, display: Display) -> None:
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
    plan.check_settings()
    plan.make_sampler(0)
    plan.make_pruner()
    for name, found in plan.distributions().items():
        for value in _extremes(found):
            check_settings(space, plan.call(space, **{name: value}), source, display)


def _extremes(found: BaseDistribution) -> list[Any]:
    """Among which a value is that no recipe takes, if there is one: all options, or both ends of an interval."""
    choices = getattr(found, "choices", None)
    return list(choices) if choices is not None else [vars(found)["low"], vars(found)["high"]]


def _as_before(stored: Plan, now: Plan) -> Plan:
    """The stored plan, with as many trials as are asked for now, and the faces where they are now.

    Raises:
        SettingsDifferError: something else differs.
    """
    moved = ("trials", "data", "landmarks")
    different = [k for k in vars(now) if k not in ("id", "started", "space", *moved)]
    different = [k for k in different if getattr(stored, k) != getattr(now, k)]
    if different:
        listed = "; ".join(
            f"{k} was {str(getattr(stored, k))[:200]}, is {str(getattr(now, k))[:200]}" for k in different
        )
        raise SettingsDifferError(
            f"cannot go on with this study with other settings: {listed}; take those, or start anew", different
        )
    return replace(stored, **{k: getattr(now, k) for k in moved})


def _in_processes(study_dir: Path, space: str, workers: int, look: Callable[[], None]) -> None:
    """Run workers until no trial is left, also of those that died at their last one."""
    plan = Plan.load(study_dir)
    command = module_command("autofr.studies.worker", str(study_dir.absolute()), space)
    alone = environment(sharing=workers)
    for _ in range(ROUNDS):
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=alone, start_new_session=True)
            for _ in range(workers)
        ]
        for process in processes:
            threading.Thread(target=copy_context().run, args=(_relay, process), daemon=True).start()
        try:
            while any(process.poll() is None for process in processes):
                look()
                time.sleep(POLL)
        except BaseException:
            _stop(processes)
            raise
        failed = [process.returncode for process in processes if process.returncode]
        if len(failed) == workers:
            raise AutofrError(f"every worker of {study_dir} failed, the first with status {failed[0]}; see above")
        if all(trial.state.is_finished() for trial in open_study(study_dir, plan).get_trials(deepcopy=False)):
            return
        logger.warning("a worker died in the midst of a trial; another goes on with it")
    raise AutofrError(f"workers of {study_dir} die again and again; see above")


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Have each finish its commit, or roll back the generation that it is at; one that does not is killed, which loses
    no more."""
    for process in processes:
        process.terminate()
    give_up = time.monotonic() + STOPPING
    for process in processes:
        try:
            process.wait(max(0.0, give_up - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _relay(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            level, text = json.loads(line)
        except (ValueError, TypeError):  # what a library prints
            level, text = logging.INFO, line.rstrip()
        logger.log(level, text)


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
            f"name it: {_resume_command(study_dir, plan, 1)}"
        )
    kept = ("data", "landmarks", "landmark_scheme", "trials", "sampler", "pruner", "seed")
    chosen = space or str(shipped_spaces()[plan.space])
    vary = plan.distributions()
    return {**plan.settings, "space": chosen, "vary": vary, **{k: getattr(plan, k) for k in kept}}

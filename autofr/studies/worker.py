"""One worker of a study: takes the next trial, or one that a dead worker left, and searches.

``python -m autofr.studies.worker STUDY_DIR SPACE`` is a worker in a process of its own, which its parent starts.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofr.console import attached, least
from autofr.data import Faces, load_faces, scan
from autofr.engine.api import search
from autofr.engine.run import Pruned
from autofr.exceptions import AutofrError, LockedError
from autofr.policies.optuna import never_stop
from autofr.runs.record import Record
from autofr.runs.result import SearchResult
from autofr.space.load import load_space
from autofr.space.space import SearchSpace
from autofr.studies.plan import Plan
from autofr.system.lock import locked
from autofr.system.signals import stoppable

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

logger = logging.getLogger("autofr.studies.worker")  # it also runs as __main__

DATABASE = "study.db"
NAME = "autofr"
"""Of the study in its database."""
STILLBORN = "stillborn"
"""Attribute of a trial whose worker died while it asked for it: it counts for none."""
PATIENCE = 600.0
"""Seconds to wait for another worker that is asking for a trial."""


def open_study(study_dir: Path, plan: Plan) -> Study:
    """The Optuna study in ``STUDY_DIR/study.db``, which is made if it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{(study_dir / DATABASE).absolute()}", engine_kwargs={"connect_args": {"timeout": 60}}
    )
    study = optuna.create_study(
        study_name=NAME, storage=storage, direction="maximize", pruner=plan.make_pruner(), load_if_exists=True
    )
    never_stop(study)
    return study


def trial_dir(study_dir: Path, number: int) -> Path:
    """The run directory of a trial's search."""
    return study_dir / f"trial-{number:04d}"


class Worker:
    """Runs trials until the study has as many as were asked for.

    Args:
        study_dir: the study's.
        plan: what it is about.
        space: what each trial searches.
        alive: asked after each generation; ``False`` ends the work as a Ctrl-C does.
    """

    def __init__(
        self,
        study_dir: Path,
        plan: Plan,
        space: SearchSpace | str,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.study_dir, self.plan, self.space, self.alive = study_dir, plan, space, alive
        self.study = open_study(study_dir, plan)
        self._faces = self._read_faces()

    def _read_faces(self) -> Faces | None:
        """The faces, read once for all trials; ``None``: trials read, or draw, their own."""
        if self.plan.data is None or "image_size" in self.plan.vary:
            return None
        source = scan(self.plan.data, self.plan.landmarks, self.plan.landmark_scheme)
        return load_faces(source, self.plan.recipe(len(source.names)).image_size)

    def work(self, after: Callable[[], None] = lambda: None) -> None:
        """Run trials, one after another; ``after`` is called after each.

        Raises:
            KeyboardInterrupt: told to stop; the trial under way can be gone on with.
        """
        while True:
            with ExitStack() as held:
                trial = self._next(held)
                if trial is None:
                    return
                self._run(trial)
            after()

    def _next(self, held: ExitStack) -> Trial | None:
        """A trial whose worker died, or a new one, with its lock in ``held``; ``None``: there are enough."""
        import optuna

        with locked(self.study_dir / "ask.lock", "another worker asks for a trial", PATIENCE):
            distributions = self.plan.distributions()
            for frozen in self.study.get_trials(deepcopy=False):
                if frozen.state.is_finished() or not self._take(frozen.number, held):
                    continue
                now = self.study.get_trials(deepcopy=False)[frozen.number]  # its worker may have told it meanwhile
                if now.state.is_finished():
                    held.close()
                elif now.params.keys() != distributions.keys():  # it was killed while it asked
                    trial = optuna.trial.Trial(self.study, now._trial_id)
                    trial.set_user_attr(STILLBORN, True)
                    self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    held.close()
                else:
                    return optuna.trial.Trial(self.study, now._trial_id)
            trials = self.study.get_trials(deepcopy=False)
            if sum(STILLBORN not in trial.user_attrs for trial in trials) >= self.plan.trials:
                return None
            self.study.sampler = self.plan.make_sampler(len(trials))
            trial = self.study.ask(distributions)
            if not self._take(trial.number, held):
                raise AutofrError(f"trial {trial.number} of {self.study_dir} is locked: another process works on it")
            return trial

    def _take(self, number: int, held: ExitStack) -> bool:
        """Whether nobody works on the trial; then this worker does, until ``held`` ends."""
        try:
            held.enter_context(locked(self.study_dir / f"trial-{number:04d}.lock", "taken"))
        except LockedError:
            return False
        return True

    def _run(self, trial: Trial) -> None:
        import optuna

        run_dir, states = trial_dir(self.study_dir, trial.number), optuna.trial.TrialState
        told = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
        reported = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

        def report(record: Record) -> None:
            if record.generation not in reported:
                trial.report(record.reward, record.generation)
                reported.add(record.generation)

        def watch(record: Record) -> None:
            report(record)
            if trial.should_prune():
                raise Pruned
            if not self.alive():
                raise KeyboardInterrupt

        try:
            begun = (run_dir / "config.json").is_file()
            for record in SearchResult(run_dir).records if begun else ():  # committed, but perhaps not yet reported
                report(record)
            result = self._search(run_dir, begun, dict(trial.params), watch)
        except Pruned:
            generation = SearchResult(run_dir).records[-1].generation
            self.study.tell(trial, state=states.PRUNED)
            logger.info(f"trial {trial.number}: {told}: pruned after generation {generation + 1}")
        except OSError:  # a full disk, a folder that is away: no fault of the trial, which can be gone on with
            raise
        except Exception as error:  # of any code: the loss may be the user's, and the memory too small for this batch
            reason = (str(error).splitlines() or [""])[0]
            said = reason if isinstance(error, AutofrError) else f"{type(error).__name__}: {reason}"
            trial.set_user_attr("error", said[:500])
            self.study.tell(trial, state=states.FAIL)
            logger.warning(f"trial {trial.number}: {told}: failed: {said}")
        else:
            for record in result.records:
                report(record)
            reward = max(record.reward for record in result.records)
            self.study.tell(trial, reward)
            logger.info(f"trial {trial.number}: {told}: reward {reward:.4f}")

    def _search(
        self, run_dir: Path, begun: bool, params: dict[str, Any], watch: Callable[[Record], None]
    ) -> SearchResult:
        call = self.plan.call(self.space, **params)
        if self._faces is not None:  # read once for all trials
            call |= {"data": self._faces, "landmarks": None, "landmark_scheme": None}
        with least(logging.ERROR):  # its own lines are in its log.txt
            return search(**call, run_dir=run_dir, resume=begun, tracking=False, progress=False, watch=watch)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class _Reporter(logging.Handler):
    """Write log lines to standard output, each as JSON: its level and its text. The study's process logs them again."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == logger.name:
            print(json.dumps([record.levelno, record.getMessage()]), flush=True)


def main() -> int:
    """Work on the study, with the space, that the command line names; end when the parent does."""
    study_dir, space = Path(sys.argv[1]), sys.argv[2]
    parent = os.getppid()
    try:
        with attached(_Reporter()), stoppable():
            load_space(space)
            plan = Plan.load(study_dir)
            Worker(study_dir, plan, space, lambda: os.getppid() == parent).work()
    except AutofrError as error:
        print(f"autofr: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # its parent says how to go on
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

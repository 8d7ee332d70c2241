"""Optuna's samplers as policies: ``--policy optuna:TPESampler``."""

from __future__ import annotations

import inspect
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from autofr.exceptions import AutofrError, UnknownNameError
from autofr.policies.base import Floats, check_told, finite, whole, worst_for_nan
from autofr.space.dimensions import Choice
from autofr.space.space import Assignment, SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial

T = TypeVar("T")
FADE = 0.8
"""What a generation leaves of the weight of earlier draws in α."""
TRIES = 20
"""Draws of one member that may lie beyond the space's budgets."""


class OptunaPolicy:
    """Any sampler of Optuna 5 draws the population by ask and tell: a member of a generation is a trial.

    A reward is told as its difference from its generation's mean, for maximisation: between generations rewards rise as
    the network learns. A diverged member is told as worse than the worst; a generation that was asked for and never
    told, or falls into the warm-up, is a failed trial. An option is a categorical parameter, a range a float.

    α is the share of each option in what was drawn and told lately (a generation's weight falls by a fifth with each
    that follows), with the weight of one draw spread evenly.

    Where the space has budgets, what is drawn beyond them is a failed trial, and drawn anew; after
    :data:`TRIES` in vain an allowed architecture is drawn evenly.

    State is the sequence of asks and tells; loading plays it to a fresh sampler of the same seed. So any sampler can be
    resumed exactly, and nothing is unpickled; with one that is slow (GP) a resume takes as long as its draws took.

    Args:
        space: what may be chosen.
        seed: seed of the sampler.
        sampler: a name in ``optuna.samplers``.
        warmup: generations at the start that are not learned from.
        settings: of the sampler, such as ``n_startup_trials=8``.

    Raises:
        AutofrError: no such sampler, one that takes no seed, or one that lacks a package.
    """

    def __init__(
        self, space: SearchSpace, seed: int = 0, sampler: str = "TPESampler", warmup: int = 2, **settings: Any
    ) -> None:
        self.space, self.seed, self.sampler, self.settings = space, seed, sampler, settings
        self.warmup = whole("warmup", warmup)
        self._rehearse()
        self._begin()

    def _rehearse(self) -> None:
        """Some samplers look at their settings, and for a package that they need, only after their first trials."""
        warmup, self.warmup = self.warmup, 0
        startup = self.settings.get("n_startup_trials", 10)
        trials = min(startup, 200) if isinstance(startup, int) else 10
        try:
            self._begin()
            for _ in range(trials // 4 + 2):
                self.tell(self.ask(4), [0.0, 0.5, 1.0, 0.2])
        except ImportError as error:
            raise AutofrError(f"Optuna's {self.sampler} needs a package: pip install {error.name}") from error
        except AutofrError:
            raise
        except Exception as error:  # a sampler's own checks, whatever they raise
            raise AutofrError(f"Optuna's {self.sampler}: {type(error).__name__}: {error}") from error
        self.warmup = warmup

    def _begin(self) -> None:
        import optuna

        self.study = _quietly(lambda: optuna.create_study(direction="maximize", sampler=self._sampler()))
        never_stop(self.study)
        self.events: list[dict[str, Any]] = []
        self.pending: list[tuple[Trial, Assignment]] = []
        self.told = 0
        self.weights = {name: np.zeros(len(d)) for name, d in self.space.dimensions.items()}

    def _sampler(self) -> BaseSampler:
        import optuna

        names = [n for n in optuna.samplers.__all__ if n.endswith("Sampler") and not n.startswith("Base")]
        if self.sampler not in names:
            raise UnknownNameError("Optuna sampler", self.sampler, names)
        make = getattr(optuna.samplers, self.sampler)
        takes = inspect.signature(make).parameters
        if "seed" not in takes:
            raise AutofrError(f"Optuna's {self.sampler} takes no seed, so a search with it could not be resumed")
        given: dict[str, Any] = {"seed": self.seed % 2**32, **self.settings}
        if "search_space" in takes:  # GridSampler
            middles = {
                n: [i if isinstance(d, Choice) else d.at((i + 0.5) / len(d)) for i in range(len(d))]
                for n, d in self.space.dimensions.items()
            }
            given = {"search_space": middles, **given}
        if "warn_independent_sampling" in takes:
            given = {"warn_independent_sampling": False, **given}
        made: BaseSampler = make(**given)
        return made

    def _distributions(self) -> dict[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        return {
            name: CategoricalDistribution(range(len(d))) if isinstance(d, Choice) else FloatDistribution(d.low, d.high)
            for name, d in self.space.dimensions.items()
        }

    def alpha(self) -> dict[str, Floats]:
        smooth = {name: weights + 1 / len(weights) for name, weights in self.weights.items()}
        return {name: weights / weights.sum() for name, weights in smooth.items()}

    def ask(self, n: int) -> list[Assignment]:
        from optuna.trial import TrialState

        for trial, _ in self.pending:  # asked for and never told
            self.study.tell(trial, state=TrialState.FAIL)
        trials = _quietly(lambda: [self._draw() for _ in range(n)])
        self.pending = [(trial, {name: trial.params[name] for name in self.space}) for trial in trials]
        self.events.append({"ask": n, "drew": zlib.crc32(repr([a for _, a in self.pending]).encode())})
        return [dict(assignment) for _, assignment in self.pending]

    def _draw(self) -> Trial:
        """A trial within the space's budgets."""
        from optuna.trial import TrialState

        distributions = self._distributions()
        for _ in range(TRIES):
            trial = self.study.ask(distributions)
            if self.space.allows(trial.params):
                return trial
            self.study.tell(trial, state=TrialState.FAIL)
        allowed = self.space.allowed or ()
        rng = np.random.default_rng([self.seed % 2**32, len(self.study.trials)])
        architecture = allowed[int(rng.integers(len(allowed)))]
        self.study.enqueue_trial(dict(zip(self.space.architecture, architecture, strict=True)))
        return self.study.ask(distributions)

    def tell(self, assignments: Sequence[Assignment], rewards: Sequence[float | None]) -> None:
        from optuna.trial import TrialState, create_trial

        check_told(self.space, assignments, rewards)
        known = [None if r is None or not np.isfinite(r) else float(r) for r in rewards]
        as_asked = [assignment for _, assignment in self.pending] == list(assignments)
        told = None if as_asked else [dict(a) for a in assignments]  # a journal line holds all events: keep them short
        self.events.append({"tell": told, "rewards": known})
        self.told += 1
        values = worst_for_nan(known)
        learned = self.told > self.warmup and len(finite(known)) > 0
        for name, dimension in self.space.dimensions.items() if learned else ():
            self.weights[name] *= FADE
            for assignment in assignments:
                self.weights[name][dimension.index(assignment[name])] += 1
        for assignment, value in zip(assignments, values - values.mean(), strict=True):
            trial = self._asked(assignment)
            if trial is not None and learned:
                self.study.tell(trial, float(value))
            elif trial is not None:
                self.study.tell(trial, state=TrialState.FAIL)
            elif learned:
                distributions = self._distributions()
                added = create_trial(params=dict(assignment), distributions=distributions, value=float(value))
                self.study.add_trial(added)

    def _asked(self, assignment: Assignment) -> Trial | None:
        """The first trial under way that drew ``assignment``; it is under way no longer."""
        for i, (trial, drawn) in enumerate(self.pending):
            if drawn == assignment:
                del self.pending[i]
                return trial
        return None

    def state(self) -> dict[str, Any]:
        return {"events": list(self.events)}

    def load(self, state: dict[str, Any]) -> None:
        self._begin()
        for event in state["events"]:
            if "ask" in event:
                self.ask(event["ask"])
                if self.events[-1] != event:
                    raise AutofrError(
                        f"Optuna's {self.sampler} draws otherwise than when the run was made (by another version of "
                        "Optuna?): the run cannot be resumed"
                    )
            else:
                asked = [assignment for _, assignment in self.pending]
                self.tell(asked if event["tell"] is None else event["tell"], event["rewards"])


def never_stop(study: Study) -> None:
    """Samplers that enumerate stop a study when they are through; who asks and tells goes on."""
    setattr(study, "stop", lambda: None)  # noqa: B010  (mypy: a method is assigned)


def _quietly(work: Callable[[], T]) -> T:
    """Without Optuna's log and its notices of experimental parts: the study is private to the policy."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    finally:
        optuna.logging.set_verbosity(level)

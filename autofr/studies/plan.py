"""What a study is asked to do, and how that is written down."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from autofr.compute.seeding import derive_seed
from autofr.engine.api import search, search_call
from autofr.engine.request import resolved_recipe
from autofr.exceptions import AutofrError, UnknownNameError
from autofr.io.files import read_json, write_json
from autofr.registry import build
from autofr.runs.result import FORMAT, check_format
from autofr.space.space import SearchSpace
from autofr.training.recipe import Recipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

FILE = "study.json"
_KINDS = get_type_hints(Recipe)
VARIABLE = tuple(name for name in _KINDS if name not in ("epochs", "segment", "fmr", "reward"))
"""What a study may vary: settings of the recipe, but for those that rewards could then not be compared by."""
SETTINGS = (*_KINDS, "policy", "population", "device", "validation_identities", "cost", "prefer")
"""Arguments of a search that a study hands on."""


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        id: tells it from others in MLflow.
        started: seconds since 1970.
        space: name of the search space, or path of its file; ``None``: built in Python.
        data, landmarks, landmark_scheme: as for :func:`autofr.search`.
        vary: for every varied setting its distribution, as Optuna writes it.
        trials: how many in all.
        sampler, pruner: names in ``optuna.samplers`` and ``optuna.pruners``, with settings or without.
        seed: of the sampler, and of every trial's search.
        settings: the other arguments of :func:`autofr.search`, of :data:`SETTINGS`.
        about: what tells the space and the faces from others of the same name.
    """

    id: str
    started: float
    space: str | None
    data: str | None
    landmarks: str | None
    landmark_scheme: str | None
    vary: dict[str, str]
    trials: int
    sampler: str
    pruner: str
    seed: int
    settings: dict[str, Any]
    about: dict[str, Any]

    def distributions(self) -> dict[str, BaseDistribution]:
        """What is varied, for ``study.ask``."""
        from optuna.distributions import json_to_distribution

        return {name: json_to_distribution(text) for name, text in self.vary.items()}

    def check_settings(self) -> None:
        """Nothing, if all settings are of :data:`SETTINGS`.

        Raises:
            AutofrError: one is not.
        """
        for name in self.settings:
            if name not in SETTINGS:
                raise UnknownNameError("setting of a study", name, SETTINGS)

    def call(self, space: SearchSpace | str, **more: Any) -> dict[str, Any]:
        """The arguments of a trial's search, by name, with ``more`` settings.

        Raises:
            AutofrError: they make no search.
        """
        where: dict[str, Any] = {"data": self.data, "landmarks": self.landmarks}
        where |= {"landmark_scheme": self.landmark_scheme, "space": space, "seed": self.seed}
        parameters = inspect.signature(search).parameters
        defaults = {name: parameters[name].default for name in SETTINGS if name in parameters}
        return search_call(**where, **(defaults | self.settings | more))

    def recipe(self, images: int, **more: Any) -> Recipe:
        """The recipe of a trial on a set of that many ``images``, with ``more`` settings.

        Raises:
            AutofrError: a value makes no sense.
        """
        given = {k: v for k, v in self.settings.items() if k in Recipe.__dataclass_fields__}
        return resolved_recipe({"data": self.data, **given, **more}, images)

    def make_sampler(self, asked: int) -> BaseSampler:
        """A sampler for the trial after ``asked`` others. Each has its own seed, so that a process that comes later
        does not draw again what one before it drew."""
        import optuna

        seed = derive_seed(self.seed, "study", asked) % 2**32
        made: BaseSampler = _made("sampler", self.sampler, optuna.samplers, {"seed": seed})
        return made

    def make_pruner(self) -> BasePruner:
        """The pruner."""
        import optuna

        made: BasePruner = _made("pruner", self.pruner, optuna.pruners, {})
        return made

    def save(self, study_dir: Path) -> None:
        """Write ``study.json``."""
        write_json(study_dir / FILE, {"format": FORMAT, **asdict(self)})

    @classmethod
    def load(cls, study_dir: Path) -> Plan:
        """Read ``study.json``.

        Raises:
            RunFormatError: another version of autofr wrote it.
            AutofrError: there is none, or it is no plan.
        """
        path = study_dir / FILE
        if not path.is_file():
            raise AutofrError(f"{study_dir} is no study: it has no {FILE}")
        try:
            stored = read_json(path)
            check_format(stored, study_dir)
            plan = cls(**{name: value for name, value in stored.items() if name != "format"})
            texts = (plan.id, plan.sampler, plan.pruner, *plan.vary.values())
            maybe = (plan.space, plan.data, plan.landmarks, plan.landmark_scheme)
            fits = all(isinstance(text, str) for text in texts)
            fits &= all(text is None or isinstance(text, str) for text in maybe)
            fits &= type(plan.trials) is int and type(plan.seed) is int and isinstance(plan.started, int | float)
            if not fits or not isinstance(plan.settings, dict) or not isinstance(plan.about, dict):
                raise ValueError("a value is of another kind")
            plan.check_settings()
            plan.distributions()
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise AutofrError(f"{path} is no plan of a study: {error}") from error
        return plan


def _made(kind: str, spec: str, module: Any, context: dict[str, Any]) -> Any:
    ending = kind.capitalize()
    names = [name for name in dir(module) if name.endswith(ending) and not name.startswith("Base")]
    makers = {name: getattr(module, name) for name in names}
    try:
        return build(f"Optuna {kind}", spec, makers, context)
    except ImportError as error:
        raise AutofrError(f"Optuna's {spec} needs a package: pip install {error.name}") from error


def distribution(name: str, given: Sequence[Any] | BaseDistribution) -> BaseDistribution:
    """The distribution that ``given`` describes for a setting of the recipe.

    Args:
        name: the setting.
        given: one of Optuna's distributions; or a list: an interval, ``["0.02..0.3"]``, on a logarithmic scale
            with ``"log"`` after it; or the options, ``[64, 128, 256]``, as numbers or as words.

    Raises:
        AutofrError: it cannot be varied, or the description makes no sense.
    """
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

    if name in _KINDS and name not in VARIABLE:
        raise AutofrError(f"{name} cannot be varied: rewards of trials could then not be compared")
    if name not in VARIABLE:
        raise UnknownNameError("setting to vary", name, VARIABLE)
    if isinstance(given, BaseDistribution):
        return given
    words = [str(value) for value in given]
    interval = words[0].split("..") if words else []
    kind = _KINDS[name]
    try:
        if len(interval) != 2:
            return CategoricalDistribution([_true_or_false(word) if kind is bool else kind(word) for word in words])
        if words[1:] not in ([], ["log"]) or kind in (str, bool):
            raise ValueError("an interval is LOW..HIGH of a number, and log may follow it")
        low, high = map(kind, interval)
        return (IntDistribution if kind is int else FloatDistribution)(low, high, log=len(words) > 1)
    except ValueError as error:
        raise AutofrError(
            f"cannot vary {name} over {' '.join(words)} ({error}); give an interval LOW..HIGH, or values of type "
            f"{kind.__name__}"
        ) from error


def _true_or_false(word: str) -> bool:
    found = {"true": True, "false": False}.get(word.lower())
    if found is None:
        raise ValueError(f"'{word}' is neither true nor false")
    return found


def vary_json(vary: Mapping[str, Sequence[Any] | BaseDistribution]) -> dict[str, str]:
    """All that is varied, as Optuna writes it.

    Raises:
        AutofrError: nothing is, or one makes no sense.
    """
    from optuna.distributions import distribution_to_json

    if not vary:
        raise AutofrError("a study varies something: --vary lr 0.02..0.3 log, --vary batch-size 64 128 256")
    return {name: distribution_to_json(distribution(name, given)) for name, given in vary.items()}

import math
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase

from autofr.integrations.optuna_sampler import LFSSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


class TestLFSSamplerByOptunaSContract(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: LFSSampler(seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_learns_choices_numbers_and_logarithms(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(sampler=LFSSampler(seed=1), direction=direction)

    def objective(trial: optuna.Trial) -> float:
        margin = trial.suggest_categorical("margin", [0.1, 0.2, 0.3, 0.4])
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        return sign * (abs(margin - 0.3) * 10 + abs(math.log10(rate) + 2))

    study.optimize(objective, n_trials=300)
    sampler = study.sampler
    assert isinstance(sampler, LFSSampler)
    assert sampler.alpha(study, "margin", CategoricalDistribution([0.1, 0.2, 0.3, 0.4])).argmax() == 2
    late = [t.params for t in study.trials[200:]]
    assert sum(p["margin"] == 0.3 for p in late) > 40
    assert sum(1e-3 < p["rate"] < 1e-1 for p in late) > 70


@pytest.mark.slow
def test_a_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    distribution = CategoricalDistribution(["a", "b"])
    study = optuna.create_study(storage=storage, study_name="s", sampler=LFSSampler(seed=0), direction="maximize")
    study.optimize(lambda trial: float(trial.suggest_categorical("x", ["a", "b"]) == "b"), n_trials=40)
    again = optuna.load_study(storage=storage, study_name="s", sampler=LFSSampler(seed=9))
    before, after = (s.sampler.alpha(s, "x", distribution) for s in (study, again))
    assert before.tolist() == after.tolist()
    assert after[1] > 0.7


def test_failed_and_pruned_trials_count() -> None:
    study = optuna.create_study(sampler=LFSSampler(seed=0), direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_categorical("x", ["fails", "is pruned", "is good"])
        if x == "fails":
            raise RuntimeError
        trial.report(0.5, step=1)
        if x == "is pruned":
            raise optuna.TrialPruned
        return 1.0

    study.optimize(objective, n_trials=80, catch=(RuntimeError,))
    fails, pruned, good = study.sampler.alpha(study, "x", CategoricalDistribution(["fails", "is pruned", "is good"]))
    assert good > pruned > fails > 0


def test_a_parameter_with_other_bounds_is_another_one() -> None:
    study = optuna.create_study(sampler=LFSSampler(seed=0), direction="maximize")
    study.optimize(lambda trial: float(trial.suggest_int("x", 0, 3) == 2), n_trials=80)
    assert study.sampler.alpha(study, "x", IntDistribution(0, 3)).argmax() == 2
    fresh = study.sampler.alpha(study, "x", IntDistribution(0, 4))
    assert fresh.tolist() == [0.2] * 5


@pytest.mark.parametrize(
    "distribution",
    [IntDistribution(1, 5), FloatDistribution(0, 1, step=0.25), IntDistribution(1, 5, log=True)],
    ids=str,
)
def test_few_values_are_options_of_their_own(distribution: BaseDistribution) -> None:
    """What is drawn is what is learned from: no interval without a value, and none with two."""
    study = optuna.create_study(sampler=LFSSampler(seed=0), direction="maximize")
    for _ in range(160):
        trial = study.ask({"x": distribution})
        study.tell(trial, -abs(trial.params["x"] - distribution.high))
    alpha = study.sampler.alpha(study, "x", distribution)
    assert len(alpha) == 5
    assert alpha.argmax() == 4
    assert alpha[4] > 0.6


def test_ends_of_an_integer_are_as_likely_as_the_rest() -> None:
    study = optuna.create_study(sampler=LFSSampler(seed=0))
    drawn = [study.sampler.sample_independent(study, None, "x", IntDistribution(1, 5)) for _ in range(3000)]
    assert min(drawn.count(k) for k in range(1, 6)) > 480


def test_bad_settings_and_two_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="population is 2 or more"):
        LFSSampler(population=1)
    with pytest.raises(ValueError, match="no setting 'replacement'"):
        LFSSampler(replacement=False)
    with pytest.raises(ValueError, match="lr is above 0"):
        LFSSampler(lr=0)
    study = optuna.create_study(sampler=LFSSampler(seed=0), directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match="one objective, the study has 2"):
        study.ask().suggest_float("x", 0, 1)

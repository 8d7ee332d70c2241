import optuna
import pytest

from autofr import AutofrError, Choice, SearchSpace
from autofr.losses import ArcFace
from autofr.search.policies import OptunaPolicy, Policy, create_policy
from autofr.search.policies import optuna as optuna_policy
from autofr.spaces import Range
from autofr.testing import PolicyContract, RangePolicyContract

MARGINS = SearchSpace(loss=Choice(ArcFace(m / 100) for m in range(5, 50, 5)))


class TestTPE(PolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return OptunaPolicy(space, seed)


class TestTPERange(RangePolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return OptunaPolicy(space, seed, "TPESampler", n_startup_trials=4)


SEEDED = ["TPESampler", "RandomSampler", "QMCSampler", "NSGAIISampler", "NSGAIIISampler", "GPSampler"]
SEEDED += ["BruteForceSampler", "CmaEsSampler", "GridSampler"]


@pytest.mark.parametrize("name", SEEDED)
def test_any_sampler_drives_a_population_and_resumes_exactly(name: str) -> None:
    space = SearchSpace(loss=Range(ArcFace, m=(0.1, 0.4)), backbone=Choice("ir_mini", "ir18"))
    if name == "BruteForceSampler":  # it enumerates: options only
        space = MARGINS
    first, second = (create_policy(f"optuna:{name}", space, 7, warmup=1) for _ in range(2))
    for _ in range(4):
        asked = first.ask(4)
        first.tell(asked, [-0.5 + 0.01 * a["loss"] for a in asked])
    second.load(first.state())
    assert first.ask(4) == second.ask(4)


def test_every_sampler_of_optuna_is_accounted_for() -> None:
    """PartialFixedSampler only wraps another one."""
    names = {n for n in optuna.samplers.__all__ if n.endswith("Sampler") and not n.startswith("Base")}
    assert names - set(SEEDED) == {"PartialFixedSampler"}


def test_a_sampler_without_its_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optuna_policy.NEEDS, "TPESampler", "no_such_package")
    with pytest.raises(AutofrError, match="pip install no_such_package"):
        create_policy("optuna:TPESampler", MARGINS, 0)


def test_a_sampler_learns_what_it_is_told() -> None:
    """TPE draws the better half more often, although rewards rise by themselves from generation to generation."""
    policy = OptunaPolicy(MARGINS, 0, warmup=0)
    late = []
    for generation in range(40):
        drawn = policy.ask(4)
        policy.tell(drawn, [generation - abs(a["loss"] - 7) for a in drawn])
        late += [a["loss"] for a in drawn] if generation >= 20 else []
    assert sum(abs(k - 7) <= 1 for k in late) > 0.6 * len(late)
    assert abs(int(policy.alpha()["loss"].argmax()) - 7) <= 1


def test_optuna_s_log_level_is_left_alone() -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    OptunaPolicy(MARGINS).ask(4)
    assert optuna.logging.get_verbosity() == optuna.logging.INFO

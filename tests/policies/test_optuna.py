import json
import subprocess
import sys

import numpy as np
import optuna
import pytest

from autofr import AutofrError, Choice, SearchSpace, load_space
from autofr.losses import ArcFace
from autofr.policies import OptunaPolicy, Policy, create_policy
from autofr.space.dimensions import Range
from autofr.testing import PolicyContract, RangePolicyContract

MARGINS = load_space("arcface_margins")


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


@pytest.mark.slow
def test_a_sampler_without_its_package_says_so() -> None:
    """In a process where an import of it fails."""
    code = (
        "import sys; sys.modules['cmaes'] = None\n"
        "from autofr import Range, SearchSpace\nfrom autofr.losses import ArcFace\n"
        "from autofr.policies import create_policy\n"
        "create_policy('optuna:CmaEsSampler', SearchSpace(loss=Range(ArcFace, m=(0.1, 0.4))), 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "AutofrError: Optuna's CmaEsSampler needs a package: pip install cmaes" in done.stderr


def test_the_warm_up_is_told_as_failed_trials() -> None:
    policy = OptunaPolicy(MARGINS, warmup=2)
    for _ in range(3):
        asked = policy.ask(2)
        policy.tell(asked, [-0.1, -0.2])
    states = [trial.state.name for trial in policy.study.trials]
    assert states == ["FAIL"] * 4 + ["COMPLETE"] * 2


def test_a_generation_without_rewards_is_told_as_failed_trials() -> None:
    policy = OptunaPolicy(MARGINS, warmup=0)
    policy.tell(policy.ask(2), [None, float("nan")])
    assert [trial.state.name for trial in policy.study.trials] == ["FAIL", "FAIL"]


def test_its_state_is_short_and_a_sampler_that_draws_otherwise_is_refused() -> None:
    policy = OptunaPolicy(MARGINS, seed=0, warmup=0)
    for _ in range(10):
        policy.tell(policy.ask(4), [-0.1, -0.2, -0.3, -0.4])
    assert len(json.dumps(policy.state())) < 10 * 120
    with pytest.raises(AutofrError, match="draws otherwise than when the run was made"):
        OptunaPolicy(MARGINS, seed=1, warmup=0).load(policy.state())


def test_a_tell_in_another_order_finds_its_trials() -> None:
    policy = OptunaPolicy(MARGINS, warmup=0)
    asked = policy.ask(3)
    policy.tell(asked[::-1], [3.0, 2.0, 1.0])
    values = {trial.params["loss"]: trial.value for trial in policy.study.trials}
    assert len(policy.study.trials) == 3
    assert values[asked[0]["loss"]] <= values[asked[2]["loss"]]


def test_alpha_is_of_what_was_learned_from_and_forgets() -> None:
    policy = OptunaPolicy(MARGINS, sampler="RandomSampler", warmup=1)
    policy.tell(policy.ask(2), [-0.1, -0.2])
    np.testing.assert_allclose(policy.alpha()["loss"], 1 / 9)  # the warm-up, though told
    drawn = []
    for _ in range(4):
        asked = policy.ask(1)
        drawn.append(asked[0]["loss"])
        policy.tell(asked, [-0.1])
    policy.ask(3)  # and what is not told
    weights = np.full(9, 1 / 9)
    for age, option in enumerate(reversed(drawn)):
        weights[option] += 0.8**age
    np.testing.assert_allclose(policy.alpha()["loss"], weights / weights.sum())


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

import subprocess
import sys
import textwrap
from collections import Counter
from typing import Any

import numpy as np
import pytest

from autofr import AutofrError, Choice, Range, SearchSpace, load_space
from autofr.losses import ArcFace
from autofr.policies import LFS, POLICIES, Exp3, Fixed, OptunaPolicy, Policy, Random, Thompson, create_policy
from autofr.policies.base import CategoricalPolicy, finite, worst_for_nan
from autofr.testing import PolicyContract, RangePolicyContract
from tests.paths import REPOSITORY

MARGINS = load_space("arcface_margins")


class TestRandom(PolicyContract):
    floor = 1 / 3

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Random(space, seed)


class TestRandomRange(RangePolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Random(space, seed, replacement=False)


class TestFixed(PolicyContract):
    draws = False

    def make(self, space: SearchSpace, seed: int) -> Policy:
        return Fixed(space, seed)

    def space(self) -> SearchSpace:
        return SearchSpace(loss=Choice(ArcFace(0.3)))


def the_example() -> Any:
    """The policy that CONTRIBUTING.md shows."""
    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    code = textwrap.dedent(page.split("```python\n")[1].split("```")[0])
    known = {"np": np, "CategoricalPolicy": CategoricalPolicy, "finite": finite, "worst_for_nan": worst_for_nan}
    exec(code, known)
    return known["Greedy"]


class TestTheExampleOfThePage(PolicyContract):
    def make(self, space: SearchSpace, seed: int) -> Policy:
        made: Policy = the_example()(space, seed)
        return made


def test_without_replacement_members_differ() -> None:
    policy = Random(MARGINS, replacement=False)
    for _ in range(20):
        assert len({a["loss"] for a in policy.ask(4)}) == 4
    assert sorted(a["loss"] for a in policy.ask(9)) == list(range(9))


def test_with_more_members_than_options_all_are_drawn_equally_often() -> None:
    space = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.2, 0.3)), backbone=Choice("ir_mini", "ir18"))
    policy = Random(space, replacement=False)
    pairs = Counter()
    for _ in range(50):
        asked = policy.ask(8)
        assert sorted(Counter(a["loss"] for a in asked).values()) == [2, 3, 3]
        assert set(Counter(a["backbone"] for a in asked).values()) == {4}
        pairs.update((a["loss"], a["backbone"]) for a in asked)
    assert len(pairs) == 6  # dimensions are dealt out apart from one another


def test_a_policy_with_settings() -> None:
    policy = create_policy("lfs:lr=0.1,replacement=False,temperature=2", MARGINS, 3, warmup=5)
    assert (policy.lr, policy.replacement, policy.temperature, policy.warmup) == (0.1, False, 2, 5)
    assert create_policy("lfs:warmup=0", MARGINS, 0, warmup=5).warmup == 0


def test_commas_within_brackets_part_nothing() -> None:
    assert create_policy("lfs:betas=[0.9,0.99],lr=0.1", MARGINS, 0).betas == [0.9, 0.99]
    policy = create_policy("lfs:betas=(0.9, 0.99),lr=0.1", MARGINS, 0)
    assert (policy.betas, policy.lr) == ((0.9, 0.99), 0.1)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"fixed", "lfs_gaussian"}))
def test_every_policy_is_made_by_name(name: str) -> None:
    assert len(create_policy(name, MARGINS, 0).ask(4)) == 4


@pytest.mark.parametrize("make", [LFS, Exp3, Thompson, OptunaPolicy])
def test_a_warm_up_is_a_count(make: Any) -> None:
    with pytest.raises(ValueError, match="warmup is a whole number, 0 or more, got -1"):
        make(MARGINS, warmup=-1)


@pytest.mark.parametrize("make", [LFS, Thompson])
def test_without_a_floor_no_probability_is_0_all_the_same(make: Any) -> None:
    """Else four of nine could not be drawn without replacement."""
    policy = make(MARGINS, floor=0.0, replacement=False, warmup=0)
    for _ in range(1500):
        policy.tell([{"loss": k} for k in range(9)], [-abs(k - 4) for k in range(9)])
    assert policy.alpha()["loss"].min() > 0
    assert len({a["loss"] for a in policy.ask(4)}) == 4


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("lfs:betas=0.9", "betas is (a number, a number), got 0.9"),
        ("lfs:betas=(0.9,1.5)", "betas are two numbers from 0 to below 1"),
        ("lfs:warmup=soon", "warmup is a whole number, got 'soon'"),
        ("thompson:warmup=-3", "warmup is a whole number, 0 or more, got -3"),
        ("exp3:warmup=1.5", "warmup is a whole number, got 1.5"),
        ("lfs:lr=1e400", "lr is a number, got inf"),
        ("random:replacement=no", "replacement is True or False, got 'no'"),
        ("optuna:TPESampler,n_startup_trials=many", "Optuna's TPESampler: TypeError: "),
        ("lsf", "unknown policy 'lsf'; did you mean lfs"),
        ("lfs:rate=1", "policy 'lfs' has no setting 'rate'; it takes lr, betas, floor"),
        ("lfs:seed=1", "policy 'lfs' has no setting 'seed'"),
        ("lfs:lr=-1", "policy 'lfs:lr=-1': lr is above 0, got -1"),
        ("fixed", "policy 'fixed' trains one option, but 'loss' has several"),
        ("lfs_gaussian", "searches a parameter between bounds, and this space has only options"),
        ("exp3:2", "gamma is a share above 0 and up to 1, got 2"),
        ("thompson:memory=0", "memory is above 0"),
        ("optuna:TPESample", "unknown Optuna sampler 'TPESample'; did you mean TPESampler"),
        ("optuna:TPESampler,n_startups=3", "Optuna's TPESampler: "),
        ("optuna:TPESampler,gamma=0.5", "Optuna's TPESampler: TypeError: "),
        ("optuna:GridSampler,search_space=3", "Optuna's GridSampler: AttributeError: "),
        ("lfs:lr=" + "9" * 400, "lr is a number, got 9"),
        ("lfs:warmup=2.5", "warmup is a whole number, got 2.5"),
        ("optuna:PartialFixedSampler", "takes no seed, so a search with it could not be resumed"),
    ],
)
def test_a_wrong_description_is_told(spec: str, told: str) -> None:
    with pytest.raises(AutofrError) as error:
        create_policy(spec, MARGINS, 0)
    assert told in str(error.value)


def test_a_range_is_not_one_option() -> None:
    with pytest.raises(AutofrError, match="'loss' has several"):
        Fixed(SearchSpace(loss=Range(ArcFace, bins=1, m=(0.1, 0.2))))


def test_policies_are_pure() -> None:
    """numpy alone: a policy can be used where there is no torch, and an adapter's library is imported in its use."""
    code = "import sys, autofr.policies as p; print([m for m in ('torch', 'optuna', 'nni') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_diverged_members_count_as_the_worst() -> None:
    assert worst_for_nan([-0.25, float("nan"), -0.75]).tolist() == [-0.25, -1.25, -0.75]
    assert worst_for_nan([None, -0.5]).tolist() == [-1.5, -0.5]
    np.testing.assert_array_equal(worst_for_nan([float("nan"), float("inf")]), [0, 0])

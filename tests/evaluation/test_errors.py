import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from autofr.evaluation import errors
from autofr.evaluation.errors import all_pairs_fnmr, best_accuracy_threshold, fnmr_at_fmr


def by_hand(genuine: list[float], impostor: list[float], fmr: float) -> float:
    """The lowest FNMR over every threshold that keeps the false match rate, counted one by one."""
    best = 1.0
    for threshold in [-math.inf, *genuine, *impostor]:
        if sum(score > threshold for score in impostor) / len(impostor) <= fmr + 1e-12:
            best = min(best, sum(score <= threshold for score in genuine) / len(genuine))
    return best


scores = st.lists(st.integers(-8, 8).map(lambda v: v / 8), min_size=1, max_size=40)


@given(genuine=scores, impostor=scores, fmr=st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]))
@settings(max_examples=300, deadline=None)
def test_equals_counting_with_ties(genuine: list[float], impostor: list[float], fmr: float) -> None:
    found = fnmr_at_fmr(torch.tensor(genuine), torch.tensor(impostor), fmr)
    if len(impostor) * fmr < 1 - 1e-9:
        assert math.isnan(found)
    else:
        assert found == by_hand(genuine, impostor, fmr)


def test_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(1.5, 1, 4000), rng.normal(0, 1, 30000)
    labels = np.r_[np.ones(4000), np.zeros(30000)]
    fpr, tpr, _ = roc_curve(labels, np.r_[genuine, impostor], drop_intermediate=False)
    for fmr in (1e-3, 1e-2, 0.1):
        expected = 1 - tpr[fpr <= fmr].max()
        assert fnmr_at_fmr(torch.from_numpy(genuine), torch.from_numpy(impostor), fmr) == pytest.approx(
            expected, abs=1e-12
        )


def test_is_monotone_in_fmr_and_blind_to_monotone_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    genuine = torch.rand(500, generator=generator, dtype=torch.float64)
    impostor = torch.rand(2000, generator=generator, dtype=torch.float64) ** 2
    found = [fnmr_at_fmr(genuine, impostor, f) for f in (1e-3, 1e-2, 0.1, 0.5)]
    assert found == sorted(found, reverse=True)
    assert found == [fnmr_at_fmr(genuine.exp(), impostor.exp(), f) for f in (1e-3, 1e-2, 0.1, 0.5)]


@pytest.mark.parametrize("masked", [False, True])
def test_all_pairs_equals_every_pair_scored(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_BLOCK", 7)  # several blocks, and a rest
    generator = torch.Generator().manual_seed(2)
    gallery = torch.nn.functional.normalize(torch.randn(40, 6, generator=generator, dtype=torch.float64))
    probes = torch.nn.functional.normalize(gallery + 0.5 * torch.randn(40, 6, generator=generator, dtype=torch.float64))
    labels = torch.arange(40) // 4
    pairs = [(i, j) for i in range(40) for j in range(40) if (i != j if masked else i < j)]
    left = probes if masked else gallery
    score = {p: float(left[p[0]] @ gallery[p[1]]) for p in pairs}
    genuine = [s for p, s in score.items() if labels[p[0]] == labels[p[1]]]
    impostor = [s for p, s in score.items() if labels[p[0]] != labels[p[1]]]
    found = all_pairs_fnmr(gallery, labels, [0.01, 0.1], probes if masked else None)
    assert found == {f: pytest.approx(by_hand(genuine, impostor, f), abs=1e-12) for f in (0.01, 0.1)}


def test_a_diverged_embedding_gives_nan() -> None:
    embeddings = torch.eye(10)
    embeddings[3] = float("nan")
    assert math.isnan(all_pairs_fnmr(embeddings, torch.arange(10) // 2, [0.1])[0.1])


def test_too_few_impostors_or_no_genuine_is_nan_not_a_guess() -> None:
    assert math.isnan(fnmr_at_fmr(torch.rand(5), torch.rand(99), 0.01))
    assert not math.isnan(fnmr_at_fmr(torch.rand(5), torch.rand(100), 0.01))
    assert math.isnan(fnmr_at_fmr(torch.empty(0), torch.rand(100), 0.01))
    with pytest.raises(ValueError, match="between 0 and 1"):
        fnmr_at_fmr(torch.rand(5), torch.rand(5), 1.0)


@given(values=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_best_threshold_is_the_best_of_all(values: list[tuple[int, bool]]) -> None:
    score = torch.tensor([v for v, _ in values], dtype=torch.float64)
    same = torch.tensor([s for _, s in values])
    accuracy = lambda t: int(((score > t) == same).sum())  # noqa: E731
    assert accuracy(best_accuracy_threshold(score, same)) == max(accuracy(t / 2) for t in range(-2, 15))

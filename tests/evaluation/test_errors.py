import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from torch import Tensor

from autofr import AutofrError
from autofr.evaluation import errors, streaming
from autofr.evaluation.comparisons import Block, ListedPairs, ScoreLists
from autofr.evaluation.errors import _Measurement, measure, measure_scores
from autofr.evaluation.streaming import AllPairs, Side


def by_hand(genuine: list[float], impostor: list[float], fmr: float) -> float:
    """The lowest FNMR over every threshold that keeps the false match rate, counted one by one."""
    best = 1.0
    for threshold in [-math.inf, *genuine, *impostor]:
        if sum(score > threshold for score in impostor) / len(impostor) <= fmr + 1e-12:
            best = min(best, sum(score <= threshold for score in genuine) / len(genuine))
    return best


def eer_by_hand(genuine: list[float], impostor: list[float]) -> set[float]:
    """(FMR + FNMR)/2 where they differ least, over every threshold, counted one by one."""
    found = []
    for threshold in sorted([-math.inf, *genuine, *impostor]):
        fmr = sum(score > threshold for score in impostor) / len(impostor)
        fnmr = sum(score <= threshold for score in genuine) / len(genuine)
        found.append((abs(fmr - fnmr), (fmr + fnmr) / 2))
    least = min(found)[0]
    return {value for difference, value in found if difference == pytest.approx(least, abs=1e-12)}


scores = st.lists(st.integers(-8, 8).map(lambda v: v / 8), min_size=1, max_size=40)
wild = st.lists(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), min_size=1, max_size=25)


@given(genuine=scores, impostor=scores, fmr=st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]))
@settings(max_examples=100, deadline=None)
def test_equals_counting_with_ties(genuine: list[float], impostor: list[float], fmr: float) -> None:
    found = measure_scores(torch.tensor(genuine), torch.tensor(impostor), [fmr])
    if len(impostor) * fmr < 1 - 1e-9:
        assert math.isnan(found.fnmr[fmr])
    else:
        assert found.fnmr[fmr] == by_hand(genuine, impostor, fmr)
    assert any(found.eer == pytest.approx(value, abs=1e-12) for value in eer_by_hand(genuine, impostor))


@given(genuine=wild, impostor=wild, fmr=st.sampled_from([0.1, 0.5]))
@settings(max_examples=100, deadline=None)
def test_equals_counting_where_bins_are_useless(genuine: list[float], impostor: list[float], fmr: float) -> None:
    """Scores over 60 decades: nearly all share a bin, and are told apart all the same."""
    found = measure_scores(torch.tensor(genuine), torch.tensor(impostor), [fmr])
    if len(impostor) * fmr >= 1:
        assert found.fnmr[fmr] == by_hand(genuine, impostor, fmr)
    assert any(found.eer == pytest.approx(value, abs=1e-12) for value in eer_by_hand(genuine, impostor))


def test_the_threshold_is_a_score_that_does_not_match() -> None:
    """Of impostor scores 4 3 2 1 at FMR 1/4 one may match: the threshold is 3, and a genuine 3 is rejected."""
    found = measure_scores(torch.tensor([3.0, 3.5]), torch.tensor([1.0, 2.0, 3.0, 4.0]), [0.25])
    assert (found.rates[0].threshold, found.rates[0].fnmr, found.rates[0].tar) == (3.0, 0.5, 0.5)
    tied = measure_scores(torch.tensor([3.0, 3.5]), torch.tensor([1.0, 3.5, 3.5, 3.5]), [0.25])
    assert (tied.rates[0].threshold, tied.rates[0].fnmr) == (3.5, 1.0)  # none may match rather than three


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_scikit_learn_to_the_last_digit(dtype: type) -> None:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(1.5, 1, 4000).astype(dtype), rng.normal(0, 1, 60000).astype(dtype)
    impostor[:500] = genuine[:500]  # ties between the two
    labels = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    fpr, tpr, _ = roc_curve(labels, np.r_[genuine, impostor], drop_intermediate=False)
    found = measure_scores(torch.from_numpy(genuine), torch.from_numpy(impostor), [1e-4, 1e-3, 1e-2, 0.1])
    for rate in found.rates:
        assert rate.tar == tpr[fpr <= rate.fmr].max()
    points = set(zip(fpr.tolist(), tpr.tolist(), strict=True))
    assert len(found.curve.fmr) > 1000
    assert set(zip(found.curve.fmr.tolist(), found.curve.tar.tolist(), strict=True)) <= points
    difference = np.abs(1 - tpr - fpr)
    assert found.eer == pytest.approx(((1 - tpr + fpr) / 2)[difference.argmin()], abs=1e-9)
    assert found.d_prime == pytest.approx(
        (genuine.mean(dtype=float) - impostor.mean(dtype=float))
        / math.sqrt((genuine.var(dtype=float) + impostor.var(dtype=float)) / 2),
        rel=1e-6,
    )


def test_is_monotone_and_blind_to_monotone_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    genuine = torch.rand(500, generator=generator, dtype=torch.float64)
    impostor = torch.rand(2000, generator=generator, dtype=torch.float64) ** 2
    fmrs = [1e-3, 1e-2, 0.1, 0.5]
    found = measure_scores(genuine, impostor, fmrs)
    values = list(found.fnmr.values())
    assert values == sorted(values, reverse=True)
    assert bool((found.curve.fmr.diff() <= 0).all())
    assert bool((found.curve.tar.diff() <= 0).all())
    assert (found.curve.fmr[0], found.curve.tar[0], found.curve.fmr[-1], found.curve.tar[-1]) == (1, 1, 0, 0)
    for mapped in (torch.exp, lambda s: s**3 * 1000 - 5, lambda s: s / 1e6):
        other = measure_scores(mapped(genuine), mapped(impostor), fmrs)
        assert other.fnmr == found.fnmr
        assert other.eer == found.eer


@given(genuine=scores, impostor=scores)
@settings(max_examples=100, deadline=None)
def test_swapping_labels_and_the_sign_leaves_the_eer(genuine: list[float], impostor: list[float]) -> None:
    """Called impostor and turned round, the same scores have FMR and FNMR exchanged."""
    swapped = measure_scores(-torch.tensor(impostor), -torch.tensor(genuine), [0.5]).eer
    assert any(swapped == pytest.approx(value, abs=1e-12) for value in eer_by_hand(genuine, impostor))


def vectors_of(rows: int, seed: int, near: Tensor | None = None) -> Tensor:
    noise = torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(noise if near is None else near + 0.5 * noise)


@pytest.mark.parametrize("masked", [False, True])
def test_all_pairs_equals_every_pair_scored(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "ROWS", 7)  # several blocks, and a rest
    monkeypatch.setattr(streaming, "COLUMNS", 5)
    gallery = vectors_of(40, 2)
    probes = vectors_of(40, 3, gallery)
    labels = torch.arange(40) * 7 % 10  # not in order
    pairs = [(i, j) for i in range(40) for j in range(40) if (i != j if masked else i < j)]
    left = probes if masked else gallery
    score = {p: float(left[p[0]] @ gallery[p[1]]) for p in pairs}
    genuine = [s for p, s in score.items() if labels[p[0]] == labels[p[1]]]
    impostor = [s for p, s in score.items() if labels[p[0]] != labels[p[1]]]
    sides = [Side(v, labels, torch.arange(40)) for v in ([gallery, probes] if masked else [gallery])]
    found = measure(AllPairs(*sides), [0.01, 0.1])
    assert (found.genuine, found.impostors) == (len(genuine), len(impostor))
    assert found.fnmr == {f: pytest.approx(by_hand(genuine, impostor, f), abs=1e-12) for f in (0.01, 0.1)}
    assert any(found.eer == pytest.approx(value, abs=1e-12) for value in eer_by_hand(genuine, impostor))
    spread = math.sqrt((np.var(genuine) + np.var(impostor)) / 2)
    assert found.d_prime == pytest.approx((np.mean(genuine) - np.mean(impostor)) / spread, rel=1e-9)


class Sampled:
    """Comparisons whose sample may mislead, counting the passes."""

    def __init__(self, inner: ListedPairs, sample: Tensor) -> None:
        self.__dict__ |= inner.__dict__
        self.inner, self.drawn, self.passes = inner, sample, 0

    def impostor_blocks(self) -> Iterator[Block]:
        self.passes += 1
        return self.inner.impostor_blocks()

    def sample(self) -> Tensor:
        return self.drawn


@pytest.mark.parametrize(
    ("misled", "passes"),
    [(lambda s: s[::7], 1), (lambda s: s[::7] + 3, 2), (lambda s: s[::7] - 3, 2), (lambda s: s[:1], 2)],
)
def test_a_wrong_guess_costs_a_pass_and_no_digit(misled: Callable[[Tensor], Tensor], passes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.cat([torch.randn(300, generator=generator) + 1, torch.randn(70000, generator=generator)])
    same = torch.arange(len(score)) < 300
    ids = torch.arange(len(score))
    plain = ListedPairs(score, same, ids, ids)
    sampled = Sampled(plain, misled(score[~same]))
    fmrs = [1e-4, 1e-3, 1e-2, 0.1]
    found, expected = measure(sampled, fmrs, tail=True), measure(plain, fmrs, tail=True)
    assert found.rates == expected.rates
    assert found.eer == expected.eer
    assert torch.equal(found.tail.scores, expected.tail.scores[: len(found.tail.scores)])
    assert len(found.tail) >= 700
    assert sampled.passes <= passes


def test_a_guess_that_would_keep_too_much_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    genuine, impostor = torch.randn(300, generator=generator) + 1, torch.randn(70000, generator=generator)
    expected = measure_scores(genuine, impostor, [1e-3, 1e-2, 0.3])
    guessed = len(_Measurement(ScoreLists(genuine, impostor), [1e-3, 1e-2, 0.3], tail=False).kept)
    monkeypatch.setattr(errors, "_MOST", guessed - 1)
    found = measure_scores(genuine, impostor, [1e-3, 1e-2, 0.3])
    assert (found.rates, found.eer, found.d_prime) == (expected.rates, expected.eer, expected.d_prime)


def test_the_tail_is_the_highest_impostors_with_their_pairs() -> None:
    score = torch.linspace(-1, 1, 1000)[torch.randperm(1000, generator=torch.Generator().manual_seed(1))]
    same = torch.arange(1000) < 100
    ids = torch.arange(1000)
    found = measure(ListedPairs(score, same, ids, ids + 5000), [0.1], tail=True)
    expected, places = score[~same].sort(descending=True)
    kept = len(found.tail)
    assert kept >= 180
    assert torch.equal(found.tail.scores, expected[:kept])
    assert torch.equal(found.tail.pairs[0].long(), ids[~same][places][:kept])
    assert torch.equal(found.tail.pairs[1].long(), ids[~same][places][:kept] + 5000)


def test_too_few_impostors_or_no_genuine_is_nan_not_a_guess() -> None:
    assert math.isnan(measure_scores(torch.rand(5), torch.rand(99), [0.01]).fnmr[0.01])
    assert not math.isnan(measure_scores(torch.rand(5), torch.rand(100), [0.01]).fnmr[0.01])
    for genuine, impostor in ((0, 100), (5, 0), (0, 0)):
        found = measure_scores(torch.rand(genuine), torch.rand(impostor), [0.01])
        assert all(math.isnan(v) for v in (found.fnmr[0.01], found.rates[0].tar, found.eer, found.d_prime))
        assert (found.genuine, found.impostors, len(found.curve.fmr)) == (genuine, impostor, 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure_scores(torch.rand(5), torch.rand(5), [1.0])


def test_equal_scores_all_round() -> None:
    found = measure_scores(torch.ones(4), torch.ones(100), [0.1])
    assert found.fnmr[0.1] == 1.0
    assert found.eer == 0.5
    assert math.isnan(found.d_prime)


def test_rows_that_are_sampled_are_exact_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of enough rows to be guessed from, against the same without a guess."""
    monkeypatch.setattr(streaming, "_SAMPLED_ROWS", 40)
    monkeypatch.setattr(errors, "_WINDOW", 2000)
    gallery, labels = vectors_of(1500, 4), torch.arange(1500) % 300
    side = Side(gallery, labels, torch.arange(1500))
    fmrs = [1e-5, 1e-4, 1e-2, 0.3]
    guessed = measure(AllPairs(side), fmrs)
    monkeypatch.setattr(AllPairs, "sample", lambda self: None)
    plain = measure(AllPairs(side), fmrs)
    assert guessed.rates == plain.rates
    assert guessed.eer == plain.eer
    assert guessed.d_prime == pytest.approx(plain.d_prime, rel=1e-12)


def test_mixed_precision_is_compared_in_the_wider() -> None:
    genuine = torch.tensor([0.1, 0.2])
    impostor = torch.tensor([0.10000000001, 0.05, 0.04, 0.2], dtype=torch.float64)
    wide = measure_scores(genuine.double(), impostor, [0.25])
    assert measure_scores(genuine, impostor, [0.25]).rates == wide.rates
    assert measure_scores(genuine.half(), genuine.half(), [0.5]).fnmr[0.5] == 0.5


@pytest.mark.parametrize("span", [3e-40, 1e-310, 1e-20, 1e30, 1.7e308])
def test_scores_of_any_span(span: float) -> None:
    dtype = torch.float32 if 1e-45 < span < 1e35 and span != 1e-310 else torch.float64
    generator = torch.Generator().manual_seed(0)
    genuine, impostor = (torch.rand(n, generator=generator, dtype=torch.float64).mul(span).to(dtype) for n in (50, 500))
    found = measure_scores(genuine, impostor, [0.01, 0.1])
    for fmr in (0.01, 0.1):
        assert found.fnmr[fmr] == by_hand(genuine.tolist(), impostor.tolist(), fmr)


def test_d_prime_of_embeddings_that_all_but_coincide() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.ones(1, 64) + 1e-2 * torch.randn(400, 64, generator=generator)
    unit, labels = torch.nn.functional.normalize(vectors), torch.arange(400) % 40
    first, second = torch.triu_indices(400, 400, 1)
    scores, same = (unit @ unit.T)[first, second].double(), labels[first] == labels[second]
    spread = ((scores[same].var(correction=0) + scores[~same].var(correction=0)) / 2).sqrt()
    expected = float((scores[same].mean() - scores[~same].mean()) / spread)
    found = measure(AllPairs(Side(unit, labels, torch.arange(400))), [0.01])
    assert found.d_prime == pytest.approx(expected, abs=2e-3)


def test_one_large_identity_and_one_other_image() -> None:
    vectors = vectors_of(600, 5)
    labels = torch.zeros(600, dtype=torch.int64)
    labels[599] = 1
    scores = vectors @ vectors.T
    first, second = torch.triu_indices(599, 599, 1)
    expected = measure_scores(scores[:599, :599][first, second], scores[599, :599], [0.01, 0.1])
    found = measure(AllPairs(Side(vectors, labels, torch.arange(600))), [0.01, 0.1])
    assert found.fnmr == expected.fnmr
    assert found.d_prime == pytest.approx(expected.d_prime, rel=1e-9)


def test_memory_is_spared_when_all_scores_coincide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_MOST", 1000)
    side = Side(torch.ones(60, 1), torch.arange(60) // 2, torch.arange(60))
    with pytest.raises(AutofrError, match="the embeddings all but coincide; is the model trained"):
        measure(AllPairs(side), [0.01])


def test_embeddings_near_each_other_do_not_share_bins() -> None:
    """Their cosines span a thousandth: the bins span no more."""
    generator = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.ones(1, 32) + 3e-2 * torch.randn(800, 32, generator=generator))
    found = measure(AllPairs(Side(unit, torch.arange(800) // 4, torch.arange(800))), [0.01])
    assert int((found.histogram[1] > 0).sum()) > 1000


@pytest.mark.parametrize(("scale", "offset"), [(1e20, 0.0), (1e-25, 0.0), (1.0, 1e6)])
def test_d_prime_of_scores_of_any_size(scale: float, offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    genuine = (torch.randn(500, generator=generator) + 3) * scale + offset
    impostor = torch.randn(20000, generator=generator) * scale + offset
    wide = genuine.double() / scale, impostor.double() / scale
    spread = ((wide[0].var(correction=0) + wide[1].var(correction=0)) / 2).sqrt()
    expected = float((wide[0].mean() - wide[1].mean()) / spread)
    assert measure_scores(genuine, impostor, [0.1]).d_prime == pytest.approx(expected, rel=1e-4)


def test_every_point_of_the_curve_holds_for_its_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the sample did not reach as far as the scores."""
    monkeypatch.setattr(streaming, "_SAMPLED_ROWS", 1)
    unit, labels = vectors_of(60, 7), torch.arange(60) // 3
    first, second = torch.triu_indices(60, 60, 1)
    scores, same = (unit @ unit.T)[first, second], labels[first] == labels[second]
    curve = measure(AllPairs(Side(unit, labels, torch.arange(60))), [0.1]).curve
    for fmr, tar, threshold in zip(curve.fmr.tolist(), curve.tar.tolist(), curve.thresholds.tolist(), strict=True):
        assert fmr == pytest.approx(float((scores[~same] >= threshold - 1e-12).double().mean()), abs=1e-12)
        assert tar == pytest.approx(float((scores[same] >= threshold - 1e-12).double().mean()), abs=1e-12)

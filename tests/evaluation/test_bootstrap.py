import math

import numpy as np
import pytest
import torch

from autofr.evaluation import bootstrap
from autofr.evaluation.bootstrap import _draws, _resampled, intervals
from autofr.evaluation.comparisons import Comparisons, ListedPairs
from autofr.evaluation.errors import measure
from autofr.evaluation.figures import Errors
from autofr.evaluation.streaming import AllPairs, Side

FMRS = [0.02, 0.1]


def faces(people: int, images: int, seed: int, spread: float = 0.7) -> Side:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(people, 8, generator=generator, dtype=torch.float64)
    labels = torch.arange(people).repeat_interleave(images)
    vectors = centres[labels] + spread * torch.randn(len(labels), 8, generator=generator, dtype=torch.float64)
    return Side(torch.nn.functional.normalize(vectors), labels, torch.arange(len(labels)))


def drawn_again(side: Side, weights: np.ndarray, fmr: float) -> float:
    """FNMR of a draw, with every pair written out as often as it counts."""
    genuine, impostor = [], []
    scores = side.vectors @ side.vectors.T
    for i in range(len(scores)):
        for j in range(i + 1, len(scores)):
            a, b = int(side.labels[i]), int(side.labels[j])
            (genuine if a == b else impostor).extend(
                [float(scores[i, j])] * int(weights[a] if a == b else int(weights[a]) * int(weights[b]))
            )
    ranked = sorted(impostor, reverse=True)
    threshold = ranked[math.floor(fmr * len(ranked) * (1 + 1e-12))]
    return sum(score <= threshold for score in genuine) / len(genuine)


@pytest.mark.parametrize("listed", [False, True])
def test_every_draw_equals_its_pairs_written_out(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CHUNK", 11)
    side = faces(9, 4, 0)
    comparisons: Comparisons = AllPairs(side)
    if listed:
        first, second = torch.triu_indices(36, 36, 1)
        scores = (side.vectors @ side.vectors.T)[first, second]
        comparisons = ListedPairs(scores, side.labels[first] == side.labels[second], first, second, side.labels)
    errors = measure(comparisons, FMRS, tail=True)
    weights = _draws(9, np.arange(9), 12, 0)
    assert (weights.sum(0) == 9).all()
    found = _resampled(comparisons, errors, side.labels.numpy(), weights, FMRS)
    for target, fmr in enumerate(FMRS):
        for draw in range(12):
            assert found[target, draw] == pytest.approx(drawn_again(side, weights[:, draw], fmr), abs=1e-12)


def measured(side: Side) -> tuple[AllPairs, Errors]:
    comparisons = AllPairs(side)
    return comparisons, measure(comparisons, FMRS, tail=True)


def test_probe_against_gallery_weighs_every_ordered_pair() -> None:
    side = faces(6, 3, 1)
    probes = Side(faces(6, 3, 2).vectors, side.labels, side.ids)
    weights = torch.tensor([0.0, 1, 2, 0, 3, 1], dtype=torch.float64)
    a, b = side.labels[:, None], side.labels[None]
    expected = (weights[a] * weights[b])[a != b].sum()
    assert AllPairs(side, probes).impostor_weight(weights) == expected
    assert AllPairs(side).impostor_weight(weights) == expected / 2


@pytest.mark.parametrize("listed", [False, True])
def test_only_those_who_take_part_are_drawn(listed: bool) -> None:
    """Ten people out of forty give the intervals that they give alone."""
    alone = faces(10, 3, 5)
    among = Side(alone.vectors, alone.labels + 20, alone.ids)
    found = []
    for side in (alone, among):
        comparisons: Comparisons = AllPairs(side)
        if listed:
            first, second = torch.triu_indices(30, 30, 1)
            scores = (side.vectors @ side.vectors.T)[first, second]
            same = side.labels[first] == side.labels[second]
            comparisons = ListedPairs(scores, same, first, second, side.labels)
        found.append(intervals(comparisons, measure(comparisons, FMRS, tail=True), side.labels, 60, 0))
    assert found[0] == found[1]
    everyone = torch.cat([among.labels, torch.arange(40)])  # ids 30 and on take no part
    comparisons = AllPairs(among)
    assert intervals(comparisons, measure(comparisons, FMRS, tail=True), everyone, 60, 0) == found[1]


def test_the_interval_holds_the_estimate_and_narrows_with_people() -> None:
    widths = []
    for people in (20, 200):
        side = faces(people, 4, 3)
        comparisons, errors = measured(side)
        low, high = intervals(comparisons, errors, side.labels, 200, 0)[0.1]
        assert low <= errors.fnmr[0.1] <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


@pytest.mark.search
@pytest.mark.slow
def test_covers_the_truth_about_as_often_as_it_says() -> None:
    """The truth is the FNMR of a large population; 95 % of intervals of small samples should hold it."""
    truth = measured(faces(700, 3, 99))[1].fnmr[0.1]
    held = 0
    for seed in range(60):
        side = faces(40, 3, 1000 + seed)
        comparisons, errors = measured(side)
        low, high = intervals(comparisons, errors, side.labels, 100, seed)[0.1]
        held += low <= truth <= high
    assert held >= 50  # 57 expected, fewer than 50 once in ten thousand


def test_same_seed_same_interval_and_nan_where_there_is_none() -> None:
    side = faces(10, 3, 0)
    comparisons, errors = measured(side)
    one = intervals(comparisons, errors, side.labels, 50, 1)
    assert one == intervals(comparisons, errors, side.labels, 50, 1)
    assert one != intervals(comparisons, errors, side.labels, 50, 2)
    assert math.isnan(intervals(comparisons, errors, side.labels, 0, 1)[0.1][0])
    alone = torch.zeros_like(side.labels)
    assert math.isnan(intervals(comparisons, errors, alone, 50, 1)[0.1][0])
    rare = measure(comparisons, [1e-6], tail=True)
    assert math.isnan(intervals(comparisons, rare, side.labels, 50, 1)[1e-6][0])

import itertools
import json
import math

import pytest

from autofr import AutofrError
from autofr.training.recipe import Recipe, Timetable


def test_a_large_set_gets_the_paper_and_a_small_one_is_scaled() -> None:
    paper = Recipe.for_images(5_000_000)
    assert (paper.lr, paper.momentum, paper.weight_decay, paper.batch_size, paper.epochs) == (0.1, 0.9, 1e-4, 256, 20)
    assert (paper.image_size, paper.scale, paper.mask_prob, paper.schedule) == (112, 64, 0.2, "step")
    small = Recipe.for_images(10_000)
    assert (small.image_size, small.scale, small.batch_size, small.schedule) == (64, 24, 128, "cosine")


def test_given_settings_win_and_none_is_not_given() -> None:
    recipe = Recipe.for_images(10_000, lr=0.3, epochs=None, image_size=112)
    assert (recipe.lr, recipe.epochs, recipe.image_size) == (0.3, 12, 112)


def test_the_paper_schedule_falls_at_epochs_10_15_and_18_of_20() -> None:
    table = Timetable(Recipe(), steps_per_epoch=100)
    rates = [table.lr(step) for step in (150, 999, 1000, 1499, 1500, 1799, 1800, 1999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


def test_cosine_ends_at_nothing_and_warm_up_starts_there() -> None:
    table = Timetable(Recipe(schedule="cosine", epochs=10, warmup=1), steps_per_epoch=50)
    assert table.lr(499) < 1e-5
    assert table.lr(0) < 0.1 / 40
    assert table.lr(275) == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 0.55)))
    ramps = [table.ramp(step) for step in range(500)]
    assert ramps == sorted(ramps)
    assert (ramps[0] > 0, ramps[50], ramps[-1]) == (True, 1, 1)


@pytest.mark.parametrize(
    ("epochs", "segment", "lengths"), [(3, 1, [10, 10, 10]), (2.5, 1, [10, 10, 5]), (1, 0.3, [3, 3, 3, 1])]
)
def test_generations_cover_every_step_once(epochs: float, segment: float, lengths: list[int]) -> None:
    table = Timetable(Recipe(epochs=epochs, segment=segment), steps_per_epoch=10)
    spans = [table.steps_of(g) for g in range(table.generations)]
    assert [len(span) for span in spans] == lengths
    assert [*itertools.chain(*spans)] == [*range(table.total)]


@pytest.mark.parametrize(("explore", "lengths"), [(1.0, [10, 10, 5]), (0.2, [2, 2, 1]), (0.01, [1, 1, 1])])
def test_what_is_explored_is_the_start_of_a_generation(explore: float, lengths: list[int]) -> None:
    table = Timetable(Recipe(epochs=2.5, explore=explore), steps_per_epoch=10)
    spans = [table.explored(g) for g in range(table.generations)]
    assert [len(span) for span in spans] == lengths
    assert [span.start for span in spans] == [0, 10, 20]


def test_a_warm_up_longer_than_the_run_ends_half_way() -> None:
    table = Timetable(Recipe(epochs=1, warmup=5), steps_per_epoch=10)
    assert table.ramp(4) < 1
    assert table.ramp(5) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0), ("lr", math.nan), ("epochs", -1), ("batch_size", 1), ("mask_prob", 1.5), ("fmr", 0), ("warmup", -1)]
    + [("segment", 0), ("image_size", 0), ("clip", 0), ("scale", -3), ("schedule", "linear"), ("momentum", 2)]
    + [("explore", 0), ("explore", 1.1)]
    + [("warmup", math.inf), ("weight_decay", math.nan)],
)
def test_values_that_make_no_sense_are_named(name: str, value: float | str) -> None:
    with pytest.raises(AutofrError, match=name.replace("_", "-")):
        Recipe.for_images(1000, **{name: value})


def test_json_round_trip() -> None:
    recipe = Recipe.for_images(1000, lr=0.05)
    assert Recipe(**json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"epochs": "x"}, "epochs is a number, got 'x'"),
        ({"epochs": 1e300}, r"epochs is 1e\+06 at most"),
        ({"batch_size": 2.5}, "batch-size is a whole number, got 2.5"),
        ({"image_size": 10**9}, "image-size is 1024 at most"),
        ({"lr": True}, "lr is a number, got True"),
        ({"backbone": 3}, "backbone is a name, got 3"),
        ({"lr": [0.1]}, "lr is a number"),
    ],
)
def test_what_is_no_setting_is_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(AutofrError, match=told):
        Recipe.for_images(100, **given)

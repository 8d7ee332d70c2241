from typing import Any

import pytest

from autofr import AutofrError, Choice, Elastic, MaxParams, SearchSpace
from autofr.losses import ArcFace

LOSS = Choice(ArcFace(0.1), ArcFace(0.3))
ELASTIC = Elastic("iresnet:stem=2", depth=("1-1-1-1", "2-2-2-2"), width=Choice(0.5, 1.0), kernel=(3, 5))


def test_its_choices_become_dimensions() -> None:
    space = SearchSpace(loss=LOSS, backbone=ELASTIC)
    assert list(space) == ["loss", "depth", "width", "kernel"]
    assert space.architecture == ("depth", "width", "kernel")
    assert len(list(space.architectures())) == 8
    picked = {"loss": 1, "depth": 0, "width": 1, "kernel": 0}
    assert space.backbone(picked, "other") == "iresnet:stem=2,depth=1-1-1-1,width=1.0,kernel=3"
    assert space.family("whatever") == ELASTIC.largest == "iresnet:stem=2,depth=2-2-2-2,width=1.0,kernel=5"
    assert space.describe(picked)["width"] == "1.0"


def test_without_settings_the_name_is_whole() -> None:
    assert Elastic("mobilefacenet", width=(0.5, 1)).largest == "mobilefacenet:width=1"


def test_around_names_each_option_once() -> None:
    names = ELASTIC.around()
    assert names[0] == ELASTIC.largest
    assert len(names) == len(set(names)) == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elastic("iresnet"), "name and its choices"),
        (lambda: Elastic("iresnet", loss=(1, 2)), "cannot have a choice called 'loss'"),
        (lambda: Elastic("iresnet", depth=("1,2", "3")), "neither a number nor a word"),
        (lambda: Elastic("iresnet", depth=((1, 2), (2, 2))), "neither a number nor a word"),
        (lambda: Elastic("iresnet", depth=()), "no options"),
        (lambda: SearchSpace(loss=LOSS, backbone=Choice(ELASTIC, "ir18")), "a backbone by itself"),
        (lambda: SearchSpace(loss=ELASTIC), "dimension 'loss' is a Elastic"),
        (lambda: SearchSpace(loss=LOSS, constraints=MaxParams(1e6)), r"constraints is a list: constraints=\["),
    ],
)
def test_what_makes_no_sense_is_told(make: Any, message: str) -> None:
    with pytest.raises(AutofrError, match=message):
        make()

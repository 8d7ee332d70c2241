import json
from pathlib import Path
from typing import Any

import pytest

from autofr import AutofrError, Choice, SearchSpace
from autofr.integrations.nni_space import read_search_space, space_from_nni, write_search_space
from autofr.losses import ArcFace, CosFace, create_loss
from autofr.space.dimensions import Range
from tests.paths import REPOSITORY


def test_a_space_goes_out_and_comes_in(tmp_path: Path) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1), CosFace(0.35, 64)), backbone=Choice("ir_mini", "ir18"))
    path = tmp_path / "search_space.json"
    write_search_space(space, path)
    assert json.loads(path.read_text())["loss"] == {
        "_type": "choice",
        "_value": ["ArcFace(m=0.1)", "CosFace(m=0.35, s=64)"],
    }
    back = read_search_space(path)
    assert back.names() == space.names()
    # A trial makes a loss of what it is given.
    assert [str(create_loss(name)) for name in back.dimensions["loss"].options] == back.names()["loss"]


def test_values_keep_their_types() -> None:
    space = space_from_nni(
        {"lr": {"_type": "choice", "_value": [0.1, 1]}, "deep": {"_type": "choice", "_value": [True]}}
    )
    assert space.dimensions["lr"].options == (0.1, 1)
    assert space.dimensions["deep"].options == (True,)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lr": {"_type": "uniform", "_value": [0, 1]}}, "'lr' is 'uniform'; the policies choose among options"),
        ({"lr": {"_type": "randint", "_value": [0, 9]}}, "'lr' is 'randint'"),
        ({"lr": [1, 2]}, "'lr' is None"),
        ({"lr": {"_type": "choice", "_value": []}}, "'lr': a Choice has no options"),
        ({"lr": {"_type": "choice", "_value": [{"_name": "a", "k": {"_type": "uniform"}}]}}, "choices within choices"),
        ({"lr": {"_type": "choice"}}, "'lr' has no list of values"),
        ({"lr": {"_type": "choice", "_value": [1, 1]}}, "duplicate options"),
        ({}, "an NNI search space is an object like"),
        ([1], "an NNI search space is an object like"),
    ],
)
def test_anything_but_choices_is_refused(given: Any, told: str) -> None:
    with pytest.raises(AutofrError) as error:
        space_from_nni(given)
    assert told in str(error.value)


def test_a_range_does_not_go_out(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="'loss' is a Range; NNI gets choices only"):
        write_search_space(SearchSpace(loss=Range(ArcFace, m=(0.1, 0.4))), tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="cannot read"):
        read_search_space(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(AutofrError, match="is no JSON"):
        read_search_space(tmp_path / "broken.json")


def test_the_json_in_the_docs_is_a_space() -> None:
    page = (REPOSITORY / "docs" / "policies.md").read_text()
    space = space_from_nni(json.loads(page.split("```json\n")[1].split("```")[0]))
    assert [str(create_loss(spec)) for spec in space.dimensions["loss"].options] == [
        "ArcFace(m=0.1)",
        "ArcFace(m=0.3)",
        "ArcFace(m=0.5)",
    ]

import numpy as np
import pytest
import torch

from autofr import AutofrError, Choice, Range, load_space
from autofr.losses import AdaFace, ArcFace, CosFace, ElasticFace
from autofr.policies.kernel import likeness, lines
from autofr.space.dimensions import Dimension


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (Choice(ArcFace(m) for m in (0.1, 0.5, 0.2)), [{0: 0.1, 1: 0.5, 2: 0.2}]),
        (Choice(ArcFace(0.1), CosFace(0.2), ArcFace(0.3), CosFace(0.4)), [{0: 0.1, 2: 0.3}, {1: 0.2, 3: 0.4}]),
        (Choice(ArcFace(0.1), CosFace(0.2), AdaFace()), []),
        (Choice(ArcFace(0.1), ArcFace(0.1, s=30.0)), []),  # not told apart by a number: one has no scale
        (Choice(ArcFace(0.1, s=20.0), ArcFace(0.3, s=30.0)), []),  # by two numbers
        (Choice(ArcFace(0.2, s=20.0), ArcFace(0.2, s=30.0)), [{0: 20.0, 1: 30.0}]),
        (Choice(ElasticFace(kind="arc"), ElasticFace(kind="cos")), []),
        (Choice(0.25, 0.5, 1), [{0: 0.25, 1: 0.5, 2: 1.0}]),
        (Choice("1-1-1-1", "2-2-2-2"), []),
        (Choice("ir_mini", "ir18"), []),
        (Choice(ArcFace(0.3)), []),
        (Range(ArcFace, bins=4, m=(0.0, 0.4)), [{0: 0.05, 1: 0.15, 2: 0.25, 3: 0.35}]),
        (Range(ArcFace, bins=1, m=(0.0, 0.4)), []),
    ],
    ids=str,
)
def test_options_that_differ_in_one_number_lie_on_a_line(
    dimension: Dimension, expected: list[dict[int, float]]
) -> None:
    found = lines(dimension)
    assert [list(line) for line in found] == [list(line) for line in expected]
    for line, values in zip(found, expected, strict=True):
        np.testing.assert_allclose([*line.values()], [*values.values()])


def test_likeness_falls_with_the_distance_and_is_a_covariance() -> None:
    found = likeness(load_space("arcface_margins").dimensions["loss"], 0.5)
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1)
    assert (np.diff(found[0]) < 0).all()
    assert found[0, 4] == pytest.approx(np.exp(-0.5))  # half of the line away
    assert np.linalg.eigvalsh(found).min() > -1e-12
    np.testing.assert_array_equal(likeness(load_space("arcface_margins").dimensions["loss"], 0), np.eye(9))


def test_kinds_of_losses_say_nothing_of_each_other() -> None:
    found = likeness(Choice(ArcFace(0.1), CosFace(0.1), ArcFace(0.3), AdaFace()), 1.0)
    assert found[0, 2] == pytest.approx(np.exp(-0.5))
    off = found - np.eye(4)
    off[[0, 2], [2, 0]] = 0
    np.testing.assert_array_equal(off, 0)


class Told(ArcFace):
    """A loss whose settings are whatever it is given."""

    def __init__(self, told: object) -> None:
        super().__init__(0.3)
        self.told = told

    def settings(self) -> dict[str, object]:
        return self.told  # type: ignore[return-value]


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    values = [np.float32(0.1), torch.tensor(0.2), np.int64(3), np.float64(0.4)]
    dimension = Choice(Told({"v": value}) for value in values)
    assert dimension.names == ("Told(v=0.1)", "Told(v=0.2)", "Told(v=3)", "Told(v=0.4)")
    (line,) = lines(dimension)
    np.testing.assert_allclose([*line.values()], [0.1, 0.2, 3, 0.4], rtol=1e-6)
    assert lines(Choice(Told({"v": True}), Told({"v": False}))) == []
    assert lines(Choice(Told({"v": 10**400}), Told({"v": 1}))) == []


@pytest.mark.parametrize("told", [["m=0.3"], None, ("m", 1), {1: 2}, {"m": np.zeros(2)}, {"m": torch.zeros(2)}])
def test_settings_that_are_none_are_refused_by_name(told: object) -> None:
    with pytest.raises(AutofrError, match=r"Told\.settings\(\)"):
        Choice(Told(told))

import math
from dataclasses import replace

import pytest
import torch

from autofr import AutofrError
from autofr.data.ijb import Templates
from autofr.evaluation.errors import measure
from autofr.evaluation.protocols import Embedded
from autofr.evaluation.protocols.ijb import IJB, people_of


def four_templates() -> Templates:
    """Template 0: two frames of one video and a photograph; 1, 2 and 3: a photograph each."""
    return Templates(
        template=torch.tensor([0, 0, 0, 1, 2, 3]),
        media=torch.tensor([7, 7, 8, 9, 10, 11]),
        detector_scores=torch.tensor([1.0, 0.5, 1, 1, 1, 1]),
        first=torch.tensor([0, 0, 0, 2]),
        second=torch.tensor([1, 2, 3, 3]),
        same=torch.tensor([True, False, False, True]),
    )


VECTORS = torch.tensor([[2.0, 0], [0, 4], [3, 0], [1, 0], [0, 1], [1, 1]])


def scores(**settings: object) -> list[float]:
    """The scores of the four pairs, in the order of the list."""
    protocol = IJB(**settings)
    protocol._templates = four_templates()
    row = protocol.rows(Embedded(torch.arange(6), VECTORS), [0.5])[0]
    comparisons = row.make()
    blocks = torch.cat([block.scores for block in comparisons.impostor_blocks()])
    return [float(comparisons.genuine[0]), *blocks.tolist(), float(comparisons.genuine[1])]


def test_worked_by_hand() -> None:
    """Media pooling with detector scores: the video is ((2,0)·1 + (0,4)·0.5)/2 = (1,1), the photograph (3,0), so
    template 0 is (4,1)/√17. Against (1,0): 4/√17; (0,1): 1/√17; (1,1)/√2: 5/√34. Templates 2 and 3: 1/√2."""
    expected = [4 / math.sqrt(17), 1 / math.sqrt(17), 5 / math.sqrt(34), 1 / math.sqrt(2)]
    assert scores() == pytest.approx(expected, abs=1e-6)


def test_each_option_by_hand() -> None:
    # Without detector scores the video is (1,2), template 0 (4,2)/√20.
    assert scores(detector_scores=False)[:2] == pytest.approx([4 / math.sqrt(20), 2 / math.sqrt(20)], abs=1e-6)
    # Without norms: video ((1,0) + (0,1)·0.5)/2 = (0.5,0.25), photograph (1,0): (1.5,0.25).
    length = math.hypot(1.5, 0.25)
    assert scores(norms=False)[:2] == pytest.approx([1.5 / length, 0.25 / length], abs=1e-6)
    # All images alike: (2,0) + (0,2) + (3,0) = (5,2).
    assert scores(pooling="mean")[:2] == pytest.approx([5 / math.sqrt(29), 2 / math.sqrt(29)], abs=1e-6)


def test_errors_of_the_four() -> None:
    """Genuine 0.970 and 0.707, impostor 0.243 and 0.857. One of two may match at FMR 0.5: the threshold is 0.243. Above
    0.707, half of either are wrong."""
    protocol = IJB()
    protocol._templates = four_templates()
    protocol.prepare(["a"] * 6, torch.arange(6), False)
    row = protocol.rows(Embedded(torch.arange(6), VECTORS), [0.5])[0]
    found = measure(row.make(), row.fmrs)
    assert (found.genuine, found.impostors, found.fnmr[0.5]) == (2, 2, 0.0)
    assert found.rates[0].threshold == pytest.approx(1 / math.sqrt(17), abs=1e-6)
    assert found.eer == 0.5
    assert row.images == [0, 3, 4, 5]


def test_masks_are_worn_by_the_second_template_or_by_both() -> None:
    protocol = IJB()
    protocol._templates = four_templates()
    masked = VECTORS.flip(1)
    for on in ("probe", "both"):
        plain, worn = protocol.rows(Embedded(torch.arange(6), VECTORS, masked, on=on), [0.5])
        assert (plain.name, plain.masked, worn.name, worn.masked) == (
            "standard",
            (False, False),
            "masked",
            (on == "both", True),
        )
        first = masked if on == "both" else VECTORS
        pool = {side: protocol._pooled(side) for side in (first, masked)}
        expected = (pool[first][[0, 2]] * pool[masked][[1, 3]]).sum(1)
        torch.testing.assert_close(worn.make().genuine, expected)


def test_people_are_what_genuine_pairs_connect() -> None:
    assert people_of(four_templates(), 4).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])


def test_a_template_that_pools_to_nothing_is_told() -> None:
    protocol = IJB()
    protocol._templates = replace(four_templates(), detector_scores=torch.tensor([1.0, 1, 1, 0, 1, 1]))
    with pytest.raises(AutofrError, match="1 templates pool to nothing"):
        protocol.rows(Embedded(torch.arange(6), VECTORS), [0.5])


def test_bad_settings_and_sets() -> None:
    with pytest.raises(ValueError, match="media or mean"):
        IJB(pooling="max")
    protocol = IJB()
    with pytest.raises(AutofrError, match="needs --data"):
        protocol.prepare(["a"], torch.zeros(1, dtype=torch.int64), False)
    protocol._templates = four_templates()
    with pytest.raises(AutofrError, match="1 embeddings for 6 images"):
        protocol.prepare(["a"], torch.zeros(1, dtype=torch.int64), False)

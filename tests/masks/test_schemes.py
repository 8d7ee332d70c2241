import numpy as np
import pytest
import torch
from torch import Tensor

from autofr import AutofrError
from autofr.data import synthetic_faces
from autofr.data.synthetic import TRAITS, face_geometry
from autofr.masks import ANCHORS, RandomFaceMask, flip_anchors, landmark_scheme
from autofr.masks.geometry import yaw
from autofr.masks.schemes import COUNT, scheme_names, scheme_of

FACES = synthetic_faces(4, 4, 112, seed=1)
assert FACES.landmarks is not None
IBUG = FACES.landmarks
IMAGES = FACES.read(torch.arange(16)).float() / 255


def between(points: Tensor, places: list[float]) -> Tensor:
    """Points along a line through points, at fractional indices."""
    at = torch.tensor(places)
    low = at.floor().long().clamp_max(points.shape[1] - 2)
    return torch.lerp(points[:, low], points[:, low + 1], (at - low)[:, None])


def as_wflw98(ibug: Tensor) -> Tensor:
    """WFLW's points where its annotation puts them: 33 on the contour, 8 an eye; brows and pupils do not matter."""
    points = torch.full((len(ibug), 98, 2), 1e4)
    points[:, :33] = between(ibug[:, :17], [i / 2 for i in range(33)])
    points[:, 51:60] = ibug[:, 27:36]
    for first, eye in ((60, [36, 37, 38, 39, 40, 41]), (68, [42, 43, 44, 45, 46, 47])):
        ring = ibug[:, [*eye, eye[0]]]
        # outer or inner corner, three above, the other corner, three below
        points[:, first : first + 4] = between(ring, [0, 1, 1.5, 2])
        points[:, first + 4 : first + 8] = between(ring, [3, 4, 4.5, 5])
    points[:, 76:88] = ibug[:, 48:60]
    return points


def as_insightface106(ibug: Tensor) -> Tensor:
    """2d106det's points by the correspondence with the 68 that its users have published."""
    same = [1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17]  # contour
    same += [43, 48, 49, 51, 50, 102, 103, 104, 105, 101, 72, 73, 74, 86, 78, 79, 80, 85, 84]  # brows, nose
    same += [35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90]  # eyes
    same += [52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55, 65, 66, 62, 70, 69, 57, 60, 54]  # mouth
    points = torch.full((len(ibug), 106, 2), 1e4)
    points[:, same] = ibug
    return points


def as_points5(ibug: Tensor) -> Tensor:
    eyes = [ibug[:, 36:42].mean(1), ibug[:, 42:48].mean(1)]
    return torch.stack([*eyes, ibug[:, 30], ibug[:, 48], ibug[:, 54]], 1)


def test_dense_schemes_agree_on_the_anchors_of_one_face() -> None:
    expected = landmark_scheme("ibug68").anchors(IBUG)
    torch.testing.assert_close(landmark_scheme("wflw98").anchors(as_wflw98(IBUG)), expected, atol=0.02, rtol=0)
    torch.testing.assert_close(landmark_scheme("insightface106").anchors(as_insightface106(IBUG)), expected)
    torch.testing.assert_close(landmark_scheme("anchors").anchors(expected), expected)
    listed = [1, 3, 5, 6, 7, 15, 13, 11, 10, 9, 27, 28, 30, 33, 51, 57, 8, 41, 46]
    by_list = landmark_scheme("68:" + ",".join(map(str, listed))).anchors(IBUG)
    torch.testing.assert_close(by_list[:, :17], expected[:, :17])
    assert (by_list - expected).abs().max() < 6  # a single lid point lies beside the middle of the lid


def test_the_same_mask_is_drawn_from_every_dense_scheme() -> None:
    drawn = []
    listed = "96:" + ",".join(str(i + 40) for i in range(COUNT))
    ninety_six = torch.zeros(16, 96, 2)
    ninety_six[:, 40 : 40 + COUNT] = landmark_scheme("ibug68").anchors(IBUG)
    for landmarks, scheme in (
        (IBUG, None),
        (as_wflw98(IBUG), "wflw98"),
        (as_insightface106(IBUG), None),
        (ninety_six, listed),
    ):
        torch.manual_seed(0)
        drawn.append(RandomFaceMask(p=1.0, scheme=scheme)(IMAGES, landmarks))
    for masked in drawn[1:]:
        assert ((masked - drawn[0]).abs() > 0.02).float().mean() < 0.002
    assert ((drawn[0] - IMAGES).abs() > 0.02).float().mean() > 0.05


def test_five_points_estimate_the_contour_of_a_turned_head() -> None:
    """On a head made here, turned by known angles: the estimate follows the turn, and errs to the inside."""
    shape = torch.from_numpy(face_geometry(np.zeros(TRAITS), 0.0, 0.02)).float()
    turns = []
    for degrees in (-25, 0, 25):
        angle = torch.deg2rad(torch.tensor(float(degrees)))
        across = shape[:, 0] * angle.cos() + shape[:, 2] * angle.sin()
        ibug = (torch.stack([across, shape[:, 1]], 1) * 40 + 56)[None]
        found, truth = landmark_scheme("points5").anchors(as_points5(ibug)), landmark_scheme("ibug68").anchors(ibug)
        turns.append(float(yaw(found)))
        assert (found - truth)[0, 10:].norm(dim=-1).mean() < 5  # nose line and lids; nasion to chin is 48 pixels
        width, true_width = found[0, 5, 0] - found[0, 0, 0], truth[0, 5, 0] - truth[0, 0, 0]
        assert 0.75 * true_width < width < 1.02 * true_width
    assert turns[0] < -12
    assert abs(turns[1]) < 1
    assert turns[2] > 12


def test_five_points_draw_nearly_the_same_mask() -> None:
    torch.manual_seed(0)
    dense = RandomFaceMask(p=1.0, coverage="full")(IMAGES, IBUG)
    torch.manual_seed(0)
    sparse = RandomFaceMask(p=1.0, coverage="full", scheme="points5")(IMAGES, as_points5(IBUG))
    one, other = ((masked - IMAGES).abs().amax(1) > 0.02 for masked in (dense, sparse))
    overlap = (one & other).sum((1, 2)) / (one | other).sum((1, 2))
    assert overlap.min() > 0.5
    assert overlap.median() > 0.75


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_missing_point_loses_the_face(bad: float) -> None:
    landmarks = IBUG.clone()
    landmarks[3, 20, 1] = bad  # a brow: no anchor rests on it
    anchors = landmark_scheme("ibug68").anchors(landmarks)
    assert anchors[3].isnan().all()
    assert anchors[[0, 1, 2]].isfinite().all()


def test_half_precision_landmarks_give_float32_anchors() -> None:
    assert landmark_scheme("ibug68").anchors(IBUG.half()).dtype == torch.float32


def test_schemes_are_known_by_their_number() -> None:
    for name in scheme_names():
        assert scheme_of(landmark_scheme(name).count).name == name
    with pytest.raises(AutofrError, match="96:INDEX"):
        scheme_of(96)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ibug", "did you mean ibug68"),
        ("96:1,2,3", "must list 19 indices, got 3"),
        ("10:" + ",".join(str(i) for i in range(19)), "has 10 points, 0 to 9: no 10"),
        ("99999999999:" + ",".join(str(i) for i in range(19)), "1 to 10000 points"),
        ("96:a,b", "whole numbers"),
        ("x:1", "whole numbers"),
    ],
)
def test_other_schemes_are_refused(name: str, message: str) -> None:
    with pytest.raises(AutofrError, match=message):
        landmark_scheme(name)


def test_another_number_of_points_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 68, 2\)"):
        landmark_scheme("ibug68").anchors(IBUG[:, :60])


def test_flipping_twice_changes_nothing_and_once_keeps_left_on_the_left() -> None:
    anchors = landmark_scheme("ibug68").anchors(IBUG)
    torch.testing.assert_close(flip_anchors(flip_anchors(anchors, 112), 112), anchors)
    flipped = flip_anchors(anchors, 112)
    left, right = ANCHORS.index("left_0"), ANCHORS.index("right_0")
    assert (flipped[:, left, 0] < flipped[:, right, 0]).all()
    torch.testing.assert_close(flipped[:, left, 0], 111 - anchors[:, right, 0])
    torch.testing.assert_close(flipped[..., 10, 1], anchors[..., 10, 1])

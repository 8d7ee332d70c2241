import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from autofr.data import synthetic_faces
from autofr.data.synthetic import TRAITS, face_geometry
from autofr.masks import RandomFaceMask, flip_anchors, landmark_scheme
from autofr.masks.geometry import AWAY, FRONT, ONE_SIDED, SIDE, TURNED, UNSEEN, Frame, Outline, placement, yaw
from autofr.masks.paint import mask_opacity

FACES = synthetic_faces(6, 6, 112, seed=2)
assert FACES.anchors is not None
ANCHORS = FACES.anchors


def turned(degrees: float, pitch: float = 0.0, roll: float = 0.0) -> Tensor:
    """The anchors of a middling head, turned; (1, 19, 2) at 112 pixels."""
    x, y, z = torch.from_numpy(face_geometry(np.zeros(TRAITS), 0.0, 0.02)).float().unbind(1)
    a, b, c = (torch.deg2rad(torch.tensor(v)) for v in (degrees, pitch, roll))
    x, z = x * a.cos() + z * a.sin(), z * a.cos() - x * a.sin()
    y = y * b.cos() + z * b.sin()
    x, y = x * c.cos() - y * c.sin(), x * c.sin() + y * c.cos()
    return landmark_scheme("ibug68").anchors((torch.stack([x, y], 1) * 42 + torch.tensor([56.0, 58.0]))[None])


def parameters(rows: int, seed: int = 0, **given: object) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    drawn = RandomFaceMask(p=1.0, **given)._param_generator(torch.Size([rows, 3, 112, 112]))  # type: ignore[arg-type]
    return dict(drawn)


def test_the_frame_goes_there_and_back() -> None:
    frame = Frame.of(ANCHORS)
    torch.testing.assert_close(frame.outward(frame.inward(ANCHORS)), ANCHORS, atol=1e-4, rtol=1e-5)
    inner = frame.inward(ANCHORS)
    torch.testing.assert_close(inner[:, 10], torch.zeros(len(ANCHORS), 2))
    torch.testing.assert_close(inner[:, 16, 1], torch.ones(len(ANCHORS)))


def test_yaw_is_zero_ahead_grows_with_the_turn_and_changes_sign_with_the_side() -> None:
    angles = [-50.0, -30.0, -10.0, 0.0, 10.0, 30.0, 50.0]
    found = torch.cat([yaw(turned(a)) for a in angles])
    assert abs(found[3]) < 1
    assert (found.diff() > 0).all()
    assert (found[:3] < 0).all()
    torch.testing.assert_close(found, -found.flip(0), atol=0.5, rtol=0)
    torch.testing.assert_close(yaw(flip_anchors(ANCHORS, 112)), -yaw(ANCHORS), atol=1e-2, rtol=0)
    torch.testing.assert_close(yaw(turned(20.0, roll=30.0)), yaw(turned(20.0)), atol=0.5, rtol=0)


def test_placement_goes_by_the_turn() -> None:
    for angle, kind in ((0.0, FRONT), (15.0, FRONT), (75.0, AWAY), (-75.0, AWAY)):
        assert placement(turned(angle), 112, 112).item() == kind, angle
    kinds = {placement(turned(float(a)), 112, 112).item() for a in range(0, 80, 2)}
    assert kinds == {FRONT, SIDE, AWAY}
    assert ONE_SIDED < TURNED


@pytest.mark.parametrize("case", ["nan", "outside", "collinear", "one point", "upside down", "tiny", "huge"])
def test_points_that_are_no_face_are_left_alone(case: str) -> None:
    anchors = turned(0.0)
    if case == "nan":
        anchors[0, 3, 1] = torch.nan
    elif case == "outside":
        anchors = anchors + 200
    elif case == "collinear":
        anchors[..., 0] = 56
    elif case == "one point":
        anchors = torch.full_like(anchors, 40.0)
    elif case == "upside down":  # the contour above the nose: no order of a face
        anchors[:, :10, 0] = 112 - anchors[:, :10, 0]
    elif case == "tiny":
        anchors = 56 + (anchors - 56) * 0.01
    else:
        anchors = 56 + (anchors - 56) * 1e6
    assert placement(anchors, 112, 112).item() == UNSEEN
    image = torch.rand(1, 3, 112, 112)
    assert torch.equal(RandomFaceMask(p=1.0)(image, anchors), image)


@pytest.mark.parametrize("angle", [0.0, 20.0, -35.0, 45.0])
@pytest.mark.parametrize("roll", [0.0, 40.0, 180.0])
def test_masks_stay_on_the_face_and_below_the_eyes(angle: float, roll: float) -> None:
    rows = 40
    anchors = turned(angle, roll=roll).expand(rows, -1, -1)
    cloth = mask_opacity(Outline(Frame.of(anchors), parameters(rows)), 160, 160) > 0.5
    frame = Frame.of(anchors)
    ys, xs = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    inner = frame.inward(torch.stack([xs, ys], -1).flatten(0, 1)[None].expand(rows, -1, -1)).view(rows, 160, 160, 2)
    points = frame.inward(anchors)
    for mask, place, face in zip(cloth, inner, points, strict=True):
        assert mask.sum() > 100
        a, b = place[mask].unbind(1)
        assert b.min() > torch.minimum(face[17, 1], face[18, 1]) - 0.02
        low, high = face[:, 0].min() - 0.08, face[:, 0].max() + 0.08
        assert low < a.min() < a.max() < high
        assert b.max() < 1.12


def test_coverage_decides_what_is_hidden() -> None:
    rows = 30
    anchors = turned(0.0).expand(rows, -1, -1)
    tip, mouth, chin = (anchors[0, i].round().long() for i in (12, 15, 16))
    covered = {}
    for name in ("full", "half", "chin"):
        outline = Outline(Frame.of(anchors), parameters(rows, coverage={name: 1.0}, tilt=0.0, jitter=0.0))
        cloth = mask_opacity(outline, 112, 112) > 0.5
        covered[name] = [bool(cloth[:, y, x].all()) for x, y in (tip.tolist(), mouth.tolist())]
        assert cloth[:, chin[1] - 4, chin[0]].float().mean() > 0.95
        assert name == "full" or not cloth[:, tip[1], tip[0]].any()
        assert name != "chin" or not cloth[:, mouth[1] - 3, mouth[0]].any()
    assert covered == {"full": [True, True], "half": [False, True], "chin": [False, False]}


def test_the_far_side_is_foreshortened() -> None:
    def sides(angle: float) -> tuple[float, float]:
        anchors = turned(angle).expand(20, -1, -1)
        outline = Outline(Frame.of(anchors), parameters(20, coverage={"full": 1.0}, tilt=0.0, jitter=0.0))
        cloth = mask_opacity(outline, 112, 112) > 0.5
        row = int(anchors[0, 14, 1])
        xs = cloth[:, row].float() * torch.arange(112)
        middle = anchors[0, 14, 0]
        return float(middle - xs.where(cloth[:, row], 1e9).amin(1).mean()), float(xs.amax(1).mean() - middle)

    left, right = sides(0.0)
    assert abs(left - right) < 2
    left, right = sides(30.0)  # the nose points right: the right cheek is the far one
    assert right < 0.75 * left


def test_parameters_change_the_outline_as_they_say() -> None:
    anchors = turned(0.0)
    base = {k: v[:1] for k, v in parameters(1, coverage={"full": 1.0}, tilt=0.0, jitter=0.0).items()}

    def area(**given: float) -> float:
        changed = {k: torch.full_like(v, given[k]) if k in given else v for k, v in base.items()}
        return float(mask_opacity(Outline(Frame.of(anchors), changed), 112, 112).sum())

    assert area(width=0.8) < area(width=0.95) < area(width=1.03)
    assert area(height=1.0) < area(height=0.0)
    assert area(drop=-0.03) < area(drop=0.04)


def test_a_tilted_mask_rises_on_one_side() -> None:
    anchors = turned(0.0)
    base = parameters(1, coverage={"full": 1.0}, tilt=0.0, jitter=0.0)
    jaw = Outline(Frame.of(anchors), {**base, "tilt": torch.tensor([0.3])}).jaw[0]
    assert jaw[0, 1] > jaw[-1, 1] + 0.05


def test_the_sign_of_the_distance_is_the_side_of_the_outline() -> None:
    """An independent computation: inside all half-planes, below the parabola, below the eyes, in float64."""
    rows = 12
    anchors = ANCHORS[:rows]
    outline = Outline(Frame.of(anchors), parameters(rows))
    ys, xs = np.mgrid[0:112, 0:112]
    pixels = np.stack([xs, ys], -1).reshape(-1, 2).astype(np.float64)
    distance = outline.fields(torch.from_numpy(pixels).float())[0].numpy()
    for row in range(rows):
        frame = outline.frame
        axes, origin = frame.axes[row].double().numpy(), frame.origin[row].double().numpy()
        inner = (pixels - origin) @ axes.T / float(frame.length[row])
        jaw = outline.jaw[row].double().numpy()
        inside = np.ones(len(inner), dtype=bool)
        for start, end in itertools.pairwise(jaw):
            edge, to = end - start, inner - start
            inside &= edge[0] * to[:, 1] - edge[1] * to[:, 0] < 0
        c0, c1, c2 = outline.top[row].double().numpy()
        inside &= inner[:, 1] > c0 + c1 * inner[:, 0] + c2 * inner[:, 0] ** 2
        lids = outline.lids[row].double().numpy()
        along = (lids[1] - lids[0]) / np.linalg.norm(lids[1] - lids[0])
        inside &= (inner - lids.mean(0)) @ np.array([-along[1], along[0]]) > 0.015
        ours = distance[row] < 0
        assert not (ours & ~inside).any()  # rounded corners only take away
        assert (inside & ~ours).sum() < 0.06 * inside.sum()

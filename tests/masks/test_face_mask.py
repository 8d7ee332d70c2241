import numpy as np
import pytest
import torch
from torch import Tensor

from autofr.data import synthetic_faces
from autofr.masks import RandomFaceMask, flip_landmarks
from autofr.masks.face_mask import mask_outline, signed_distance

FACES = synthetic_faces(4, 4, 64, seed=1)
IMAGES = FACES.read(torch.arange(16)).float() / 255
assert FACES.landmarks is not None
LANDMARKS = FACES.landmarks


def changed(images: Tensor, masked: Tensor) -> Tensor:
    return (images != masked).any(1)


def test_masks_below_the_eyes_and_inside_the_face() -> None:
    touched = changed(IMAGES, RandomFaceMask(p=1.0)(IMAGES, LANDMARKS))
    for rows, points in zip(touched, LANDMARKS, strict=True):
        ys, xs = rows.nonzero(as_tuple=True)
        assert 150 < len(ys) < 2400
        assert ys.min() > points[36:48, 1].mean()
        assert xs.min() > points[:17, 0].min() - 5
        assert xs.max() < points[:17, 0].max() + 5


def test_a_full_mask_covers_the_nose_tip_and_a_half_mask_does_not() -> None:
    for full in (0.0, 1.0):
        mask = RandomFaceMask(p=1.0, full=full, tilt=0.0, jitter=0.0)
        touched = changed(IMAGES, mask(IMAGES, LANDMARKS))
        tip, mouth = LANDMARKS[:, 30].round().long(), LANDMARKS[:, 62].round().long()
        rows = torch.arange(16)
        assert (touched[rows, tip[:, 1], tip[:, 0]] == bool(full)).all()
        assert touched[rows, mouth[:, 1], mouth[:, 0]].all()


def test_p_is_the_share_of_masked_faces() -> None:
    torch.manual_seed(0)
    images, landmarks = IMAGES.repeat(40, 1, 1, 1), LANDMARKS.repeat(40, 1, 1)
    share = changed(images, RandomFaceMask(p=0.2)(images, landmarks)).flatten(1).any(1).double().mean()
    assert abs(share - 0.2) < 3 * (0.2 * 0.8 / len(images)) ** 0.5
    assert torch.equal(RandomFaceMask(p=0.0)(images, landmarks), images)


def test_parameters_differ_between_samples_unless_told_otherwise() -> None:
    images, landmarks = IMAGES[:1].repeat(6, 1, 1, 1), LANDMARKS[:1].repeat(6, 1, 1)
    masked = RandomFaceMask(p=1.0)(images, landmarks)
    assert len({m.numpy().tobytes() for m in masked}) == 6
    alike = RandomFaceMask(p=1.0, same_on_batch=True)(images, landmarks)
    assert len({m.numpy().tobytes() for m in alike}) == 1


def test_parameters_are_replayed() -> None:
    mask = RandomFaceMask(p=0.5)
    first = mask(IMAGES, LANDMARKS)
    assert changed(IMAGES, first).any()
    assert torch.equal(mask(IMAGES, params=mask._params), first)
    assert not torch.equal(mask(IMAGES, LANDMARKS), first)


def test_the_global_seed_decides() -> None:
    torch.manual_seed(5)
    first = RandomFaceMask(p=0.5)(IMAGES, LANDMARKS)
    torch.manual_seed(5)
    assert torch.equal(RandomFaceMask(p=0.5)(IMAGES, LANDMARKS), first)


def test_a_face_with_nan_landmarks_is_never_masked() -> None:
    landmarks = LANDMARKS.clone()
    landmarks[3, 40] = float("nan")
    touched = changed(IMAGES, RandomFaceMask(p=1.0)(IMAGES, landmarks)).flatten(1).any(1)
    assert touched.tolist() == [i != 3 for i in range(16)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_keeps_type_shape_and_range(dtype: torch.dtype) -> None:
    masked = RandomFaceMask(p=1.0)(IMAGES.to(dtype), LANDMARKS)
    assert masked.dtype == dtype
    assert masked.shape == IMAGES.shape
    assert masked.min() >= 0
    assert masked.max() <= 1


def test_single_images_with_and_without_keepdim() -> None:
    assert RandomFaceMask(p=1.0, keepdim=True)(IMAGES[0], LANDMARKS[0]).shape == (3, 64, 64)
    assert RandomFaceMask(p=1.0)(IMAGES[0], LANDMARKS[0]).shape == (1, 3, 64, 64)


def test_gradient_flows_where_the_face_shows() -> None:
    images = IMAGES[:2].clone().requires_grad_()
    masked = RandomFaceMask(p=1.0)(images, LANDMARKS[:2])
    masked.sum().backward()
    assert images.grad is not None
    bare = ~changed(IMAGES[:2], masked.detach())[:, None].expand_as(images)
    assert (images.grad[bare] == 1).all()
    assert (images.grad == 0).any()


@pytest.mark.parametrize("landmarks", [None, LANDMARKS[:3], LANDMARKS[:, :5]])
def test_landmarks_that_do_not_fit_are_refused(landmarks: Tensor | None) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        RandomFaceMask(p=1.0)(IMAGES, landmarks)


def test_signed_distance_of_a_square() -> None:
    square = torch.tensor([[[2.0, 2.0], [6.0, 2.0], [6.0, 6.0], [2.0, 6.0]]])
    distance = signed_distance(square, 9, 9)[0]
    assert distance[4, 4] == -2
    assert distance[4, 0] == 2
    assert distance[2, 4] == 0
    assert torch.isclose(distance[0, 0], torch.tensor(8.0).sqrt())


def test_inside_agrees_with_matplotlib() -> None:
    from matplotlib.path import Path

    mask = RandomFaceMask(p=1.0)
    mask(IMAGES, LANDMARKS)
    outline = mask_outline({**mask._params, "landmarks": LANDMARKS})
    ours = signed_distance(outline, 64, 64) < 0
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1).reshape(-1, 2)
    for polygon, inside in zip(outline, ours, strict=True):
        theirs = Path(polygon.numpy()).contains_points(pixels).reshape(64, 64)
        assert (
            theirs != inside.numpy()
        ).sum() <= 2  # an outline that crosses itself at a corner: winding against parity


def test_flipping_twice_changes_nothing_and_once_keeps_left_on_the_left() -> None:
    torch.testing.assert_close(flip_landmarks(flip_landmarks(LANDMARKS, 64), 64), LANDMARKS)
    flipped = flip_landmarks(LANDMARKS, 64)
    assert (flipped[:, 0, 0] < flipped[:, 16, 0]).all()
    assert (flipped[:, 36:42, 0].mean(1) < flipped[:, 42:48, 0].mean(1)).all()
    assert (flipped[:, 48, 0] < flipped[:, 54, 0]).all()

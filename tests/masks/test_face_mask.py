"""RandomFaceMask as a Kornia augmentation: smoke, cardinality, exceptions, gradients, replay, types, compilation."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.augmentation import IntensityAugmentationBase2D
from kornia.filters import gaussian_blur2d
from PIL import Image
from torch import Tensor

from autofr import AutofrError
from autofr.data import synthetic_faces
from autofr.masks import RandomFaceMask, constants, flip_anchors, placement
from autofr.masks.fabric import load_fabrics
from autofr.masks.geometry import Frame, Outline
from autofr.masks.light import measure_light
from autofr.masks.loops import ear_loops
from autofr.masks.paint import Box, mask_opacity, plan
from autofr.masks.schemes import middling_face

FACES = synthetic_faces(4, 4, 64, seed=1)
IMAGES = FACES.read(torch.arange(16)).float() / 255
assert FACES.landmarks is not None
assert FACES.anchors is not None
LANDMARKS, ANCHORS = FACES.landmarks, FACES.anchors
PLACES = placement(ANCHORS, 64, 64).tolist()


def changed(images: Tensor, masked: Tensor) -> Tensor:
    return (images != masked).any(1)


# Smoke


def test_is_a_kornia_intensity_augmentation_and_says_what_it_does() -> None:
    mask = RandomFaceMask(p=0.3, same_on_batch=True)
    assert isinstance(mask, IntensityAugmentationBase2D)
    assert "p=0.3" in repr(mask)
    assert "coverage" in repr(mask)
    assert mask.compute_transformation(IMAGES, {}, {}).shape == (16, 3, 3)


@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize("same_on_batch", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 16])
def test_cardinality(p: float, same_on_batch: bool, keepdim: bool, rows: int) -> None:
    mask = RandomFaceMask(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
    assert mask(IMAGES[:rows], LANDMARKS[:rows]).shape == (rows, 3, 64, 64)
    assert mask(IMAGES[0], LANDMARKS[0]).shape == ((3, 64, 64) if keepdim else (1, 3, 64, 64))


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (33, 35), (224, 224), (8, 8), (400, 300)])
def test_any_image_size(shape: tuple[int, int]) -> None:
    height, width = shape
    images = torch.rand(3, 3, height, width)
    landmarks = LANDMARKS[:3] * torch.tensor([width / 64, height / 64])
    masked = RandomFaceMask(p=1.0)(images, landmarks)
    assert masked.shape == images.shape
    assert changed(images, masked).flatten(1).any(1).all()


def test_an_empty_batch() -> None:
    assert RandomFaceMask(p=1.0)(IMAGES[:0], LANDMARKS[:0]).shape == (0, 3, 64, 64)


# What it paints


def test_masks_below_the_eyes_and_leaves_the_rest_as_it_was() -> None:
    touched = changed(IMAGES, RandomFaceMask(p=1.0)(IMAGES, LANDMARKS))
    assert touched.flatten(1).any(1).all()
    for rows, points in zip(touched, LANDMARKS, strict=True):
        assert not rows[: int(points[17:27, 1].min()) - 6].any()  # loops reach for the ears, never for the forehead


def test_hides_what_it_covers() -> None:
    """Whatever the face was, the mouth's place shows cloth: two different faces give nearly the same pixels."""
    torch.manual_seed(0)
    mask = RandomFaceMask(p=1.0, coverage={"full": 1.0}, material={"plain": 1.0})
    dark, light = IMAGES[:1].clone(), IMAGES[:1].clone()
    points = LANDMARKS[0, 48:60].round().long()
    (left, top), (right, bottom) = points.amin(0).tolist(), points.amax(0).tolist()
    dark[:, :, top:bottom, left:right] = 0.0
    light[:, :, top:bottom, left:right] = 1.0
    first = mask(dark, LANDMARKS[:1])
    second = mask(light, params=mask._params)
    assert (first - second)[:, :, top:bottom, left:right].abs().max() < 0.1


def test_cloth_follows_the_light() -> None:
    mask = RandomFaceMask(p=1.0, coverage={"full": 1.0}, material={"plain": 1.0})
    grey = torch.full((1, 3, 64, 64), 0.5)
    ramp = torch.linspace(0.4, 1.6, 64)
    masked = mask(grey * ramp, LANDMARKS[:1])
    mirrored = mask(grey * ramp.flip(0), params=mask._params)
    dimmed = mask(grey * 0.4, params=mask._params)
    mouth = LANDMARKS[0, 48:60].round().long()
    (left, top), (right, bottom) = mouth.amin(0).tolist(), mouth.amax(0).tolist()
    box = (0, slice(None), slice(top, bottom))
    assert masked[box][..., right - 3 : right].mean() > mirrored[box][..., right - 3 : right].mean() * 1.1
    assert masked[box][..., left : left + 3].mean() * 1.1 < mirrored[box][..., left : left + 3].mean()
    level = mask(grey, params=mask._params)[box][..., left:right].mean()
    assert dimmed[box][..., left:right].mean() < 0.8 * level


def painted_with(images: Tensor, seed: int = 0, **given: float) -> Tensor:
    """The same plain masks on ``images``, but for some of their parameters."""
    torch.manual_seed(seed)
    mask = RandomFaceMask(p=1.0, coverage="full", material="plain")
    mask(images, LANDMARKS)
    params = mask._params
    changed_ones = {name: torch.full_like(params[name], value) for name, value in given.items()}
    return mask(images, params={**params, **changed_ones})


def bare(images: Tensor) -> Tensor:
    """Where no cloth of those masks is, (B, H, W)."""
    torch.manual_seed(0)
    mask = RandomFaceMask(p=1.0, coverage="full", material="plain")
    params = mask._param_generator(images.shape)
    return mask_opacity(Outline(Frame.of(ANCHORS), params), 64, 64) == 0


def test_skin_beside_the_mask_lies_in_its_shadow() -> None:
    outside = bare(IMAGES)[:, None].expand_as(IMAGES)
    none, deep = (painted_with(IMAGES, shadow=value, loop_opacity=0.0) for value in (0.0, 0.4))
    assert (deep - none)[outside].max() <= 0
    assert (deep - none)[outside].min() < -0.03


def test_loops_run_from_the_mask_over_bare_skin() -> None:
    outside = bare(IMAGES)[:, None].expand_as(IMAGES)
    without, worn, one = (
        painted_with(IMAGES, loop_opacity=opacity, loop_lower=lower, loop_width=1.4, shadow=0.0)
        for opacity, lower in ((0.0, True), (1.0, True), (1.0, False))
    )
    both, upper = (((sheet != without) & outside).any(1).flatten(1).sum(1) for sheet in (worn, one))
    assert (both > 4).all()
    assert (upper < both).any()


def test_the_far_ear_of_a_turned_head_has_no_loop() -> None:
    frames = Frame.of(ANCHORS)
    torch.manual_seed(0)
    params = RandomFaceMask(coverage="full")._param_generator(IMAGES.shape)
    params["loop_opacity"], params["loop_lower"] = torch.ones(16), torch.ones(16, dtype=torch.bool)
    outline = Outline(frames._replace(turn=torch.full((16,), 40.0)), params)  # to the image's right
    share = ear_loops(outline, params, 64, 64).share.view(16, 4, -1).amax(2)
    assert (share[:, :2] > 0).float().mean() > 0.8  # a few run out of the picture
    assert (share[:, 2:] == 0).all()


def test_cloth_has_the_pictures_noise_and_focus() -> None:
    rows, columns = slice(42, 54), slice(24, 40)

    def roughness(images: Tensor) -> Tensor:
        return painted_with(images.clamp(0, 1), crumple=0.0)[:, :, rows, columns].diff(dim=3).abs().mean()

    torch.manual_seed(1)
    assert roughness(IMAGES + 0.05 * torch.randn_like(IMAGES)) > 1.3 * roughness(IMAGES)
    edges = []
    for sigma in (0.3, 2.5):
        soft = gaussian_blur2d(IMAGES, (15, 15), (sigma, sigma))
        steps = painted_with(soft, rim=0.0, shadow=0.0, loop_opacity=0.0).diff(dim=2).abs().amax((1, 2, 3))
        edges.append(steps.mean())
    assert edges[1] < 0.7 * edges[0]


def test_p_is_the_share_of_masked_faces() -> None:
    torch.manual_seed(0)
    images, landmarks = IMAGES.repeat(40, 1, 1, 1), LANDMARKS.repeat(40, 1, 1)
    share = changed(images, RandomFaceMask(p=0.2)(images, landmarks)).flatten(1).any(1).double().mean()
    assert abs(share - 0.2) < 3 * (0.2 * 0.8 / len(images)) ** 0.5
    assert torch.equal(RandomFaceMask(p=0.0)(images, landmarks), images)


def test_shares_of_coverage_and_material_are_kept() -> None:
    torch.manual_seed(0)
    generator = RandomFaceMask(coverage={"full": 3, "half": 1}, material={"cup": 1, "plain": 1})._param_generator
    drawn = generator(torch.Size([4000, 3, 64, 64]))
    assert abs((drawn["coverage"] == 0).float().mean() - 0.75) < 0.03
    assert (drawn["coverage"] < 2).all()
    cups = drawn["dome"] > 0.26  # only cups are so round
    assert 0.2 < cups.float().mean() < 0.5


def test_parameters_differ_between_samples_unless_told_otherwise() -> None:
    images, landmarks = IMAGES[:1].repeat(6, 1, 1, 1), LANDMARKS[:1].repeat(6, 1, 1)
    masked = RandomFaceMask(p=1.0)(images, landmarks)
    assert len({m.numpy().tobytes() for m in masked}) == 6
    alike = RandomFaceMask(p=1.0, same_on_batch=True)(images, landmarks)
    assert len({m.numpy().tobytes() for m in alike}) == 1


def test_a_face_looks_the_same_in_any_batch() -> None:
    mask = RandomFaceMask(p=1.0)
    whole = mask(IMAGES, LANDMARKS)
    params = mask._params
    for row in (0, 5, 15):
        one = {k: v[row : row + 1] if k != "forward_input_shape" else v for k, v in params.items()}
        torch.testing.assert_close(mask(IMAGES[row : row + 1], params=one), whole[row : row + 1], atol=2e-5, rtol=0)


def test_black_and_white_pictures_get_grey_masks() -> None:
    grey = IMAGES.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    masked = RandomFaceMask(p=1.0)(grey, LANDMARKS)
    assert (masked.amax(1) - masked.amin(1)).max() < 0.05
    coloured = RandomFaceMask(p=1.0)(IMAGES, LANDMARKS)
    assert (coloured.amax(1) - coloured.amin(1)).max() > 0.2


def test_one_kind_by_its_name() -> None:
    generator = RandomFaceMask(coverage="half", material="cup")._param_generator
    assert generator.coverage == {"full": 0.0, "half": 1.0, "chin": 0.0}
    assert (generator(torch.Size([50, 3, 64, 64]))["coverage"] == 1).all()


def test_a_users_textures_are_worn(tmp_path: Path) -> None:
    Image.new("RGB", (50, 30), (0, 200, 0)).save(tmp_path / "green.png")
    mask = RandomFaceMask(p=1.0, coverage={"full": 1.0}, material={"user": 1.0}, textures=tmp_path)
    skin = torch.tensor([0.62, 0.48, 0.41])[:, None, None].expand(16, 3, 64, 64)
    masked = mask(skin, LANDMARKS)
    rows = torch.arange(16)
    x, y = LANDMARKS[:, 62].round().long().unbind(1)
    pixel = masked[rows, :, y, x]
    assert (pixel[:, 1] > 0.25).all()
    assert (pixel[:, [0, 2]] < 0.12).all()
    assert RandomFaceMask(textures=tmp_path)._param_generator.material["user"] == 0.5


# Replay


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


def test_copies_and_pickles_paint_the_same() -> None:
    mask = RandomFaceMask(p=1.0)
    first = mask(IMAGES, LANDMARKS)
    for other in (copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
        assert torch.equal(other(IMAGES, params=mask._params), first)
    assert not mask.state_dict()  # textures are made, not stored


def test_landmarks_and_their_anchors_give_the_same_mask() -> None:
    torch.manual_seed(1)
    first = RandomFaceMask(p=1.0)(IMAGES, LANDMARKS)
    torch.manual_seed(1)
    torch.testing.assert_close(RandomFaceMask(p=1.0)(IMAGES, ANCHORS), first)


# Types


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_keeps_type_shape_and_range(dtype: torch.dtype, p: float) -> None:
    masked = RandomFaceMask(p=p)(IMAGES.to(dtype), LANDMARKS)
    assert masked.dtype == dtype
    assert masked.min() >= 0
    assert masked.max() <= 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_agrees_with_single(dtype: torch.dtype) -> None:
    mask = RandomFaceMask(p=1.0)
    low = IMAGES.to(dtype)
    first = mask(low.float(), LANDMARKS)
    second = mask(low, params=mask._params).float()
    assert (first - second).abs().max() < (0.01 if dtype == torch.bfloat16 else 0.002)


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_any_memory_layout(p: float) -> None:
    mask = RandomFaceMask(p=p)
    first = mask(IMAGES, LANDMARKS)
    for layout in (
        IMAGES.contiguous(memory_format=torch.channels_last),
        IMAGES.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2),
        torch.cat([IMAGES, IMAGES], 3)[..., :64],
    ):
        assert torch.equal(mask(layout, params=mask._params), first)


def test_autocast_does_not_move_the_mask() -> None:
    torch.manual_seed(0)
    first = RandomFaceMask(p=1.0)(IMAGES, LANDMARKS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.manual_seed(0)
        second = RandomFaceMask(p=1.0)(IMAGES, LANDMARKS)
        assert placement(ANCHORS, 64, 64).tolist() == PLACES
        assert FACES.scheme is None
    assert second.dtype == torch.float32
    assert torch.equal(second, first)


@pytest.mark.parametrize("convert", ["half", "bfloat16", "double"])
def test_a_module_cast_with_its_network_paints_alike(convert: str) -> None:
    mask = RandomFaceMask(p=1.0)
    first = mask(IMAGES, LANDMARKS)
    params = mask._params
    masked = getattr(mask, convert)()(IMAGES, params=params)
    assert masked.dtype == torch.float32
    assert (masked - first).abs().mean() < 0.01


def test_inference_mode_leaves_nothing_behind() -> None:
    load_fabrics.__globals__["_drawn"].cache_clear()
    measure_light.__globals__["_skin"].cache_clear()
    for kept in (constants.constant, constants.places, middling_face):
        kept.cache_clear()
    plan.__globals__["_weights"].cache_clear()
    with torch.inference_mode():
        RandomFaceMask(p=1.0)(IMAGES, LANDMARKS)
    images = IMAGES.clone().requires_grad_()
    RandomFaceMask(p=1.0)(images, LANDMARKS).sum().backward()
    assert images.grad is not None


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_the_path_of_other_devices_paints_the_same(p: float) -> None:
    """Run on the CPU. Which faces fit is not read back there: those that do not are computed with, and must neither
    break anything nor leak into the gradient."""
    bad = LANDMARKS.clone()
    bad[1] = torch.nan
    bad[4] = 30.0
    bad[7] *= 1e30
    bad[9, :, 0] = 32.0
    mask = RandomFaceMask(p=p)
    expected = mask(IMAGES, bad)
    params = {k: v for k, v in mask._params.items() if k != "forward_input_shape"}
    anchors, drawn = params.pop("anchors"), params.pop("batch_prob") > 0.5
    fit = placement(anchors, 64, 64) > 1
    assert (~fit).sum() == 4
    images = IMAGES.clone().requires_grad_()
    masked = mask._masked_elsewhere(images, anchors, fit, drawn, params)
    torch.testing.assert_close(masked, expected, atol=1e-4, rtol=0)
    masked.sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert (images.grad[~fit] == 1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_a_gpu_paints_what_the_cpu_paints(p: float) -> None:
    mask = RandomFaceMask(p=p)
    landmarks = LANDMARKS.clone()
    landmarks[2] = torch.nan
    first = mask(IMAGES, landmarks)
    torch.testing.assert_close(
        mask(IMAGES.cuda(), params=mask._params).cpu(), first, atol=1e-3, rtol=0
    )  # a module that was not moved
    params = {k: v.cuda() for k, v in mask._params.items()}
    torch.testing.assert_close(mask.cuda()(IMAGES.cuda(), params=params).cpu(), first, atol=1e-3, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_nothing_waits_for_a_gpu() -> None:
    mask, images, landmarks = RandomFaceMask(p=0.5).cuda(), IMAGES.cuda(), LANDMARKS.cuda()
    mask(images, landmarks)  # what is kept on the device is brought there
    flip_anchors(landmarks[:, :19], 64)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            masked = mask(images, landmarks)
            flip_anchors(landmarks[:, :19], 64)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not torch.equal(masked, images)


# Gradients


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("slope", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_gradcheck_in_the_image(channel: int, slope: tuple[float, float]) -> None:
    """Numerical against analytic derivatives of everything that is painted, the cloth's shading included.

    Painting is float32 inside, so it is checked along smooth directions with wide steps. They leave differences of
    neighbouring pixels as they are: focus and noise, which no gradient flows through, stay put.
    """
    torch.manual_seed(3)
    mask = RandomFaceMask(p=1.0, coverage={"full": 1.0})
    image = IMAGES[:1] * 0.5 + 0.2
    mask(image, LANDMARKS[:1])
    params = mask._params
    weights = torch.rand(1, 3, 64, 64)
    ramp = torch.linspace(-1, 1, 64)
    direction = torch.zeros_like(image)
    direction[0, channel] = 1 + slope[0] * ramp + slope[1] * ramp[:, None]
    leaf = image.clone().requires_grad_()
    (mask(leaf, params=params) * weights).sum().backward()
    assert leaf.grad is not None
    analytic = float((leaf.grad.double() * direction).sum())
    step = 4e-3
    up, down = (
        float((mask(image + sign * step * direction, params=params).double() * weights).sum()) for sign in (1, -1)
    )
    assert analytic == pytest.approx((up - down) / (2 * step), rel=0.01)


def test_gradient_flows_where_the_face_shows() -> None:
    images = (IMAGES[:2] * 0.5 + 0.2).requires_grad_()
    masked = RandomFaceMask(p=1.0, coverage={"full": 1.0})(images, LANDMARKS[:2])
    bare = ~changed(images.detach(), masked.detach())[:, None].expand_as(images)
    (gradient,) = torch.autograd.grad(masked[bare].sum(), images)
    assert (gradient[bare] == 1).all()
    assert (gradient[~bare] == 0).all()
    (gradient,) = torch.autograd.grad(
        RandomFaceMask(p=1.0, coverage={"full": 1.0})(images, LANDMARKS[:2]).sum(), images
    )
    hidden = LANDMARKS[0, 62].round().long()
    assert gradient[0, :, hidden[1], hidden[0]].abs().max() < 0.5


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_the_input_is_not_written_to(p: float) -> None:
    images = IMAGES.clone()
    RandomFaceMask(p=p)(images, LANDMARKS)
    assert torch.equal(images, IMAGES)


# Compilation


@pytest.mark.search
def test_the_inner_functions_compile_without_graph_breaks() -> None:
    mask = RandomFaceMask(p=1.0)
    eager = mask(IMAGES[:4], LANDMARKS[:4])
    params = {k: v for k, v in mask._params.items() if k not in ("batch_prob", "forward_input_shape")}
    box = Box(0, 64, 0, 64, 64, 64)

    def inner(faces: Tensor, params: dict[str, Tensor]) -> Tensor:
        planned = plan(
            faces, params["anchors"], Outline(Frame.of(params["anchors"]), params), params, mask.textures.shape[1], box
        )
        return mask._painted(faces.clone(), planned, box)

    torch._dynamo.reset()
    explained = torch._dynamo.explain(inner)(IMAGES[:4], params)
    assert explained.graph_break_count == 0
    compiled = torch.compile(inner, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(IMAGES[:4], params), eager, atol=1e-4, rtol=0)


# Bad input


def test_a_face_with_nan_landmarks_is_never_masked() -> None:
    landmarks = LANDMARKS.clone()
    landmarks[3, 40] = float("nan")
    touched = changed(IMAGES, RandomFaceMask(p=1.0)(IMAGES, landmarks)).flatten(1).any(1)
    assert touched.tolist() == [i != 3 for i in range(16)]


def test_nothing_to_mask_changes_nothing() -> None:
    assert torch.equal(RandomFaceMask(p=1.0)(IMAGES, torch.full_like(LANDMARKS, torch.nan)), IMAGES)
    assert torch.equal(RandomFaceMask(p=1.0)(IMAGES, LANDMARKS + 1000), IMAGES)


def test_landmarks_partly_outside_the_image_are_painted_where_they_show() -> None:
    masked = RandomFaceMask(p=1.0)(IMAGES, LANDMARKS + torch.tensor([20.0, 0.0]))
    assert masked.isfinite().all()
    assert changed(IMAGES, masked).any()


@pytest.mark.parametrize("landmarks", [None, LANDMARKS[:3], LANDMARKS[0], LANDMARKS[..., :1], LANDMARKS[None]])
def test_landmarks_that_do_not_fit_are_refused(landmarks: Tensor | None) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        RandomFaceMask(p=1.0)(IMAGES, landmarks)


def test_an_unknown_number_of_points_is_refused() -> None:
    with pytest.raises(AutofrError, match="60:INDEX"):
        RandomFaceMask(p=1.0)(IMAGES, LANDMARKS[:, :60])


@pytest.mark.parametrize(
    "images",
    [IMAGES[:, :1], IMAGES[:, 0], torch.zeros(16, 4, 64, 64), (IMAGES * 255).byte(), IMAGES[None]],
)
def test_images_of_another_kind_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"floating-point images \(B, 3, H, W\)"):
        RandomFaceMask(p=1.0)(images, LANDMARKS)


@pytest.mark.parametrize("images", [IMAGES * 255, IMAGES * 2 - 1])
def test_images_outside_the_unit_range_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\].*from -?\d"):
        RandomFaceMask(p=1.0)(images, LANDMARKS)


def test_a_nan_pixel_spoils_its_own_image_only() -> None:
    images = IMAGES.clone()
    images[2, 0, 5, 5] = torch.nan
    masked = RandomFaceMask(p=1.0)(images, LANDMARKS)
    assert masked[[i for i in range(16) if i != 2]].isfinite().all()


def test_without_landmarks_kornias_container_is_told_so() -> None:
    from kornia.augmentation import AugmentationSequential

    with pytest.raises(ValueError, match="before the container"):
        AugmentationSequential(RandomFaceMask(p=1.0), data_keys=["input"])(IMAGES)


def test_arrays_for_tensors() -> None:
    torch.manual_seed(0)
    first = RandomFaceMask(p=1.0)(IMAGES, LANDMARKS)
    torch.manual_seed(0)
    assert torch.equal(RandomFaceMask(p=1.0)(IMAGES, LANDMARKS.numpy()), first)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a tensor of images, got ndarray"):
        RandomFaceMask(p=1.0)(IMAGES.numpy(), LANDMARKS)  # type: ignore[arg-type]


def test_replay_on_another_number_of_images_is_refused() -> None:
    mask = RandomFaceMask(p=1.0)
    mask(IMAGES, LANDMARKS)
    with pytest.raises(ValueError, match="16 faces are replayed on 4 images"):
        mask(IMAGES[:4], params=mask._params)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coverage": {"nose": 1.0}}, "unknown coverage nose"),
        ({"coverage": {"full": 0.0}}, "some above 0"),
        ({"coverage": {"full": -1.0, "half": 2.0}}, "0 or more"),
        ({"material": {"silk": 1.0}}, "unknown material silk"),
        ({"material": {"user": 1.0}}, "needs a folder of textures"),
        ({"material": "plain", "textures": "."}, "its share is 0"),
        ({"coverage": "nose"}, "unknown coverage nose"),
        ({"tilt": 3.0}, "tilt lies from 0 to 1"),
        ({"jitter": np.nan}, "jitter from 0 to 0.1"),
        ({"p": 1.5}, "p is a probability"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomFaceMask(**settings)  # type: ignore[arg-type]


def test_textures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="no such folder of textures"):
        RandomFaceMask(textures=tmp_path / "none")
    with pytest.raises(AutofrError, match="holds no images"):
        RandomFaceMask(textures=tmp_path)
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(AutofrError, match=r"bad\.png"):
        RandomFaceMask(textures=tmp_path)

import itertools

import numpy as np
import torch
from kornia.filters import gaussian_blur2d

from autofr.data import synthetic_faces
from autofr.masks.light import measure_focus, measure_light

FACES = synthetic_faces(4, 4, 112, seed=1)
assert FACES.anchors is not None
ANCHORS = FACES.anchors


def plane(level: float, across: float, down: float) -> torch.Tensor:
    ramp = torch.linspace(-1, 1, 112)
    return (level * (1 + across * ramp + down * ramp[:, None])).expand(len(ANCHORS), 3, 112, 112)


def test_a_flat_light_is_flat() -> None:
    light = measure_light(plane(0.5, 0, 0), ANCHORS)
    torch.testing.assert_close(light.level, torch.full((16, 1), 0.5), atol=1e-4, rtol=0)
    assert light.across.abs().max() < 1e-4
    assert light.down.abs().max() < 1e-4
    torch.testing.assert_close(light.cast.mean(1), torch.ones(16))


def test_the_direction_of_the_light_is_found() -> None:
    right, left = measure_light(plane(0.5, 0.4, 0), ANCHORS), measure_light(plane(0.5, -0.4, 0), ANCHORS)
    assert (right.across > 0.05).all()
    assert (left.across < -0.05).all()
    below = measure_light(plane(0.5, 0, 0.4), ANCHORS)
    assert (below.down > 0.05).all()
    assert (
        measure_light(plane(0.25, 0.4, 0), ANCHORS).across - right.across
    ).abs().max() < 1e-3  # relative to the level


def test_the_colour_of_the_light_is_found_in_part() -> None:
    tinted = plane(0.5, 0, 0) * torch.tensor([1.22, 0.96, 0.82])[:, None, None]
    torch.testing.assert_close(measure_light(tinted, ANCHORS).cast, torch.ones(16, 3), atol=1e-3, rtol=0)
    blue = measure_light(tinted * torch.tensor([0.8, 1.0, 1.3])[:, None, None], ANCHORS).cast
    assert (blue[:, 2] > 1.05).all()
    assert (blue[:, 0] < 0.97).all()


def test_extremes_stay_in_range() -> None:
    for images in (torch.zeros(16, 3, 112, 112), torch.ones(16, 3, 112, 112)):
        light, (blur, noise) = measure_light(images, ANCHORS), measure_focus(images)
        for value in (light.level, light.across, light.down, light.cast, blur, noise):
            assert value.isfinite().all()
        assert (light.level > 0).all()
        assert light.across.abs().max() <= 0.6


def photograph() -> torch.Tensor:
    """Sharp detail at every scale, as photographs have: an amplitude spectrum of 1/f."""
    rng = np.random.default_rng(0)
    fy, fx = np.meshgrid(np.fft.fftfreq(112), np.fft.fftfreq(112), indexing="ij")
    spectrum = np.fft.fft2(rng.normal(size=(8, 112, 112))) / np.maximum(np.hypot(fy, fx), 1 / 112)
    values = np.fft.ifft2(spectrum).real
    values = 0.5 + 0.15 * (values - values.mean((1, 2), keepdims=True)) / values.std((1, 2), keepdims=True)
    return torch.from_numpy(values).float()[:, None].expand(-1, 3, -1, -1).clamp(0, 1)


def test_blur_is_ranked_and_noise_measured() -> None:
    sharp = photograph()
    found = [measure_focus(sharp)[0].mean()]
    for sigma in (0.7, 1.2, 2.0):
        found.append(measure_focus(gaussian_blur2d(sharp, (13, 13), (sigma, sigma)))[0].mean())
    assert all(a < b for a, b in itertools.pairwise(found))
    soft = gaussian_blur2d(sharp, (13, 13), (2.0, 2.0))
    for sigma in (0.01, 0.03):
        torch.manual_seed(0)
        noise = measure_focus(soft + sigma * torch.randn_like(soft))[1].mean()
        assert abs(float(noise) - sigma) < 0.3 * sigma

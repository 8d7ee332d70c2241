"""What a photograph does to what is in it: its light, its focus, its noise. Measured on each face of a batch, so that
a painted mask looks as if it had been there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from autofr.masks.constants import constant
from autofr.masks.schemes import BASE, BRIDGE, CHIN, COUNT, LEFT_LID, LOWER_LIP, NASION, RIGHT_LID, TIP

# Where bare skin is looked at: weights of anchors, and where that is on the face (u across, w down from the tip).
# None lies on eyes, nostrils or mouth, which are dark in any light.
_SKIN: tuple[tuple[dict[int, float], tuple[float, float]], ...] = (
    ({LEFT_LID: 0.5, 1: 0.5}, (-0.6, -0.25)),
    ({RIGHT_LID: 0.5, 6: 0.5}, (0.6, -0.25)),
    ({1: 0.5, BASE: 0.5}, (-0.45, 0.15)),
    ({6: 0.5, BASE: 0.5}, (0.45, 0.15)),
    ({BRIDGE: 1.0}, (0.0, -0.5)),
    ({BRIDGE: 0.5, TIP: 0.5}, (0.0, -0.25)),
    ({CHIN: 0.5, LOWER_LIP: 0.5}, (0.0, 0.8)),
    ({NASION: 1.6, TIP: -0.6}, (0.0, -1.0)),
)
_USUAL_BLUR = 0.6  # about the median of celebrity photographs at 112 pixels (experiments/mask_focus)
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Light:
    """The light on each of B faces.

    Attributes:
        level: (B, 1) mean luminance of the skin.
        across, down: (B, 1) how much brighter the skin gets per half width to the right, and per half height
            downward, as a share of ``level``; within 0.6.
        cast: (B, 3) colour of the light, mean 1.
        colourful: (B, 1) 0 for a black-and-white picture, whose skin is grey; 1 for one in colour.
    """

    level: Tensor
    across: Tensor
    down: Tensor
    cast: Tensor
    colourful: Tensor


def measure_light(faces: Tensor, anchors: Tensor) -> Light:
    """Fit a plane to the luminance of the skin.

    Args:
        faces: (B, 3, H, W) floating point in [0, 1].
        anchors: (B, 19, 2) float32 pixels.
    """
    weights, solver, patch = _skin(faces.device)
    height, width = faces.shape[-2:]
    points = weights @ anchors
    size = constant((width, height), faces.device)
    at = ((points + 0.5) / size * 2 - 1)[:, :, None] + patch
    skin = F.grid_sample(faces.float(), at, padding_mode="border", align_corners=False).mean(3)
    luma = constant(LUMA, faces.device)
    fit = (luma @ skin) @ solver.T
    level = fit[:, 0].clamp_min(0.04)[:, None]
    slope = (fit[:, 1:] / level).clamp(-0.6, 0.6)
    colour = skin.mean(2).clamp_min(0.02)
    colourful = (
        (colour.amax(1, keepdim=True) - colour.amin(1, keepdim=True)) / (0.1 * colour.mean(1, keepdim=True))
    ).clamp(0, 1)
    # Skin is reddish in white light; what differs from that is the light's, in part.
    usual = constant((1.22, 0.96, 0.82), faces.device)
    cast = (colour / colour.mean(1, keepdim=True) / usual).pow(0.45).clamp(0.75, 1.3)
    cast = 1 + colourful * (cast / cast.mean(1, keepdim=True) - 1)
    return Light(level, slope[:, 0:1], slope[:, 1:2], cast, colourful)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must also serve calls that need gradients
def _skin(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    weights = torch.zeros(len(_SKIN), COUNT, dtype=torch.float32)
    design = torch.ones(len(_SKIN), 3, dtype=torch.float32)
    for row, (mixture, place) in enumerate(_SKIN):
        for anchor, weight in mixture.items():
            weights[row, anchor] = weight
        design[row, 1:] = torch.tensor(place)
    # Each of them is a patch of nine samples, a twenty-fifth of the image wide: no pore or pixel speaks alone.
    patch = torch.cartesian_prod(*[torch.linspace(-0.04, 0.04, 3, dtype=torch.float32)] * 2)
    return weights.to(device), torch.linalg.pinv(design).to(device), patch.to(device)


@torch.no_grad()
def measure_focus(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Blur and noise of each picture, from every eighth row of its green. No gradient flows through.

    Args:
        faces: (B, 3, H, W) floating point in [0, 1].

    Returns:
        blur (B,): standard deviation in pixels of the Gaussian that would make a sharp picture as soft; 0.3 to 2.5.
        noise (B,): standard deviation of the pixel noise, from the median second difference (as Immerkær 1996 takes
        the mean); 0 to 0.06.
    """
    rows = faces[:, 1, 2::8].float()
    one = (rows[..., 1:] - rows[..., :-1]).square().mean((1, 2))
    two = (rows[..., 2:] - rows[..., :-2]).square().mean((1, 2))
    second = (rows[..., 2:] - 2 * rows[..., 1:-1] + rows[..., :-2]).abs()[..., ::4].flatten(1)
    noise = second.median(1).values / (0.6745 * 6**0.5)
    # Squared differences over one pixel against those over two, the noise's share taken off: 1/4 on a ramp, up to 1/2
    # at a sharp edge. On sharp photographs blurred by a known deviation the excess over 1/4 is about 0.0195 /
    # deviation² (experiments/mask_focus).
    grain = 2 * noise.square()
    blur = (0.0195 / ((one - grain).clamp_min(1e-8) / (two - grain).clamp_min(1e-8) - 0.25).clamp_min(1e-3)).sqrt()
    # Where noise is most of what is seen, nothing is known of the focus: then it is taken to be the usual one.
    seen = (1 - grain / one.clamp_min(1e-8)).clamp(0, 1)
    blur = torch.lerp(torch.full_like(blur, _USUAL_BLUR), blur.clamp(0.3, 2.5), seen)
    return blur, noise.clamp(0, 0.06)

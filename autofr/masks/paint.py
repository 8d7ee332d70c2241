"""Painting, in two strokes: a plan for a whole batch (small tensors), then the pixels (large ones, in portions).

What varies smoothly over a mask (distance to the outline, cloth coordinates, light) is planned on a coarse grid and
brought to full size by two matrix products; only texture and blending see every pixel, and only those of the box that
the batch's masks fill. No Python loop over samples, no shape that hangs on the data, nothing read back from the device:
both compile whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autofr.masks.constants import constant
from autofr.masks.fabric import BLURS, HEIGHT, WIDTH
from autofr.masks.geometry import Outline
from autofr.masks.light import LUMA, Light, measure_focus, measure_light
from autofr.masks.loops import Strokes, ear_loops

_COARSE = 6  # pixels between nodes at 112
_SHADOW = 0.035  # reach of the contact shadow, as a share of the image's side


class Box(NamedTuple):
    """Rows ``top`` to ``bottom - 1`` and columns ``left`` to ``right - 1`` of images of ``height`` and ``width``."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def around(cls, extents: Tensor, height: int, width: int) -> Box:
        """The least box that holds ``extents``, (B, 4) of top, bottom, left, right."""
        low, high = extents.amin(0).tolist(), extents.amax(0).tolist()
        return cls(low[0], high[1], low[2], high[3], height, width)

    @property
    def scale(self) -> float:
        """Size of the images against 112 pixels."""
        return min(self.height, self.width) / 112

    def of(self, images: Tensor) -> Tensor:
        """The view of it in (..., H, W)."""
        return images[..., self.top : self.bottom, self.left : self.right]

    def nodes(self) -> tuple[slice, slice]:
        """Rows and columns of the images' coarse grid that decide its pixels."""
        step = _step(self.scale)
        # Node k lies at (k - 1) steps; a pixel sees two nodes to either side of it.
        rows = slice(self.top // step, (self.bottom - 1) // step + 4)
        return rows, slice(self.left // step, (self.right - 1) // step + 4)


class Plan(NamedTuple):
    """What :func:`blend` needs of each of B masks."""

    coarse: Tensor  # (B, 4, rows, columns) at the nodes of a box: distance in pixels, place in the bank, light
    design: Tensor  # (B,) row of the textures
    colours: Tensor  # (B, 3, 3) as they look in this light
    cord: Tensor  # (B, 3) colour of the loops
    factors: Tensor  # (B, 4) of rim, shadow, softness in pixels, grain
    grain: Tensor  # (B,) row of the noise
    loops: Strokes  # in pixels of the image
    box: Box  # what the nodes cover

    def rows(self, index: Tensor | slice) -> Plan:
        """The plan of some of the masks."""
        return Plan(
            coarse=self.coarse[index],
            design=self.design[index],
            colours=self.colours[index],
            cord=self.cord[index],
            factors=self.factors[index],
            grain=self.grain[index],
            loops=self.loops.rows(index),
            box=self.box,
        )


def extents(outline: Outline, height: int, width: int) -> Tensor:
    """The box of each mask with its shadow, (B, 4) int64: top, bottom, left, right; never empty."""
    points = outline.frame.outward(torch.cat([outline.jaw, outline.upper_edge(9)], 1))
    reach = _SHADOW * min(height, width) + 2
    low = (points.amin(1) - reach).floor().clamp_min(0)
    high = (points.amax(1) + reach).ceil()
    low = torch.minimum(low, constant((width - 1, height - 1), low.device))
    high = torch.minimum(torch.maximum(high, low + 1), constant((width, height), high.device))
    return torch.stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]], 1).long()


def plan(faces: Tensor, anchors: Tensor, outline: Outline, params: dict[str, Tensor], designs: int, box: Box) -> Plan:
    """Everything about a batch of masks but their pixels.

    Args:
        faces: (B, 3, H, W) floating point in [0, 1].
        anchors: (B, 19, 2) float32 pixels, finite.
        outline: where the masks lie.
        params: rows of :class:`autofr.masks.parameters.FaceMaskGenerator`.
        designs: textures in the bank.
        box: where masks will be painted.
    """
    light = measure_light(faces, anchors)
    blur, grain = measure_focus(faces)
    at = _node_grid(box, faces.device)
    distance, u, v = outline.fields(at.flatten(0, 1))
    exposure = (light.level / 0.5).pow(0.55).clamp(0.45, 1.06) * params["exposure"][:, None]
    colours = torch.cat([params["colours"], params["loop_colour"][:, None]], 1)
    grey = (colours @ constant(LUMA, colours.device))[..., None]
    colours = torch.lerp(grey, colours, light.colourful[..., None]) * light.cast[:, None] * exposure[:, None]
    texels = blur * (WIDTH / 78) / box.scale  # a mask is about 78 pixels wide at 112
    level = (texels[:, None] > _between(BLURS, texels.device)).sum(1)
    design = params["design"] * len(BLURS) + level
    down = (design[:, None] + v) * (2 / designs) - 1
    coarse = torch.stack([distance, u, down, _shade(u, v, light, params)], 1)
    coarse = coarse.view(*coarse.shape[:2], *at.shape[:2])
    softness = (1 + 12 * blur.square()).sqrt() * params["softness"]  # a ramp with the spread of pixel and blur
    factors = torch.stack([params["rim"], params["shadow"], softness, 0.6 * grain + 0.004], 1)
    return Plan(
        coarse=coarse,
        design=design,
        colours=colours[:, :3],
        cord=colours[:, 3].clamp(0, 1),
        factors=factors,
        grain=params["grain"],
        loops=ear_loops(outline, params, box.height, box.width),
        box=box,
    )


def blend(shown: Tensor, plan: Plan, textures: Tensor, noise: Tensor, box: Box) -> Tensor:
    """Masked copies of what a box shows of each face.

    Args:
        shown: (B, 3, box height, box width) floating point in [0, 1].
        plan: of these faces.
        textures: (3, N, h, w) of :class:`autofr.masks.fabric.Fabrics`.
        noise: (rows, S, S) standard normal; laid out again and again over images larger than S.
        box: where that is in the images; inside the plan's.

    Returns:
        The same, masked, of the same dtype.
    """
    skin, scale = shown.float(), box.scale
    (rows, columns), (first_row, first_column) = box.nodes(), (part.start for part in plan.box.nodes())
    down = _weights(box.height, scale, skin.device)[box.top : box.bottom, rows]
    across = _weights(box.width, scale, skin.device)[box.left : box.right, columns]
    coarse = plan.coarse[:, :, rows.start - first_row : rows.stop - first_row]
    coarse = coarse[..., columns.start - first_column : columns.stop - first_column]
    distance, u, v, shade = (down @ (coarse @ across.T)).unbind(1)
    rim, shadow, softness, grain = plan.factors[..., None, None].unbind(1)

    # One look-up in the bank gives the shares of three colours, relief included.
    count = textures.shape[1]
    top, bottom = (((plan.design + end) * (2 / count) - 1)[:, None, None] for end in (0.5 / HEIGHT, 1 - 0.5 / HEIGHT))
    at = torch.stack([u, torch.minimum(v, bottom).clamp_(min=top)], -1)
    bank = textures.reshape(1, 3, count * HEIGHT, WIDTH).expand(len(skin), -1, -1, -1)
    shares = F.grid_sample(bank, at, padding_mode="border", align_corners=False)
    cloth = (plan.colours.transpose(1, 2) @ shares.flatten(2)).view_as(shares)
    hem = (distance * (0.4 / scale) + 1).clamp_min_(0)
    if max(box.bottom, box.right) > noise.shape[1]:
        noise = noise.repeat(1, *(-(-side // noise.shape[1]) for side in (box.bottom, box.right)))
    speckle = box.of(noise)[plan.grain].mul_(grain)
    lit = torch.addcmul(shade, shade, hem.mul_(rim))
    cloth = torch.addcmul(speckle[:, None], cloth, lit[:, None]).clamp_(0, 1)

    # Skin beside the mask lies in its shadow; the mask over all.
    near = torch.rsub(distance, 1, alpha=1 / (112 * scale * _SHADOW)).clamp_(0, 1)
    skin = skin * torch.rsub(near.square_().mul_(shadow), 1)[:, None]
    opacity = torch.rsub(distance / softness, 0.5).clamp_(0, 1)
    return skin.lerp_(cloth, opacity[:, None]).to(shown.dtype)


def mask_opacity(outline: Outline, height: int, width: int) -> Tensor:
    """Where the cloth is, sharp-edged, (B, H, W) in [0, 1]: what masks cover, whatever they look like."""
    box, device = Box(0, height, 0, width, height, width), outline.jaw.device
    at = _node_grid(box, device)
    distance = outline.fields(at.flatten(0, 1))[0].view(-1, *at.shape[:2])
    down, across = _weights(height, box.scale, device), _weights(width, box.scale, device)
    return (0.5 - down @ (distance @ across.T)).clamp(0, 1)


def _step(scale: float) -> int:
    return max(2, round(_COARSE * scale))


def _node_grid(box: Box, device: torch.device) -> Tensor:
    """The part of the images' coarse grid that decides a box, (rows, columns, 2) pixels.

    Its nodes lie on multiples of the step, wherever the box begins: so a face looks the same in any batch.
    """
    ys, xs = (
        _step(box.scale) * (torch.arange(part.start, part.stop, device=device, dtype=torch.float32) - 1)
        for part in box.nodes()
    )
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)


def _between(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Where the nearest of sorted values changes."""
    known = constant(values, device)
    return (known[1:] + known[:-1]) / 2


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must also serve calls that need gradients
def _weights(side: int, scale: float, device: torch.device) -> Tensor:
    """What brings nodes to pixels: Catmull-Rom, through the nodes and smooth between them, (side, nodes)."""
    step = _step(scale)
    nodes = step * (torch.arange((side - 1) // step + 4, device=device, dtype=torch.float32) - 1)
    near = (torch.arange(side, device=device, dtype=torch.float32)[:, None] - nodes).abs() / step
    inside = (1.5 * near - 2.5) * near * near + 1
    beyond = ((-0.5 * near + 2.5) * near - 4) * near + 2
    return torch.where(near < 1, inside, torch.where(near < 2, beyond, 0.0))


def _shade(u: Tensor, v: Tensor, light: Light, params: dict[str, Tensor]) -> Tensor:
    """How bright the cloth is at (u, v), each (B, M): the face's light, on a body that curves away to the sides and
    under the chin, with folds in it."""
    u, v = u.clamp(-1.2, 1.2), v.clamp(-0.2, 1.3)
    dome, crumple = params["dome"][:, None], params["crumple"][:, None]
    body = 1 - dome * (u.square() + 0.8 * (v - 0.25).square())
    lit = 1 + 0.85 * light.across * u + 0.6 * light.down * (2 * v - 0.6)
    first, often, second = params["fold"][:, :, None].unbind(1)
    folds = torch.sin(first + 5 * u + often * v) * torch.sin(second + 3 * often * v - 2 * u)
    return (body * lit * (1 + crumple * folds)).clamp(0.15, 1.5)

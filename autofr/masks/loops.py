"""Ear loops: thin strokes from a mask's corners to the ears, drawn point by point."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autofr.masks.geometry import Outline, yaw

_HIDDEN = 22.0
"""Yaw in degrees past which the far ear is not seen."""


class Strokes(NamedTuple):
    """Pixels that loops touch: ``x``, ``y`` (B, K), whole numbers, and ``share`` (B, K) of the pixel, in [0, 1]."""

    x: Tensor
    y: Tensor
    share: Tensor

    def rows(self, index: Tensor | slice) -> Strokes:
        """The strokes of some of the images."""
        return Strokes(*(part[index] for part in self))


def ear_loops(outline: Outline, params: dict[str, Tensor], scale: float) -> Strokes:
    """The loops of a batch of masks.

    Args:
        outline: where the masks lie.
        params: rows of :class:`autofr.masks.parameters.FaceMaskGenerator`.
        scale: size of the images against 112 pixels.
    """
    jaw = outline.frame.outward(outline.jaw[:, [0, 3, -1, -4]])
    t = torch.linspace(0, 1, round(40 * scale) + 4, device=jaw.device)[:, None]
    sag = torch.stack([torch.zeros_like(params["loop_sag"]), params["loop_sag"]], -1)[:, None, None]
    stroke = torch.lerp(jaw[:, :, None], outline.ears(params)[:, :, None], t)
    stroke = stroke + outline.frame.length[:, None] * sag * (4 * t * (1 - t))
    turn = yaw(outline.anchors)
    left, right = turn > -_HIDDEN, turn < _HIDDEN
    shown = torch.stack([left, left & params["loop_lower"], right, right & params["loop_lower"]], 1)
    opacity = (shown * params["loop_opacity"][:, None])[:, :, None, None]
    # Loops are steep: a point of one touches the pixels to its left and right, its neighbours the rows next to it.
    reach = max(1, round(0.7 * scale + 0.3))
    x = stroke[..., 0].floor()[..., None] + torch.arange(1 - reach, reach + 1, device=jaw.device)
    y = stroke[..., 1].round()[..., None].expand_as(x)
    away = (x - stroke[..., :1]).abs()
    half = params["loop_width"][:, None, None, None] * (scale / 2)
    share = (half + 0.5 - away).clamp(0, 1) * opacity
    return Strokes(x.flatten(1), y.flatten(1), share.flatten(1))


def draw(images: Tensor, strokes: Strokes, colour: Tensor) -> Tensor:
    """Images with strokes drawn over them.

    Args:
        images: (B, 3, H, W), contiguous; written to, unless they require a gradient.
        strokes: on each of them; what lies outside is cut off.
        colour: (B, 3) of each one's strokes.
    """
    height, width = images.shape[-2:]
    x, y = strokes.x, strokes.y
    share = strokes.share * ((x >= 0) & (x < width) & (y >= 0) & (y < height))
    at = (x.clamp(0, width - 1) + width * y.clamp(0, height - 1)).long()
    canvas = share.new_zeros(len(images), height * width).scatter_reduce_(1, at, share, "amax")
    if images.requires_grad:
        return torch.lerp(
            images, colour[..., None, None].to(images.dtype), canvas.view(-1, 1, height, width).to(images.dtype)
        )
    # Where several touch a pixel the strongest counts, and all of them write the same value there: no order to depend
    # on. A gradient would pass once through each, so that way is not for it.
    share, at = canvas.gather(1, at)[:, None].to(images.dtype), at[:, None].expand(-1, 3, -1)
    pixels = images.view(len(images), 3, -1)
    drawn = torch.lerp(pixels.gather(2, at), colour[..., None].to(images.dtype), share)
    return pixels.scatter_(2, at, drawn).view_as(images)

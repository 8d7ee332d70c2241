"""Ear loops: thin strokes from a mask's corners to the ears, drawn point by point."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autofr.masks.constants import constant, places
from autofr.masks.geometry import Outline

_HIDDEN = 22.0
"""Yaw in degrees past which the far ear is not seen."""


class Strokes(NamedTuple):
    """Pixels that loops touch: ``at`` (B, K) int64, places in the row-major image; ``share`` (B, K) of the pixel, in
    [0, 1], 0 for what lies outside."""

    at: Tensor
    share: Tensor

    def rows(self, index: Tensor | slice) -> Strokes:
        """The strokes of some of the images."""
        return Strokes(self.at[index], self.share[index])


def within(x: Tensor, y: Tensor, share: Tensor, height: int, width: int) -> Strokes:
    """Strokes from whole-numbered pixels (B, K); those outside the image are cut off."""
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return Strokes((x.clamp(0, width - 1) + width * y.clamp(0, height - 1)).long(), share * inside)


def ear_loops(outline: Outline, params: dict[str, Tensor], height: int, width: int) -> Strokes:
    """The loops of a batch of masks on images of that size.

    Args:
        outline: where the masks lie.
        params: rows of :class:`autofr.masks.parameters.FaceMaskGenerator`.
        height, width: pixels.
    """
    scale = min(height, width) / 112
    corners = outline.frame.outward(outline.jaw[:, places((0, 3, -1, -4), outline.jaw.device)])
    t = torch.linspace(0, 1, round(40 * scale) + 4, device=corners.device, dtype=corners.dtype)
    x, y = torch.lerp(corners[:, :, None], outline.ears(params)[:, :, None], t[:, None]).unbind(-1)
    y = y + (outline.frame.length[:, 0] * params["loop_sag"][:, None])[..., None] * (4 * t * (1 - t))
    turn, lower = outline.frame.turn[:, None], params["loop_lower"][:, None]
    sides = constant((1.0, 1.0, -1.0, -1.0), turn.device)
    shown = (turn * sides > -_HIDDEN) & (lower | (constant((1.0, 0.0, 1.0, 0.0), turn.device) > 0))
    opacity = (shown * params["loop_opacity"][:, None])[..., None, None]
    # Loops are steep: a point of one touches the pixels to its left and right, its neighbours the rows next to it.
    reach = max(1, round(0.7 * scale + 0.3))
    near = x.floor()[..., None] + torch.arange(1 - reach, reach + 1, device=x.device)
    half = params["loop_width"][:, None, None, None] * (scale / 2) + 0.5
    share = (half - (near - x[..., None]).abs()).clamp(0, 1) * opacity
    x, y = near.flatten(1), y.round()[..., None].expand_as(near).flatten(1)
    return within(x, y, share.flatten(1), height, width)


def draw(images: Tensor, strokes: Strokes, colour: Tensor) -> Tensor:
    """Images with strokes drawn over them.

    Args:
        images: (B, 3, H, W), contiguous; written to, unless they require a gradient.
        strokes: on each of them.
        colour: (B, 3) of each one's strokes.
    """
    height, width = images.shape[-2:]
    at, share = strokes
    canvas = share.new_zeros(len(images), height * width).scatter_reduce_(1, at, share, "amax")
    if images.requires_grad:
        canvas = canvas.view(-1, 1, height, width).to(images.dtype)
        return torch.lerp(images, colour[..., None, None].to(images.dtype), canvas)
    # Where several touch a pixel the strongest counts, and all of them write the same value there: no order to depend
    # on. A gradient would pass once through each, so that way is not for it.
    share, at = canvas.gather(1, at)[:, None].to(images.dtype), at[:, None].expand(-1, 3, -1)
    pixels = images.view(len(images), 3, -1)
    drawn = torch.lerp(pixels.gather(2, at), colour[..., None].to(images.dtype), share)
    return pixels.scatter_(2, at, drawn).view_as(images)

"""What the elastic families share: sizes written in a name, and the resizing of what goes in and comes out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

WIDEST = 16
"""Largest factor of the widths."""
DEEPEST = 128
"""Most blocks of a stage."""
LARGEST_KERNEL = 15


def counts(what: str, spec: int | str, stages: int, most: int) -> list[int]:
    """One number a stage: ``2`` is the same for all, ``"1-2-1"`` one each.

    Raises:
        ValueError: not as many as ``stages``, or one that is no whole number from 1 to ``most``.
    """
    parts = str(spec).split("-")
    numbers = [int(part) if part.isdecimal() and len(part) < 10 else 0 for part in parts]
    numbers = numbers * stages if len(numbers) == 1 else numbers
    if len(numbers) != stages or not all(1 <= n <= most for n in numbers):
        example = "-".join("2" * stages)
        raise ValueError(f"{what} is a number from 1 to {most} for each of {stages} stages, as {example}; got {spec}")
    return numbers


def scaled(widths: list[int], factor: float) -> list[int]:
    """``widths`` times ``factor``, in multiples of 8, which suit the kernels.

    Raises:
        ValueError: the factor is out of range.
    """
    if not 0 < factor <= WIDEST:
        raise ValueError(f"its widths are multiplied by {factor:g}; by above 0, up to {WIDEST}, they can be")
    return [max(8, round(width * factor / 8) * 8) for width in widths]


def odd_kernel(kernel: int) -> int:
    """``kernel``, if it is odd and not larger than :data:`LARGEST_KERNEL`.

    Raises:
        ValueError: it is not.
    """
    if not (1 <= kernel <= LARGEST_KERNEL and kernel % 2):
        raise ValueError(f"a kernel is an odd number from 1 to {LARGEST_KERNEL}, got {kernel}")
    return kernel


def working_side(resolution: float, image_size: int, reduction: int) -> int:
    """The side of the images that a network works on.

    Args:
        resolution: up to 1: a share of ``image_size``, to the nearest multiple of ``reduction``; above: pixels.
        image_size: pixels of what it is given.
        reduction: how many times smaller its last map is.

    Raises:
        ValueError: it is larger than the images, or either is no multiple of ``reduction``.
    """
    if not 0 < resolution <= image_size:
        raise ValueError(f"a resolution of {resolution:g} is not within the image size, {image_size}")
    side = max(1, round(resolution * image_size / reduction)) * reduction if resolution <= 1 else resolution
    for pixels in (side, image_size):
        if pixels < reduction or pixels % reduction:
            share = " (a share of the image is up to 1)" if pixels == resolution < reduction else ""
            raise ValueError(
                f"this network takes sizes in pixels that are multiples of {reduction}, not {pixels:g}{share}"
            )
    return int(side)


class Resize(nn.Module):
    """Images to ``side`` x ``side``; those that are that size are left as they are.

    Args:
        side: pixels.
        antialias: as befits images; a map of features is interpolated without.
    """

    def __init__(self, side: int, antialias: bool) -> None:
        super().__init__()
        self.side, self.antialias = side, antialias

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] == self.side:
            return x
        return F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False, antialias=self.antialias)

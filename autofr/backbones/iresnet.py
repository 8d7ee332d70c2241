"""The IR family: improved residual networks for face embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from autofr.backbones.sizes import DEEPEST, Resize, counts, odd_kernel, scaled, working_side


class IRBlock(nn.Module):
    """BatchNorm, 3x3, BatchNorm, PReLU, 3x3 (strided), BatchNorm, plus a shortcut (ArcFace, CVPR 2019, 3.1.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int = 3) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.residual(x) + self.shortcut(x)
        return out


class IResNet(nn.Module):
    """A stem, stages of :class:`IRBlock` that halve the map, and a fully connected embedding ("option E").

    Args:
        blocks: blocks of each stage (depth).
        widths: channels of each stage.
        stem_stride: 1 as published; 2 makes everything after it a quarter of the work, for small runs.
        image_size: side of the square input in pixels, a multiple of ``stem_stride * 2**len(blocks)``.
        embedding_dim: length of the embedding.

    The input is (B, 3, image_size, image_size), floating point, in [-1, 1]; the output is (B, embedding_dim), not
    normalised.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        widths: Sequence[int],
        stem_stride: int,
        image_size: int,
        embedding_dim: int,
    ) -> None:
        super().__init__()
        side = _side(image_size, stem_stride, len(blocks))
        stages = [block for stage in _stages(blocks, widths, 3) for block in stage]
        self.body = nn.Sequential(*_stem(widths[0], stem_stride), *stages)
        self.head = _head(widths[-1], side, embedding_dim)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


class ElasticIResNet(nn.Module):
    """An :class:`IResNet` whose tensors keep their names and their meaning when it shrinks: a block is named by its
    stage and its place there, and the head sees a map of the same size whatever the resolution.

    Args:
        image_size: side of the square input in pixels.
        embedding_dim: length of the embedding.
        depth: blocks of each stage: ``2``, or ``"1-2-1"``.
        width: factor of ``widths``.
        kernel: side of the convolutions in the blocks, odd.
        resolution: side that the images are scaled down to first: a share of ``image_size`` if it is up to 1, else
            pixels. Both are multiples of ``stem * 2**stages``.
        widths: channels of each stage at ``width`` 1; there are as many stages as numbers.
        stem: stride of the stem.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        image_size: int,
        embedding_dim: int,
        depth: int | str = 2,
        width: float = 1.0,
        kernel: int = 3,
        resolution: float = 1.0,
        widths: int | str = "64-128-256-512",
        stem: int = 1,
    ) -> None:
        super().__init__()
        if stem not in (1, 2):
            raise ValueError(f"stem is a stride, 1 or 2, got {stem}")
        stages = len(str(widths).split("-"))
        channels = scaled(counts("widths", widths, stages, 4096), width)
        side = _side(image_size, stem, stages)
        self.resize = Resize(working_side(resolution, image_size, stem * 2**stages), antialias=True)
        self.stem = nn.Sequential(*_stem(channels[0], stem))
        blocks = counts("depth", depth, stages, DEEPEST)
        self.stages = nn.Sequential(*(nn.Sequential(*s) for s in _stages(blocks, channels, odd_kernel(kernel))))
        self.grid = Resize(side, antialias=False)
        self.head = _head(channels[-1], side, embedding_dim)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.grid(self.stages(self.stem(self.resize(x)))))
        return out


def _side(image_size: int, stem_stride: int, stages: int) -> int:
    """Side of the last map."""
    reduction: int = stem_stride * 2**stages
    if image_size < reduction or image_size % reduction:
        raise ValueError(f"this IR net takes image sizes that are multiples of {reduction}, not {image_size}")
    return image_size // reduction


def _stem(width: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(3, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)]


def _stages(blocks: Sequence[int], widths: Sequence[int], kernel: int) -> list[list[nn.Module]]:
    stages: list[list[nn.Module]] = []
    inputs = widths[0]
    for count, width in zip(blocks, widths, strict=True):
        first = IRBlock(inputs, width, 2, kernel)
        stages.append([first, *(IRBlock(width, width, 1, kernel) for _ in range(count - 1))])
        inputs = width
    return stages


def _head(width: int, side: int, embedding_dim: int) -> nn.Sequential:
    linear = nn.Linear(width * side * side, embedding_dim)
    return nn.Sequential(nn.BatchNorm2d(width), nn.Flatten(), linear, nn.BatchNorm1d(embedding_dim))


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")

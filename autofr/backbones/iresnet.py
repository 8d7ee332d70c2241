"""The IR family: improved residual networks for face embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class IRBlock(nn.Module):
    """BatchNorm, 3x3, BatchNorm, PReLU, 3x3 (strided), BatchNorm, plus a shortcut (ArcFace, CVPR 2019, 3.1.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
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
        reduction = stem_stride * 2 ** len(blocks)
        if image_size < reduction or image_size % reduction:
            raise ValueError(f"this IR net takes image sizes that are multiples of {reduction}, not {image_size}")
        stem = [nn.Conv2d(3, widths[0], 3, stem_stride, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])]
        stages: list[nn.Module] = []
        inputs = widths[0]
        for count, width in zip(blocks, widths, strict=True):
            for index in range(count):
                stages.append(IRBlock(inputs, width, stride=1 if index else 2))
                inputs = width
        side = image_size // reduction
        self.body = nn.Sequential(*stem, *stages)
        self.head = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Flatten(),
            nn.Linear(inputs * side * side, embedding_dim),
            nn.BatchNorm1d(embedding_dim),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out

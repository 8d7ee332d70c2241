"""MobileFaceNet: inverted residuals, and a depthwise convolution in place of pooling."""

from __future__ import annotations

from torch import Tensor, nn

from autofr.backbones.sizes import DEEPEST, Resize, counts, odd_kernel, scaled, working_side

_REDUCTION = 16


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False) -> list[nn.Module]:
    """A convolution without bias, and its BatchNorm; ``outputs`` is ``inputs`` where it is depthwise."""
    groups = inputs if depthwise else 1
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Module):
    """1x1, depthwise, linear 1x1 (MobileNetV2, CVPR 2018, with PReLU); the input is added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.body = nn.Sequential(
            *_conv(inputs, hidden, 1),
            nn.PReLU(hidden),
            *_conv(hidden, hidden, kernel, stride, depthwise=True),
            nn.PReLU(hidden),
            *_conv(hidden, outputs, 1),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.adds else out


class MobileFaceNet(nn.Module):
    """MobileFaceNet (Chen et al., CCBR 2018, Table 1), which shrinks without renaming a tensor. As published with the
    defaults, at 112 pixels and 128 dimensions, but for the resolution.

    Args:
        image_size: side of the square input in pixels, a multiple of 16.
        embedding_dim: length of the embedding.
        depth: residual bottlenecks of the three stages, each after one that halves the map.
        width: factor of the channels.
        kernel: side of the depthwise convolutions, odd.
        resolution: side that the images are scaled down to first: a share of ``image_size`` if it is up to 1, else
            pixels, a multiple of 16.

    Raises:
        ValueError: a setting out of range.

    The input is (B, 3, image_size, image_size), floating point, in [-1, 1]; the output is (B, embedding_dim), not
    normalised.
    """

    def __init__(
        self,
        image_size: int,
        embedding_dim: int,
        depth: int | str = "4-6-2",
        width: float = 1.0,
        kernel: int = 3,
        resolution: float = 1.0,
    ) -> None:
        super().__init__()
        side = working_side(resolution, image_size, _REDUCTION)
        k, (stem, *widths, last) = odd_kernel(kernel), scaled([64, 64, 128, 128, 512], width)
        self.resize = Resize(side, antialias=True)
        self.stem = nn.Sequential(
            *_conv(3, stem, 3, 2), nn.PReLU(stem), *_conv(stem, stem, k, depthwise=True), nn.PReLU(stem)
        )
        stages: list[nn.Module] = []
        inputs = stem
        for count, outputs, expansion in zip(counts("depth", depth, 3, DEEPEST), widths, (2, 4, 4), strict=True):
            halving = Bottleneck(inputs, outputs, expansion, 2, k)
            stages.append(nn.Sequential(halving, *(Bottleneck(outputs, outputs, 2, 1, k) for _ in range(count))))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        grid = image_size // _REDUCTION
        self.grid = Resize(grid, antialias=False)
        self.head = nn.Sequential(
            *_conv(inputs, last, 1),
            nn.PReLU(last),
            nn.Conv2d(last, last, grid, groups=last, bias=False),  # "global depthwise": a weight a place
            nn.BatchNorm2d(last),
            nn.Flatten(),
            nn.Linear(last, embedding_dim, bias=False),
            nn.BatchNorm1d(embedding_dim),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.grid(self.stages(self.stem(self.resize(x)))))
        return out

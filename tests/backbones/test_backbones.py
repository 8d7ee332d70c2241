import pytest
import torch

from autofr import AutofrError
from autofr.backbones import IR_FAMILY, create_backbone


@pytest.mark.parametrize("name", [*IR_FAMILY, "ir18-w0.25", "timm/mobilenetv3_small_100", "timm/resnet10t"])
@pytest.mark.parametrize("size", [64, 112])
def test_gives_an_embedding(name: str, size: int) -> None:
    if name in ("ir34", "ir50", "ir100"):
        name += (
            "-w0.25"  # the depth is what differs; full width takes seconds, and an eighth crashes torch on some CPUs
        )
    net = create_backbone(name, size, 32)
    out = net(torch.randn(2, 3, size, size))
    assert out.shape == (2, 32)
    assert out.isfinite().all()
    assert net.training
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_is_channels_last() -> None:
    weights = [p for p in create_backbone("ir_mini", 64, 32).parameters() if p.dim() == 4 and p.shape[1] > 1]
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_width_and_depth_are_what_the_name_says() -> None:
    def blocks(name: str) -> int:
        return sum(type(m).__name__ == "IRBlock" for m in create_backbone(name, 64, 32).modules())

    assert (blocks("ir18"), blocks("ir50-w0.25"), blocks("ir100-w0.25")) == (8, 24, 49)
    stem = next(p for p in create_backbone("ir18-w0.5", 64, 32).parameters() if p.dim() == 4)
    assert stem.shape[0] == 32


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("ir5", 64, "unknown backbone 'ir5'; did you mean"),
        ("ir18-wide", 64, "unknown backbone"),
        ("timm/mobilenetv3_smal_100", 64, "unknown timm backbone .*mobilenetv3_small_100"),
        ("ir_mini", 50, "multiples of 16"),
        ("ir18", 8, "multiples of 16"),
    ],
)
def test_what_cannot_be_built_is_told(name: str, size: int, message: str) -> None:
    with pytest.raises(AutofrError, match=message):
        create_backbone(name, size, 32)

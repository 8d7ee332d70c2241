"""Backbones by name: the IR family, and any timm model."""

from __future__ import annotations

import re

import torch
from torch import nn

from autofr.backbones.iresnet import IRBlock, IResNet
from autofr.exceptions import AutofrError, unknown

IR_FAMILY: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    # name: (blocks of each stage, widths, stride of the stem)
    "ir_mini": ((1, 1, 1), (32, 64, 128), 2),
    "ir18": ((2, 2, 2, 2), (64, 128, 256, 512), 1),
    "ir34": ((3, 4, 6, 3), (64, 128, 256, 512), 1),
    "ir50": ((3, 4, 14, 3), (64, 128, 256, 512), 1),
    "ir100": ((3, 13, 30, 3), (64, 128, 256, 512), 1),
}

WIDEST = 16
"""Largest factor of the widths."""


def create_backbone(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    """A freshly initialised embedding network, in channels_last.

    Args:
        name: a member of the IR family (``ir18``), the same with its widths multiplied (``ir18-w0.5``), or a timm
            model (``timm/mobilenetv3_small_100``). Nothing is downloaded: weights start at random.
        image_size: side of the square input in pixels.
        embedding_dim: length of the embedding.

    Returns:
        A module from (B, 3, image_size, image_size) floats in [-1, 1] to (B, embedding_dim), not normalised.

    Raises:
        AutofrError: unknown name (the nearest are offered), or a size that the network cannot take.
    """
    try:
        net = (
            _timm(name[5:], image_size, embedding_dim)
            if name.startswith("timm/")
            else _iresnet(name, image_size, embedding_dim)
        )
        net.eval()
        with torch.no_grad():
            out = net(torch.zeros(1, 3, image_size, image_size))
        net.train()
    except AutofrError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AutofrError(f"backbone '{name}' cannot take {image_size}x{image_size} images: {reason}") from error
    if tuple(out.shape) != (1, embedding_dim):
        raise AutofrError(f"backbone '{name}' gives {tuple(out.shape[1:])}, not an embedding of ({embedding_dim},)")
    return net.to(memory_format=torch.channels_last)


def _iresnet(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    match = re.fullmatch(r"(\w+?)(?:-w(\d*\.?\d+))?", name)
    if match is None or match[1] not in IR_FAMILY:
        raise unknown("backbone", name, [*IR_FAMILY, "ir18-w0.5", "timm/mobilenetv3_small_100", "timm/resnet18"])
    blocks, widths, stem_stride = IR_FAMILY[match[1]]
    multiplier = float(match[2] or 1)
    if not 0 < multiplier <= WIDEST:
        raise ValueError(f"its widths are multiplied by {multiplier:g}; by above 0, up to {WIDEST}, they can be")
    scaled = [max(8, round(width * multiplier / 8) * 8) for width in widths]  # multiples of 8 suit the kernels
    return IResNet(blocks, scaled, stem_stride, image_size, embedding_dim)


def _timm(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise unknown("timm backbone", name, timm.list_models())
    sized = {"img_size": image_size} if timm.models.get_pretrained_cfg(name).fixed_input_size else {}
    net = timm.create_model(name, pretrained=False, num_classes=embedding_dim, **sized)
    return nn.Sequential(net, nn.BatchNorm1d(embedding_dim))


__all__ = ["IR_FAMILY", "IRBlock", "IResNet", "create_backbone"]

"""Backbones by name: the IR family, MobileFaceNet, any timm model, and networks of your own."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from autofr.backbones.iresnet import ElasticIResNet, IRBlock, IResNet
from autofr.backbones.mobilefacenet import MobileFaceNet
from autofr.backbones.sizes import scaled
from autofr.exceptions import AutofrError, UnknownNameError
from autofr.registry import build

IR_FAMILY: dict[str, tuple[tuple[int, ...], list[int], int]] = {
    # name: (blocks of each stage, widths, stride of the stem)
    "ir_mini": ((1, 1, 1), [32, 64, 128], 2),
    "ir18": ((2, 2, 2, 2), [64, 128, 256, 512], 1),
    "ir34": ((3, 4, 6, 3), [64, 128, 256, 512], 1),
    "ir50": ((3, 4, 14, 3), [64, 128, 256, 512], 1),
    "ir100": ((3, 13, 30, 3), [64, 128, 256, 512], 1),
}

BACKBONES: dict[str, Callable[..., nn.Module]] = {"iresnet": ElasticIResNet, "mobilefacenet": MobileFaceNet}
"""Makers of networks with settings, by name: ``iresnet:depth=1-2-1-1,width=0.5``. Each takes ``image_size``,
``embedding_dim``, and its own settings."""
ENTRY_POINT_GROUP = "autofr.backbones"
_IR = re.compile(r"(\w+?)(?:-w(\d*\.?\d+))?")

M = TypeVar("M", bound=Callable[..., nn.Module])


def register(name: str) -> Callable[[M], M]:
    """Make a network of your own one of :data:`BACKBONES`, as a decorator of its class or function.

    A run directory names networks and holds none of their code: whoever loads a checkpoint of yours has to have
    registered it, in Python, or by an entry point of group ``autofr.backbones`` in an installed package.

    Args:
        name: a word that no other backbone has.

    Raises:
        AutofrError: it is no word, or taken.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name in IR_FAMILY or name in _OWN:
        raise AutofrError(f"a backbone cannot be registered as '{name}': take a word that is none of autofr's names")

    def keep(maker: M) -> M:
        BACKBONES[name] = maker
        return maker

    return keep


_OWN = tuple(BACKBONES)


def is_own(name: str) -> bool:
    """Whether the network of that name is autofr's or timm's, and not a user's."""
    return name.partition(":")[0].strip() not in BACKBONES.keys() - set(_OWN)


def create_backbone(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    """A freshly initialised embedding network, in channels_last.

    Args:
        name: a member of the IR family (``ir18``), the same with its widths multiplied (``ir18-w0.5``), a key of
            :data:`BACKBONES` with settings or without (``mobilefacenet:width=0.5,kernel=5``), or a timm model
            (``timm/mobilenetv3_small_100``). Nothing is downloaded: weights start at random.
        image_size: side of the square input in pixels.
        embedding_dim: length of the embedding.

    Returns:
        A module from (B, 3, image_size, image_size) floats in [-1, 1] to (B, embedding_dim), not normalised.

    Raises:
        AutofrError: unknown name (the nearest are offered) or setting, or a size that the network cannot take.
    """
    try:
        return _checked(name, image_size, embedding_dim)
    except AutofrError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AutofrError(f"backbone '{name}' cannot take {image_size}x{image_size} images: {reason}") from error


def without_numbers(name: str, image_size: int, embedding_dim: int) -> nn.Module | None:
    """Return the network on the meta device, where it costs no memory.

    ``None``: it cannot be built there, because it computes with its weights while it is made, or cannot take such
    images; :func:`create_backbone` raises the error of the latter.

    Raises:
        AutofrError: unknown name or setting.
    """
    try:
        with torch.device("meta"):
            return _checked(name, image_size, embedding_dim)
    except AutofrError:
        raise
    except Exception:  # whatever the network's own code raises without numbers
        return None


def _checked(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    """Return the network, once it has embedded one black image."""
    net = _made(name, image_size, embedding_dim)
    net.eval()
    with torch.no_grad():
        out = net(torch.zeros(1, 3, image_size, image_size))
    net.train()
    if tuple(out.shape) != (1, embedding_dim):
        raise AutofrError(f"backbone '{name}' gives {tuple(out.shape[1:])}, not an embedding of ({embedding_dim},)")
    return net.to(memory_format=torch.channels_last)


def _made(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    if name.startswith("timm/"):
        return _timm(name[5:], image_size, embedding_dim)
    ir = _IR.fullmatch(name)
    if ir is not None and ir[1] in IR_FAMILY:
        blocks, widths, stem_stride = IR_FAMILY[ir[1]]
        return IResNet(blocks, scaled(widths, float(ir[2] or 1)), stem_stride, image_size, embedding_dim)
    if name.partition(":")[0] in IR_FAMILY:
        raise AutofrError(
            f"backbone '{name}': {name.partition(':')[0]} has no settings; iresnet and mobilefacenet have"
        )
    if not can_make(name):
        raise UnknownNameError(
            "backbone",
            name,
            [*IR_FAMILY, "ir18-w0.5", *BACKBONES, "timm/resnet18"],
            "one of your own has to be registered first: load its space file, or install it as an entry point of group "
            f"{ENTRY_POINT_GROUP}",
        )
    return build("backbone", name, BACKBONES, {"image_size": image_size, "embedding_dim": embedding_dim})


def can_make(name: str) -> bool:
    """Whether the maker of the network of that name is known here. One of a user's own has to be registered."""
    key = name.partition(":")[0].strip()
    ir = _IR.fullmatch(name)
    return name.startswith("timm/") or (ir is not None and ir[1] in IR_FAMILY) or _known(key)


def _known(key: str) -> bool:
    """Whether :data:`BACKBONES` has ``key``, or an entry point does, which is then loaded."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP) if key not in BACKBONES else ():
        if point.name == key:
            register(key)(point.load())
    return key in BACKBONES


def _timm(name: str, image_size: int, embedding_dim: int) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise UnknownNameError("timm backbone", name, timm.list_models())
    sized = {"img_size": image_size} if timm.models.get_pretrained_cfg(name).fixed_input_size else {}
    net = timm.create_model(name, pretrained=False, num_classes=embedding_dim, **sized)
    return nn.Sequential(net, nn.BatchNorm1d(embedding_dim))


__all__ = [
    "BACKBONES",
    "IR_FAMILY",
    "ElasticIResNet",
    "IRBlock",
    "IResNet",
    "MobileFaceNet",
    "can_make",
    "create_backbone",
    "is_own",
    "register",
    "without_numbers",
]

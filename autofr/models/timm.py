"""timm models as they come, or with weights from a file: features of any network, as a baseline or a teacher."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from autofr.exceptions import AutofrError, UnknownNameError
from autofr.models.base import TorchModel
from autofr.registry import build


def timm_model(spec: str, device: torch.device) -> TorchModel:
    """The pooled features of a timm model.

    Args:
        spec: ``timm/NAME``: its published weights, which timm fetches or finds in its cache;
            ``timm/NAME:weights=FILE``: those of a ``.safetensors`` or ``.pth`` file (read without executing anything);
            ``timm/NAME:pretrained=False``: random ones.
        device: where it runs.

    Raises:
        AutofrError: no such model, or weights that cannot be had or do not fit.
    """
    name, _, rest = spec.removeprefix("timm/").partition(":")

    def make(weights: str | None = None, pretrained: bool = True) -> TorchModel:
        return _model(name, None if weights is None else Path(weights), pretrained, device)

    return build("timm model", f"{name}:{rest}", {name: make})


def _model(name: str, weights: Path | None, pretrained: bool, device: torch.device) -> TorchModel:
    import timm
    from timm.data import resolve_model_data_config

    if not timm.is_model(name.split(".")[0]):
        raise UnknownNameError("timm model", name, timm.list_models())
    if weights is not None and not weights.is_file():
        raise AutofrError(f"timm/{name}: no weights file {weights}")
    try:
        net: nn.Module = timm.create_model(name, pretrained=pretrained and weights is None, num_classes=0)
    except Exception as error:
        raise AutofrError(
            f"timm/{name}: its weights cannot be had ({_line(error)}); give a file, timm/{name}:weights=FILE, "
            f"or take random ones, timm/{name}:pretrained=False"
        ) from error
    if weights is not None:
        _load(net, name, weights)
    config = resolve_model_data_config(net)
    origin = str(weights) if weights is not None else "timm" if pretrained else "random"
    return TorchModel(
        net,
        f"timm/{name}" if origin == "timm" else f"timm/{name}:{Path(origin).name}",
        {"kind": "timm", "source": f"timm/{name}", "weights": origin},
        int(config["input_size"][-1]),
        device,
        tuple(config["mean"]),
        tuple(config["std"]),
    )


def _load(net: nn.Module, name: str, weights: Path) -> None:
    """Weights from a file, whose classifier is not used; nothing in it is executed."""
    from timm.models import load_state_dict

    try:
        tensors = load_state_dict(str(weights), weights_only=True)
        wanted = net.state_dict()
        missing = [key for key in wanted if key not in tensors]
        if missing:
            raise ValueError(f"it lacks {len(missing)} of {len(wanted)} tensors, {missing[0]} for one")
        net.load_state_dict({key: tensors[key] for key in wanted})
    except Exception as error:
        raise AutofrError(f"timm/{name}: weights {weights} do not fit: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__

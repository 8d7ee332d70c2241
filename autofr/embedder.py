"""The product of a search: a network that turns faces into embeddings, and how it is stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.backbones import create_backbone, without_numbers
from autofr.data.loader import normalise
from autofr.exceptions import AutofrError
from autofr.files import read_json, replacing_folder, sha256, write_durably, write_json, write_tensors

if TYPE_CHECKING:  # the engine stands above this module
    from autofr.search.bank import Entry
    from autofr.search.pareto import Point

MAX_SIDE, MAX_DIM = 1024, 2**16
"""Pixels of an image's side and length of an embedding; a configuration that claims more is not believed."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"


class Embedder(nn.Module):
    """Faces to embeddings, with the resizing and normalising that the backbone was trained with.

    Args:
        backbone: from (B, 3, S, S) in [-1, 1] to (B, D).
        config: ``backbone``, ``image_size``, ``embedding_dim``: what rebuilds it.
    """

    def __init__(self, backbone: nn.Module, config: dict[str, Any]) -> None:
        super().__init__()
        self.backbone, self.config = backbone, config

    def forward(self, images: Tensor) -> Tensor:
        """Embed aligned faces.

        Args:
            images: (B, 3, H, W) floats in [0, 1], RGB, aligned to the ArcFace template.

        Returns:
            (B, D) float32, L2-normalised: the dot product of two is their similarity.
        """
        size = self.config["image_size"]
        if images.shape[-2:] != (size, size):
            images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
        return F.normalize(self.backbone(normalise(images)).float(), dim=1)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` to ``folder``; see :func:`save_weights`."""
        save_weights(folder, self.config, self.backbone.state_dict())


def build_embedder(config: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Embedder:
    """An embedder in evaluation mode from its configuration and its backbone's tensors.

    Raises:
        AutofrError: they do not fit each other; ``where`` says whose they are.
    """
    try:
        name, size, dim = str(config["backbone"]), int(config["image_size"]), int(config["embedding_dim"])
        if not (0 < size <= MAX_SIDE and 0 < dim <= MAX_DIM):
            raise ValueError(f"it claims images of {size} pixels and embeddings of {dim}")
        _check_shapes(name, size, dim, tensors)
        backbone = create_backbone(name, size, dim)
        backbone.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        first = str(error).splitlines() or [type(error).__name__]
        raise AutofrError(f"{where}: weights and configuration do not fit: {first[0]}") from error
    return Embedder(backbone, config).eval().requires_grad_(False)


def _check_shapes(name: str, size: int, dim: int, tensors: dict[str, Tensor]) -> None:
    """Nothing, if the tensors are those of the backbone: before there is one, which could be of any size.

    Raises:
        ValueError: they are not.
    """
    net = without_numbers(name, size, dim)
    if net is None:
        return
    expected = {key: tensor.shape for key, tensor in net.state_dict().items()}
    for key in expected.keys() | tensors.keys():
        found = tensors[key].shape if key in tensors else None
        if found != expected.get(key):
            raise ValueError(f"{key} is {found}, not {expected.get(key)}")


def load_embedder(path: str | Path, device: torch.device | None = None) -> Embedder:
    """The embedder of a run or a checkpoint. Nothing is unpickled.

    Args:
        path: a run directory (of a search that goes on, its best generation so far), a folder with
            ``model.safetensors`` and ``config.json``, or a ``.safetensors`` file with ``config.json`` beside it.
        device: where to put it.

    Raises:
        AutofrError: nothing of that kind there.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise AutofrError(f"no checkpoint {path}")
        return _load_file(path).to(device)
    for folder in (path, path / "model"):
        if (folder / WEIGHTS).is_file():
            return _load_file(folder / WEIGHTS).to(device)
    if (path / "journal.jsonl").is_file():
        return best_embedder(path).to(device)
    raise AutofrError(f"{path} is no run directory and no checkpoint ({WEIGHTS} with {CONFIG} beside it)")


def _load_file(weights: Path) -> Embedder:
    try:
        config = read_json(weights.parent / CONFIG)
        tensors = load_file(weights)
    except Exception as error:
        raise AutofrError(f"checkpoint {weights} cannot be read (with {CONFIG} beside it): {error}") from error
    if not isinstance(config, dict):
        raise AutofrError(f"checkpoint {weights}: {CONFIG} is no JSON object")
    if config.pop("sha256", None) not in (None, sha256(weights)):
        again = weights.parent.parent / "journal.jsonl"
        remedy = f"; delete {weights.parent}: the checkpoints have it too" if again.is_file() else ""
        raise AutofrError(f"checkpoint {weights} is damaged: it is not what was written{remedy}")
    return build_embedder(config, tensors, f"checkpoint {weights}")


def best_embedder(run_dir: Path, say: Callable[[str], None] = warnings.warn) -> Embedder:
    """The embedder of a run's best committed generation, from its journal and weight bank; where networks were
    searched, the one of the Pareto set that the run prefers.

    Args:
        run_dir: the run.
        say: takes a line where the best generation's checkpoint is damaged, and another's is taken.

    Raises:
        AutofrError: the run has no whole checkpoint, or its files are damaged.
    """
    from autofr.search.journal import (  # the engine stands above this module; only run directories need it
        Journal,
        entry_of,
    )
    from autofr.search.pareto import Trade
    from autofr.search.result import read_config

    journal = Journal(run_dir)
    run_config = read_config(run_dir)
    if "trade" in run_config:  # networks were searched
        points = journal.newest_bank().pareto
        return point_embedder(points.pick(Trade(**run_config["trade"])), run_config, f"run {run_dir}")
    record, bank = journal.best_bank()
    for note in journal.notes:
        say(note)
    config, tensors = inference_part(entry_of(bank, record), record.network, run_config)
    config |= {"generation": record.generation, "member": record.winner}
    return build_embedder(config, tensors, f"run {run_dir}")


def point_embedder(point: Point, run_config: dict[str, Any], where: str) -> Embedder:
    """The embedder of a point of a search's Pareto set.

    Args:
        point: with its tensors.
        run_config: the run's resolved configuration.
        where: what errors call it.

    Raises:
        AutofrError: tensors and configuration do not fit.
    """
    config = {"backbone": point.backbone, **_sizes(run_config)}
    config |= {"generation": point.generation, "member": point.member}
    return build_embedder(config, point.tensors, where)


def inference_part(entry: Entry, network: str, run_config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What embedding needs of an entry of the bank: the configuration and the tensors of its best member's backbone.

    Args:
        entry: of the bank.
        network: that backbone's name.
        run_config: the run's resolved configuration.
    """
    return {"backbone": network, **_sizes(run_config)}, entry.backbone()


def _sizes(run_config: dict[str, Any]) -> dict[str, Any]:
    return {name: run_config["recipe"][name] for name in ("image_size", "embedding_dim")}


def save_weights(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write ``model.safetensors`` and ``config.json`` to ``folder``, which appears whole.

    A folder that is there already is replaced.
    """
    with replacing_folder(folder) as new:
        write_durably(new / WEIGHTS, lambda path: write_tensors(path, tensors))
        write_json(new / CONFIG, config | {"sha256": sha256(new / WEIGHTS)})

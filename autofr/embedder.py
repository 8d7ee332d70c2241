"""The product of a search: a network that turns faces into embeddings, and how it is stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from autofr.backbones import create_backbone
from autofr.data.loader import normalise
from autofr.exceptions import AutofrError
from autofr.files import sync_folder, write_json

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
        """Write ``model.safetensors`` and ``config.json`` to ``folder``, which appears whole or not at all."""
        temporary = folder.with_name(folder.name + ".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        tensors = {name: t.detach().cpu().contiguous() for name, t in self.backbone.state_dict().items()}
        save_file(tensors, temporary / WEIGHTS)
        write_json(temporary / CONFIG, self.config)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        sync_folder(folder.parent)


def build_embedder(config: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Embedder:
    """An embedder in evaluation mode from its configuration and its backbone's tensors.

    Raises:
        AutofrError: they do not fit each other; ``where`` says whose they are.
    """
    try:
        backbone = create_backbone(config["backbone"], int(config["image_size"]), int(config["embedding_dim"]))
        backbone.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AutofrError(f"{where}: weights and configuration do not fit: {str(error).splitlines()[0]}") from error
    return Embedder(backbone, config).eval()


def load_embedder(path: str | Path, device: torch.device | None = None) -> Embedder:
    """The embedder of a run or a checkpoint. Nothing is unpickled.

    Args:
        path: a run directory (of a search that goes on, its best generation so far), a folder with
            ``model.safetensors`` and ``config.json``, or that ``.safetensors`` file.
        device: where to put it.

    Raises:
        AutofrError: nothing of that kind there.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        path = path.parent
    for folder in (path, path / "model"):
        if (folder / WEIGHTS).is_file():
            return _load_folder(folder).to(device)
    if (path / "journal.jsonl").is_file():
        return best_embedder(path).to(device)
    raise AutofrError(f"{path} is no run directory and no checkpoint ({WEIGHTS} with {CONFIG} beside it)")


def _load_folder(folder: Path) -> Embedder:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except Exception as error:
        raise AutofrError(f"checkpoint {folder} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise AutofrError(f"checkpoint {folder}: {CONFIG} is no JSON object")
    return build_embedder(config, tensors, f"checkpoint {folder}")


def best_embedder(run_dir: Path) -> Embedder:
    """The embedder of a run's best committed generation, from its journal and weight bank.

    Raises:
        AutofrError: the run has committed no generation, or its files are damaged.
    """
    from autofr.search.journal import Journal, load_bank

    journal = Journal(run_dir)
    if not journal.records:
        raise AutofrError(f"run {run_dir} has committed no generation yet; resume it with --resume {run_dir}")
    record = journal.best()
    return bank_embedder(load_bank(journal.checkpoints / record.checkpoint), record.keys[record.winner], run_dir)


def bank_embedder(bank: Any, key: str, run_dir: Path) -> Embedder:
    """The embedder for one structural key of a weight bank.

    Args:
        bank: a :class:`autofr.search.population.WeightBank`.
        key: which of its entries.
        run_dir: the run whose configuration says what the backbone was built with.
    """
    recipe = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))["recipe"]
    config = {"backbone": key, "image_size": recipe["image_size"], "embedding_dim": recipe["embedding_dim"]}
    state = bank.entries[key].state
    tensors = {n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")}
    return build_embedder(config, tensors, f"run {run_dir}")

"""The networks that a run directory holds, as embedders."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from autofr.backbones.embedder import CONFIG, WEIGHTS, Embedder, build_embedder
from autofr.exceptions import AutofrError, DamagedFileError
from autofr.io.files import read_json, sha256
from autofr.runs.bank import Entry
from autofr.runs.journal import Journal, entry_of
from autofr.runs.pareto import Point, Trade
from autofr.runs.result import read_config

logger = logging.getLogger(__name__)


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
        raise DamagedFileError(f"checkpoint {weights} cannot be read (with {CONFIG} beside it): {error}") from error
    if not isinstance(config, dict):
        raise AutofrError(f"checkpoint {weights}: {CONFIG} is no JSON object")
    if config.pop("sha256", None) not in (None, sha256(weights)):
        again = weights.parent.parent / "journal.jsonl"
        remedy = f"; delete {weights.parent}: the checkpoints have it too" if again.is_file() else ""
        raise DamagedFileError(f"checkpoint {weights} is damaged: it is not what was written{remedy}")
    return build_embedder(config, tensors, f"checkpoint {weights}")


def best_embedder(run_dir: Path) -> Embedder:
    """The embedder of a run's best committed generation, from its journal and weight bank; where networks were
    searched, the one of the Pareto set that the run prefers. A warning is logged where the best generation's checkpoint
    is damaged, and another's is taken.

    Args:
        run_dir: the run.

    Raises:
        AutofrError: the run has no whole checkpoint, or its files are damaged.
    """
    run_config = read_config(run_dir)
    journal = Journal(run_dir)
    if "trade" in run_config:  # networks were searched
        points = journal.newest_bank().pareto
        return point_embedder(points.pick(Trade(**run_config["trade"])), run_config, f"run {run_dir}")
    record, bank = journal.best_bank()
    for note in journal.notes:
        logger.warning(note)
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

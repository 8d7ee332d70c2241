"""Networks to evaluate."""

from pathlib import Path

import pytest
import torch

from autofr.backbones import create_backbone
from autofr.backbones.embedder import Embedder


def save_net(folder: Path, seed: int, size: int = 32) -> Path:
    """An untrained network as a checkpoint."""
    torch.manual_seed(seed)
    net = create_backbone("ir_mini-w0.25", size, 16)
    Embedder(net, {"backbone": "ir_mini-w0.25", "image_size": size, "embedding_dim": 16}).save(folder)
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A checkpoint."""
    return save_net(tmp_path / "net", 0)


@pytest.fixture
def other_net(tmp_path: Path) -> Path:
    """A checkpoint of another network, with another input size."""
    return save_net(tmp_path / "other", 1, 48)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of evaluations are empty files, for tests of other things: they take longer than all else."""
    for name in ("plots.plot_det", "plots.plot_scores", "worst.worst_sheet"):
        monkeypatch.setattr(f"autofr.evaluation.{name}", lambda *arguments: arguments[-1].touch())

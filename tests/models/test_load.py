from pathlib import Path

import pytest
import torch
from torch import nn

from autofr import AutofrError
from autofr.backbones import create_backbone
from autofr.backbones.embedder import Embedder
from autofr.data import synthetic_faces
from autofr.models import load_model
from autofr.models.base import TorchModel
from autofr.runs.network import load_embedder

CPU = torch.device("cpu")
PIXELS = synthetic_faces(4, 2, 48).read(torch.arange(8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    torch.manual_seed(0)
    net = create_backbone("ir_mini-w0.25", 32, 16)
    Embedder(net, {"backbone": "ir_mini-w0.25", "image_size": 32, "embedding_dim": 16}).save(folder)
    return folder


def test_a_checkpoint_embeds_as_its_embedder_does(checkpoint: Path) -> None:
    model = load_model(checkpoint, CPU)
    embedded = model.embed(PIXELS)
    expected = load_embedder(checkpoint)(PIXELS.float() / 255)
    torch.testing.assert_close(nn.functional.normalize(embedded), expected, atol=2e-2, rtol=0)  # pixels are rounded
    assert (model.name, model.image_size, model.about["kind"]) == (checkpoint.parent.name, 32, "autofr")
    assert model.about["parameters"] > 1000
    for path in (checkpoint / "model.safetensors", checkpoint):
        assert load_model(path, CPU).name == checkpoint.parent.name


def test_flip_adds_the_mirrored_image(checkpoint: Path) -> None:
    model = load_model(checkpoint, CPU)
    torch.testing.assert_close(model.embed(PIXELS, flip=True), model.embed(PIXELS) + model.embed(PIXELS.flip(-1)))


def test_pixels_are_normalised_by_channel() -> None:
    model = TorchModel(nn.Flatten(), "flat", {}, 4, CPU, mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2))
    pixels = torch.full((1, 3, 4, 4), 51, dtype=torch.uint8)
    expected = torch.tensor([0.2, 0.0, -0.05]).repeat_interleave(16)[None]
    torch.testing.assert_close(model.embed(pixels), expected)
    assert torch.equal(pixels, torch.full_like(pixels, 51))


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    for spec, told in (
        (tmp_path, "no run directory and no checkpoint"),
        ("emb.npy", "holds embeddings"),
        (tmp_path / "none.onnx", "no ONNX file"),
        ("timm/resnet_18", "did you mean resnet18"),
    ):
        with pytest.raises(AutofrError, match=told):
            load_model(spec, CPU)

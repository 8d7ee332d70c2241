import json
import resource
from pathlib import Path

import pytest
import torch

import autofr
from autofr import AutofrError, Embedder
from autofr.backbones import create_backbone

CONFIG = {"backbone": "ir_mini-w0.25", "image_size": 32, "embedding_dim": 8}


@pytest.fixture
def embedder() -> Embedder:
    torch.manual_seed(0)
    return Embedder(create_backbone("ir_mini-w0.25", 32, 8), CONFIG).eval()


def test_what_is_saved_is_loaded(embedder: Embedder, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 32, 32)
    for _ in range(2):  # the second replaces the first
        embedder.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    for path in (tmp_path / "model", tmp_path / "model" / "model.safetensors"):
        assert torch.equal(autofr.load_embedder(path)(images), embedder(images))


def test_other_sizes_are_resized(embedder: Embedder) -> None:
    out = embedder(torch.rand(2, 3, 112, 112))
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))


def test_what_is_no_checkpoint_is_named(embedder: Embedder, tmp_path: Path) -> None:
    embedder.save(tmp_path / "model")
    folder = tmp_path / "model"
    with pytest.raises(AutofrError, match=r"no checkpoint .*other.safetensors"):
        autofr.load_embedder(folder / "other.safetensors")
    for text, message in (
        (json.dumps({**CONFIG, "embedding_dim": 16}), "do not fit"),
        (json.dumps({"backbone": "ir_mini"}), "do not fit"),
        (json.dumps({**CONFIG, "backbone": "nothing"}), "unknown backbone"),
        ("[1]", "no JSON object"),
        ("{", "cannot be read"),
    ):
        (folder / "config.json").write_text(text)
        with pytest.raises(AutofrError, match=message):
            autofr.load_embedder(folder)
    (folder / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(AutofrError, match="cannot be read"):
        autofr.load_embedder(folder)


@pytest.mark.parametrize(
    "claim",
    [
        {"embedding_dim": 2**40},
        {"image_size": 2**30},
        {"image_size": 1024},  # as large as is believed: the shapes do not fit
        {"embedding_dim": 2**16},
        {"backbone": "ir100-w900"},
        {"backbone": "ir100-w99999999999999999999"},
        {"backbone": ["ir_mini"]},
        {"image_size": "NaN"},
        {"image_size": -32},
    ],
)
def test_a_network_of_another_size_than_its_weights_is_not_made(
    embedder: Embedder, tmp_path: Path, claim: dict[str, object]
) -> None:
    embedder.save(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({**CONFIG, **claim}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AutofrError, match=r"do not fit|unknown backbone|cannot take"):
        autofr.load_embedder(tmp_path / "model")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_a_flipped_bit_in_the_weights_is_noticed(embedder: Embedder, tmp_path: Path) -> None:
    embedder.save(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(AutofrError, match=r"is damaged: it is not what was written$"):
        autofr.load_embedder(tmp_path / "model")
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(AutofrError, match=r"is damaged: .*; delete .*model: the checkpoints have it too$"):
        autofr.load_embedder(tmp_path / "model")

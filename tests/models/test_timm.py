from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from autofr import AutofrError
from autofr.models import load_model

CPU = torch.device("cpu")
NAME = "timm/test_byobnet"  # timm's own network for tests: small, square inputs of 160 pixels
PIXELS = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_from_a_file(suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = timm.create_model("test_byobnet", num_classes=7).eval()
    path = tmp_path / f"w.{suffix}"
    save_file(net.state_dict(), path) if suffix == "safetensors" else torch.save(net.state_dict(), path)
    model = load_model(f"{NAME}:weights={path}", CPU)
    config = timm.data.resolve_model_data_config(net)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = net.forward_head(net.forward_features((PIXELS / 255 - mean) / std), pre_logits=True)
    torch.testing.assert_close(model.embed(PIXELS), expected, atol=1e-5, rtol=1e-5)
    assert (model.name, model.image_size, model.about["weights"]) == (f"{NAME}:w.{suffix}", 160, str(path))


def test_random_weights_when_asked_for() -> None:
    assert load_model(f"{NAME}:pretrained=False", CPU).about["weights"] == "random"


def test_weights_that_do_not_serve(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(AutofrError, match="it lacks"):
        load_model(f"{NAME}:weights={path}", CPU)
    path.write_bytes(b"nothing")
    with pytest.raises(AutofrError, match="do not fit"):
        load_model(f"{NAME}:weights={path}", CPU)
    with pytest.raises(AutofrError, match="no weights file"):
        load_model(f"{NAME}:weights={tmp_path / 'none'}", CPU)
    with pytest.raises(AutofrError, match="no setting 'weight'"):
        load_model(f"{NAME}:weight=x", CPU)


def test_weights_that_cannot_be_fetched_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(AutofrError, match=r"cannot be had \(no route to host\); give a file"):
        load_model(NAME, CPU)

import warnings
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from autofr import AutofrError
from autofr.backbones import create_backbone
from autofr.models import load_model
from autofr.models.base import TorchModel

CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    net = create_backbone("ir_mini-w0.25", 32, 16).eval()
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(2, 3, 32, 32),),
            path,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=512)},),
            dynamo=True,
            verbose=False,
        )
    return path, net


def graph(
    path: Path, shape: list[object], first: tuple[str, ...] = (), outputs: int = 1, kind: int = TensorProto.FLOAT
) -> Path:
    """A file that flattens its input, after nodes ``first`` that take it by 1."""
    nodes, name = [], "image"
    for place, operator in enumerate(first):
        nodes.append(helper.make_node(operator, [name, "one"], [f"n{place}"]))
        name = f"n{place}"
    nodes += [helper.make_node("Flatten", [name], [f"out{k}"]) for k in range(outputs)]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(f"out{k}", kind, None) for k in range(outputs)],
        [helper.make_tensor("one", kind, [1], [1.0])] if first else [],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.search
def test_an_exported_network_embeds_as_in_torch(exported: tuple[Path, nn.Module]) -> None:
    path, net = exported
    model = load_model(path, CPU)
    expected = TorchModel(net, "net", {}, 32, CPU).embed(PIXELS, flip=True)
    torch.testing.assert_close(model.embed(PIXELS, flip=True), expected, atol=1e-4, rtol=1e-4)
    assert (model.name, model.image_size) == ("net", 32)
    assert (model.about["mean"], model.about["std"], model.about["channels"]) == (127.5, 127.5, "rgb")


def test_a_batch_of_one_is_run_one_by_one(tmp_path: Path) -> None:
    model = load_model(graph(tmp_path / "one.onnx", [1, 3, 32, 32]), CPU)
    torch.testing.assert_close(model.embed(PIXELS), (PIXELS.float() - 127.5).flatten(1) / 127.5)


def test_channels_last_bgr_and_normalisation(tmp_path: Path) -> None:
    path = graph(tmp_path / "last.onnx", ["N", 32, 32, 3])
    model = load_model(f"{path}:mean=10,std=2,channels=bgr", CPU)
    torch.testing.assert_close(model.embed(PIXELS), (PIXELS.flip(1).permute(0, 2, 3, 1).float() - 10).flatten(1) / 2)
    open_sides = load_model(graph(tmp_path / "open.onnx", ["N", 3, "H", "W"]), CPU)
    assert open_sides.image_size == 112


def test_a_graph_that_normalises_gets_pixels(tmp_path: Path) -> None:
    path = graph(tmp_path / "mx.onnx", ["N", 3, 32, 32], first=("Sub", "Mul"))
    torch.testing.assert_close(load_model(path, CPU).embed(PIXELS), PIXELS.float().flatten(1) - 1)
    assert load_model(f"{path}:mean=127.5,std=128", CPU).about["std"] == 128


@pytest.mark.parametrize(
    ("shape", "outputs", "told"),
    [
        (["N", 3, 32, 48], 1, "should take float images"),
        (["N", 1, 32, 32], 1, "should take float images"),
        ([4, 3, 32, 32], 1, "should take float images"),
        (["N", 3], 1, "should take float images"),
        (["N", 3, 32, 32], 2, "has outputs out0, out1; name one"),
    ],
)
def test_files_of_another_form(shape: list[object], outputs: int, told: str, tmp_path: Path) -> None:
    path = graph(tmp_path / "x.onnx", shape, outputs=outputs)
    with pytest.raises(AutofrError, match=told):
        load_model(path, CPU)


def test_an_output_by_name(tmp_path: Path) -> None:
    path = graph(tmp_path / "two.onnx", ["N", 3, 32, 32], outputs=2)
    assert load_model(f"{path}:output=out1", CPU).embed(PIXELS).shape == (3, 3072)


def test_bad_files_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    for content in (b"", b"nothing"):
        path.write_bytes(content)
        with pytest.raises(AutofrError, match="cannot be read"):
            load_model(path, CPU)
    graph(path, ["N", 3, 32, 32])
    for settings, told in (
        ("std=0", "std is above 0"),
        ("channels=grey", "rgb or bgr"),
        ("size=3", "no setting 'size'"),
    ):
        with pytest.raises(AutofrError, match=told):
            load_model(f"{path}:{settings}", CPU)


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graph(tmp_path / "x.onnx", ["N", 3, 32, 32])
    monkeypatch.setattr("autofr.models.onnx.importlib.util.find_spec", lambda name: None)
    with pytest.raises(AutofrError, match=r"pip install 'autofr\[onnx\]'"):
        load_model(path, CPU)

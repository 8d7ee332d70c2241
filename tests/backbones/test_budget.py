"""What networks cost, and which of a space are within its budgets."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autofr import AutofrError, Choice, Elastic, MaxFLOPs, MaxLatency, MaxParams, SearchSpace
from autofr.backbones import BACKBONES, costs, create_backbone, register
from autofr.backbones.budget import check_architectures, within_budget
from autofr.losses import ArcFace

LOSS = Choice(ArcFace(0.3))
ELASTIC = Elastic("iresnet:widths=32-64,stem=2", depth=("1-1", "2-2"), width=(0.5, 1.0), kernel=(3, 5))


def test_parameters_are_those_of_the_network() -> None:
    for name in ("ir_mini", "mobilefacenet", "timm/resnet10t"):
        net = create_backbone(name, 64, 32)
        assert costs.params(name, 64, 32) == sum(p.numel() for p in net.parameters())


def test_operations_are_those_of_the_formulas() -> None:
    """A multiply-add is two: stem, one block of two convolutions and a shortcut, the embedding."""
    stem = 16 * 16 * 16 * 27
    block = 16 * 16 * 16 * 16 * 9 + 8 * 8 * 16 * 16 * 9 + 8 * 8 * 16 * 16
    block += 8 * 8 * 32 * 16 * 9 + 4 * 4 * 32 * 32 * 9 + 4 * 4 * 32 * 16
    head = 32 * 4 * 4 * 24
    assert costs.flops("iresnet:widths=32-64,stem=2,depth=1,width=0.5", 32, 24) == 2 * (stem + block + head)


def test_mobilefacenet_costs_what_its_paper_says() -> None:
    """0.99 million parameters in the paper's Table 2, and 0.44 G operations as the field counts it."""
    assert costs.params("mobilefacenet", 112, 128) == pytest.approx(0.99e6, rel=0.02)
    assert costs.flops("mobilefacenet", 112, 128) == pytest.approx(0.44e9, rel=0.01)


def test_only_what_meets_every_constraint_is_allowed() -> None:
    space = SearchSpace(loss=LOSS, backbone=ELASTIC, constraints=[MaxFLOPs(6e6), MaxParams(100_000)])
    allowed = within_budget(space, "", 32, 16).allowed
    assert allowed is not None
    for architecture in space.architectures():
        name = space.backbone(dict(zip(space.architecture, architecture, strict=True)), "")
        fits = costs.flops(name, 32, 16) <= 6e6 and costs.params(name, 32, 16) <= 100_000
        assert (architecture in allowed) == fits
    assert 0 < len(allowed) < 8


def test_without_constraints_all_is_allowed() -> None:
    space = SearchSpace(loss=LOSS, backbone=ELASTIC)
    assert within_budget(space, "", 32, 16).allowed is None
    assert space.allows({"loss": 0, "depth": 1, "width": 1, "kernel": 1})


@pytest.mark.parametrize(
    "backbone", [ELASTIC, Choice("ir_mini-w0.5", "ir_mini"), None], ids=["elastic", "choice", "one"]
)
def test_a_constraint_that_nothing_meets_names_the_nearest(backbone: Any) -> None:
    searched = {} if backbone is None else {"backbone": backbone}
    space = SearchSpace(loss=LOSS, constraints=[MaxParams(1000)], **searched)
    with pytest.raises(
        AutofrError, match=r"no architecture .* nearest, .*(width=0.5,kernel=3|ir_mini).* over MaxParams"
    ):
        within_budget(space, "ir_mini", 32, 16)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), "2e6", True])
def test_a_limit_is_a_positive_number(limit: Any) -> None:
    for kind in (MaxParams, MaxFLOPs, MaxLatency):
        with pytest.raises(AutofrError, match="has a limit above 0"):
            kind(limit)


def test_latency_is_of_this_device_and_these_threads() -> None:
    with pytest.raises(AutofrError, match="threads is a whole number"):
        MaxLatency(5, threads=0)
    with pytest.raises(AutofrError, match="no CUDA device" if not torch.cuda.is_available() else "unknown"):
        MaxLatency(5, device="cuda:99").cost("ir_mini", 32, 16)


def test_latency_is_measured_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    threads = torch.get_num_threads()
    first = costs.latency("ir_mini-w0.25", 32, 16)
    assert 0 < first < 1000
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(costs, "_timed", lambda *arguments: 1e9)
    assert costs.latency("ir_mini-w0.25", 32, 16) == first
    assert costs.latency("ir_mini-w0.25", 48, 16) == 1e9
    for file in (tmp_path / "autofr" / "costs").iterdir():
        assert "ir_mini-w0.25" in json.loads(file.read_text())["key"]
        file.write_text("{")  # damaged: measured again
    assert {costs.latency("ir_mini-w0.25", size, 16) for size in (32, 48)} == {1e9}


def test_a_slower_network_takes_longer() -> None:
    space = SearchSpace(loss=LOSS, backbone=Choice("ir_mini-w0.25", "ir18"), constraints=[MaxLatency(1e-6)])
    with pytest.raises(AutofrError, match=r"nearest, ir_mini-w0\.25"):
        within_budget(space, "", 64, 16)


def test_options_in_the_wrong_order_are_told() -> None:
    space = SearchSpace(loss=LOSS, backbone=Elastic("mobilefacenet", width=(1.0, 0.5)))
    with pytest.raises(AutofrError, match=r"is no slice of .*from the smallest to the largest"):
        check_architectures(space, "", 32, 16)


def test_a_resolution_beyond_the_images_is_told() -> None:
    space = SearchSpace(loss=LOSS, backbone=Elastic("mobilefacenet", resolution=(32, 64)))
    with pytest.raises(AutofrError, match="a resolution of 64 is not within the image size, 32"):
        check_architectures(space, "", 32, 16)
    with pytest.raises(AutofrError, match="multiples of 16, not 40"):
        check_architectures(SearchSpace(loss=LOSS, backbone=Elastic("mobilefacenet", resolution=(40, 64))), "", 64, 16)


def test_variants_of_other_embeddings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autofr.backbones.BACKBONES", dict(BACKBONES))
    monkeypatch.setitem(BACKBONES, "stubborn", BACKBONES["iresnet"])

    def stubborn(image_size: int, embedding_dim: int, width: int = 8) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, width))

    register("stubborn")(stubborn)
    space = SearchSpace(loss=LOSS, backbone=Elastic("stubborn", width=(8, 16)))
    with pytest.raises(AutofrError, match=r"stubborn:width=8' gives \(8,\), not an embedding of \(16,\)"):
        check_architectures(space, "", 32, 16)
    del BACKBONES["stubborn"]


def test_a_constraint_of_ones_own() -> None:
    """Anything with a limit and a cost is one."""

    class MaxBlocks:
        limit, measured = 3.0, False

        def cost(self, backbone: str, image_size: int, embedding_dim: int) -> float:
            return 4.0 if "depth=2-2" in backbone else 2.0

        def __repr__(self) -> str:
            return "MaxBlocks(3)"

    space = within_budget(SearchSpace(loss=LOSS, backbone=ELASTIC, constraints=[MaxBlocks()]), "", 32, 16)
    assert space.allowed is not None
    assert {architecture[0] for architecture in space.allowed} == {0}
    with pytest.raises(AutofrError, match="is none: take MaxParams"):
        SearchSpace(loss=LOSS, constraints=[3e6])  # type: ignore[list-item]

"""What networks cost, and which of a space are within its budgets."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autofr import AutofrError, Choice, Elastic, MaxFLOPs, MaxLatency, MaxParams, SearchSpace
from autofr.backbones import BACKBONES, costs, create_backbone, register
from autofr.backbones.embedder import build_embedder
from autofr.losses import ArcFace
from autofr.runs.network import load_embedder
from autofr.space.budget import check_architectures, within_budget
from autofr.space.constraints import name_of

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


def test_latency_is_asked_last_and_of_what_the_counts_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dear to know. Networks are timed in evaluation mode, at batch 1, with the threads that were asked for."""
    timed: list[tuple[bool, int, int]] = []

    def spied(net: nn.Module, image_size: int, device: torch.device, threads: int) -> float:
        timed.append((net.training, image_size, threads))
        return 1.0

    monkeypatch.setattr(costs, "_timed", spied)
    names = ("ir_mini-w0.3", "ir_mini-w0.55", "ir18")
    limits = [MaxLatency(5.0, threads=2), MaxParams(costs.params(names[1], 64, 16))]
    space = SearchSpace(loss=LOSS, backbone=Choice(names), constraints=limits)
    assert within_budget(space, "", 64, 16).allowed == ((0,), (1,))
    assert timed == [(False, 64, 2)] * 2


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
    monkeypatch.setitem(BACKBONES, "stubborn", BACKBONES["iresnet"])  # and out again, when the test is done

    def stubborn(image_size: int, embedding_dim: int, width: int = 8) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, width))

    register("stubborn")(stubborn)
    space = SearchSpace(loss=LOSS, backbone=Elastic("stubborn", width=(8, 16)))
    with pytest.raises(AutofrError, match=r"stubborn:width=8' gives \(8,\), not an embedding of \(16,\)"):
        check_architectures(space, "", 32, 16)


def test_a_network_registered_anew_is_counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "changing", BACKBONES["iresnet"])
    found = []
    for width in (2, 3):
        register("changing")(
            lambda image_size, embedding_dim, width=width: nn.Sequential(
                nn.Conv2d(3, width, image_size), nn.Flatten(), nn.Linear(width, embedding_dim)
            )
        )
        found.append(costs.params("changing", 32, 16))
    assert found == [3 * 32 * 32 * w + w + 16 * w + 16 for w in (2, 3)]


def test_a_network_that_computes_while_it_is_made_can_be_counted_and_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As those with stochastic depth do: it cannot be made without its numbers."""
    monkeypatch.setitem(BACKBONES, "computing", BACKBONES["iresnet"])

    @register("computing")
    def computing(image_size: int, embedding_dim: int) -> nn.Module:
        rate = torch.linspace(0, 0.1, 3)[1].item()
        return nn.Sequential(nn.Flatten(), nn.Dropout(rate), nn.Linear(3 * image_size**2, embedding_dim))

    assert costs.params("computing", 16, 4) == 3 * 256 * 4 + 4
    config = {"backbone": "computing", "image_size": 16, "embedding_dim": 4}
    build_embedder(config, create_backbone("computing", 16, 4).state_dict(), "here").save(tmp_path / "model")
    assert load_embedder(tmp_path / "model").config["backbone"] == "computing"


def test_a_space_with_too_many_architectures_is_told_at_once() -> None:
    many = Elastic("iresnet", **{f"choice{i}": (1, 2, 3) for i in range(30)})
    space = SearchSpace(loss=LOSS, backbone=many, constraints=[MaxParams(1e6)])
    assert space.size == 3**30
    with pytest.raises(AutofrError, match="20000 architectures at most, not 205891132094649"):
        within_budget(space, "", 32, 16)


@pytest.mark.parametrize("found", [float("nan"), float("inf")])
def test_a_cost_that_is_no_number_is_over_every_limit(found: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaxParams, "cost", lambda *arguments: found)
    space = SearchSpace(loss=LOSS, backbone=ELASTIC, constraints=[MaxParams(1e6)])
    with pytest.raises(AutofrError, match=r"no architecture of the space .*a number|no architecture .* is at inf"):
        within_budget(space, "", 32, 16)


def test_a_constraint_has_the_same_name_in_every_process() -> None:
    class Mine:
        measured = False

        def __init__(self, limit: float) -> None:
            self.limit = limit

        def cost(self, backbone: str, image_size: int, embedding_dim: int) -> float:
            return 1.0

    assert name_of(Mine(3.5)) == "Mine(limit=3.5)"
    assert name_of(MaxParams(1234567)) == "MaxParams(1234567)" != name_of(MaxParams(1234568))
    assert name_of(MaxLatency(2.5, "cpu", 4)) == "MaxLatency(2.5, cpu, 4)"


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

"""Searches over networks, from end to end."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import autofr
from autofr import AutofrError, Choice, Elastic, MaxFLOPs, SearchSpace
from autofr.backbones import create_backbone
from autofr.data import Faces
from autofr.engine.population import Population
from autofr.engine.validation import Validation
from autofr.losses import ArcFace
from autofr.runs.journal import Journal
from autofr.runs.network import best_embedder
from autofr.runs.pareto import PRICES, ParetoSet, Trade
from autofr.runs.pick import pick

LOSS = Choice(ArcFace(0.1), ArcFace(0.3))
ELASTIC = Elastic(
    "iresnet:widths=32-64,stem=2", depth=("1-1", "1-2"), width=(0.5, 1.0), kernel=(3, 5), resolution=(0.5, 1.0)
)
SPACE = SearchSpace(loss=LOSS, backbone=ELASTIC, constraints=[MaxFLOPs(6e6)])


@pytest.fixture(scope="module")
def settings(tiny: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in tiny.items() if k != "backbone"}


@pytest.fixture(scope="module")
def run(tiny_faces: Faces, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("elastic") / "run"
    autofr.search(SPACE, tiny_faces, run_dir=run_dir, **settings)
    return run_dir


@pytest.mark.search
def test_nothing_beyond_the_budget_is_trained(run: Path) -> None:
    result = autofr.SearchResult(run)
    costs = [cost for record in result.records for cost in record.costs]
    assert len(costs) == 16
    assert max(costs) <= 6e6
    assert len({name for record in result.records for name in record.networks}) > 3
    assert {key for record in result.records for key in record.keys} == {ELASTIC.largest}
    leading = tuple(result.leading[dim] for dim in ("depth", "width", "kernel", "resolution"))
    assert list(leading) in result.config["space"]["allowed"]


@pytest.mark.search
def test_the_network_in_model_is_an_ordinary_one_with_the_scores_of_the_search(run: Path, tiny_faces: Faces) -> None:
    """Built by its name alone, it computes bit for bit what the Pareto set's point does, and the search's score."""
    result = autofr.SearchResult(run)
    record, member = result.chosen
    assert record.rewards[member] == max(-point.error for point in result.pareto) * 1.0
    embedder = autofr.load_embedder(run)
    net = create_backbone(record.networks[member], 32, 16)
    net.load_state_dict(embedder.backbone.state_dict())
    images = tiny_faces.read(torch.arange(8)).float() / 255
    expected = torch.nn.functional.normalize(net.eval()((images - 0.5) / 0.5), dim=1)
    torch.testing.assert_close(embedder(images), expected, rtol=1e-5, atol=1e-6)
    point = Journal(run).newest_bank().pareto.pick(Trade())
    assert all(torch.equal(embedder.backbone.state_dict()[name], t) for name, t in point.tensors.items())
    assert torch.equal(best_embedder(run)(images), embedder(images))


@pytest.mark.search
def test_the_pareto_set_is_kept_shown_and_loadable(run: Path, tiny_faces: Faces) -> None:
    result = autofr.SearchResult(run)
    everything = [point for record in result.records for point in record.points]
    assert [p.said() for p in result.pareto] == [p.said() for p in ParetoSet(everything).points]
    assert [p.said() for p in Journal(run).newest_bank().pareto.points] == [p.said() for p in result.pareto]
    assert json.loads((run / "report.json").read_text())["pareto"] == [p.said() for p in result.pareto]
    assert (run / "pareto.png").stat().st_size > 5000
    images = tiny_faces.read(torch.arange(2)).float() / 255
    folders = sorted((run / "pareto").iterdir())
    assert len(folders) == len(result.pareto)
    assert {autofr.load_embedder(folder).config["backbone"] for folder in folders} == {
        p.backbone for p in result.pareto
    }
    assert all(autofr.load_embedder(folder)(images).shape == (2, 16) for folder in folders)


@pytest.mark.search
def test_a_stopped_search_goes_on_to_the_same_bits(
    run: Path, tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path, same_outcome: Any
) -> None:
    def stop(record: Any) -> None:
        if record.generation == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", watch=stop, **settings)
    assert len(autofr.SearchResult(tmp_path / "run").records) == 2
    assert autofr.load_embedder(tmp_path / "run").config["backbone"].startswith("iresnet")
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", resume=True, **settings)
    assert same_outcome(run, tmp_path / "run")


@pytest.mark.search
def test_every_generation_settles_its_variants_before_they_are_scored(
    tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    settled, score = Population.settled, Validation.score
    monkeypatch.setattr(Population, "settled", lambda *a: done.append("settle") or settled(*a))
    monkeypatch.setattr(Validation, "score", lambda *a: done.append("score") or score(*a))
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **settings | {"epochs": 2})
    assert done == ["score", *["settle", *["score"] * 4] * 2]


@pytest.mark.search
def test_pick_takes_another_network_of_the_set(run: Path) -> None:
    result = autofr.SearchResult(run)
    for prefer in (*PRICES, "accurate"):
        picked = pick(run, prefer)
        wanted = ParetoSet(result.pareto).pick(Trade(prefer=prefer))
        assert autofr.load_embedder(run).config["backbone"] == wanted.backbone
        record, member = picked.chosen
        assert (record.generation, member) == (wanted.generation, wanted.member)
        assert json.loads((run / "report.json").read_text())["after"] == record.scores[member]
        assert len(list((run / "pareto").iterdir())) == len(result.pareto)
    with pytest.raises(AutofrError, match="unknown preference 'quick'"):
        pick(run, "quick")


def test_settings_that_would_do_nothing_are_refused(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    """Where no network is searched there is nothing to weigh, and where all share weights nobody to help."""
    for asked, message in (
        ({"prefer": "fast"}, "--prefer fast weighs networks"),
        ({"cost": "params"}, "--cost params weighs networks"),
        ({"distil": 1.0}, "--distil helps unrelated networks"),
    ):
        with pytest.raises(AutofrError, match=message):
            autofr.search(SearchSpace(loss=LOSS), tiny_faces, run_dir=tmp_path / "run", **tiny | asked)
    how = {k: v for k, v in tiny.items() if k != "backbone"}
    for space in (SPACE, SearchSpace(loss=LOSS, backbone=Choice("ir_mini-w0.5"))):
        with pytest.raises(AutofrError, match="--distil helps"):
            autofr.search(space, tiny_faces, run_dir=tmp_path / "run", distil=0.5, **how)
    with pytest.raises(AutofrError, match="--distil helps"):
        autofr.train(ArcFace(0.3), tiny_faces, run_dir=tmp_path / "run", distil=0.5, **tiny)
    assert not (tmp_path / "run").exists()


def test_a_backbone_beside_searched_ones_is_refused(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="the space searches the network, and --backbone would do nothing"):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **tiny)


@pytest.mark.search
def test_what_a_network_costs_stays_as_the_run_found_it(
    tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured latencies differ from time to time; in one run a network has one, also after a resume."""
    times = iter(range(1, 1000))
    monkeypatch.setattr("autofr.backbones.costs._remembered", lambda *arguments: float(next(times)))
    how = settings | {"cost": "latency", "prefer": "fast"}

    def stop(record: Any) -> None:
        if record.generation == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", watch=stop, **how)
    result = autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", resume=True, **how)
    pairs = {pair for record in result.records for pair in zip(record.networks, record.costs, strict=True)}
    assert len(pairs) == len({network for network, _ in pairs})


@pytest.mark.search
def test_a_search_of_losses_alone_has_no_set(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    result = autofr.search(SearchSpace(loss=LOSS), tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert result.pareto == []
    assert not (tmp_path / "run" / "pareto.png").exists()
    assert "trade" not in result.config
    with pytest.raises(AutofrError, match="has no Pareto set"):
        pick(tmp_path / "run", "fast")


@pytest.mark.search
def test_a_preference_steers_what_the_policy_learns(
    tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[float]] = []
    from autofr.policies import Random

    monkeypatch.setattr(Random, "tell", lambda self, assignments, rewards: told.append(list(rewards)))
    settings = settings | {"epochs": 1}
    result = autofr.search(SPACE, tiny_faces, policy="random", prefer="fast", run_dir=tmp_path / "run", **settings)
    (record,) = result.records
    expected = [r - 0.03 * math.log2(c) for r, c in zip(record.rewards, record.costs, strict=True) if r is not None]
    assert told == [pytest.approx(expected)]


@pytest.mark.search
def test_every_cost_can_be_weighed(tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path) -> None:
    space = SearchSpace(loss=LOSS, backbone=Choice("ir_mini-w0.5", "ir_mini"))
    for cost in ("params", "latency"):
        result = autofr.search(space, tiny_faces, cost=cost, run_dir=tmp_path / cost, **settings | {"epochs": 1})
        assert result.config["trade"]["cost"] == cost
        assert all(c > 0 for c in result.records[0].costs)
    with pytest.raises(AutofrError, match="unknown cost 'watts'"):
        autofr.search(space, tiny_faces, cost="watts", run_dir=tmp_path / "x", **settings)
    with pytest.raises(AutofrError, match="unknown prefer 'cheap'"):
        autofr.search(space, tiny_faces, prefer="cheap", run_dir=tmp_path / "x", **settings)


@pytest.mark.search
def test_unrelated_networks_help_each_other_by_distillation(
    tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_outcome: Any
) -> None:
    """The guide is the best of the generation before, and a search that is resumed has the same one."""
    from autofr.engine import loop

    guides: list[str | None] = []
    train = loop.train_segment

    def spied(*arguments: Any) -> None:
        guides.append(None if arguments[7] is None else arguments[7].key)
        train(*arguments)

    monkeypatch.setattr(loop, "train_segment", spied)
    space = SearchSpace(loss=LOSS, backbone=Choice("ir_mini-w0.5", "timm/resnet10t"))
    how = settings | {"distil": 1.0, "policy": "random"}
    result = autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **how)
    assert guides[0] is None
    for before, record, guide in zip(result.records, result.records[1:], guides[1:], strict=False):
        mixed = len(set(record.keys)) > 1 or record.keys[0] != before.keys[before.winner]
        assert guide == (before.keys[before.winner] if mixed else None)
    assert any(guides)

    def stop(record: Any) -> None:
        if record.generation == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        autofr.search(space, tiny_faces, run_dir=tmp_path / "again", watch=stop, **how)
    autofr.search(space, tiny_faces, run_dir=tmp_path / "again", resume=True, **how)
    assert same_outcome(tmp_path / "run", tmp_path / "again")


@pytest.mark.search
def test_a_resume_keeps_the_architectures_that_the_run_began_with(
    run: Path, tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine may time networks otherwise; the run goes on with its own."""

    def stop(record: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", watch=stop, **settings)
    monkeypatch.setattr(MaxFLOPs, "cost", lambda *arguments: 1e12)
    with pytest.raises(AutofrError, match="no architecture of the space is within"):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()
    result = autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", resume=True, **settings)
    assert len(result.records) == 4
    other = SearchSpace(loss=LOSS, backbone=ELASTIC)
    with pytest.raises(AutofrError, match=r"other settings: .*space.allowed was"):
        autofr.search(other, tiny_faces, run_dir=run, resume=True, **settings)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (Choice("timm/resnet18.a1_in1k"), "published weights, which would have to be downloaded; .*take timm/resnet18"),
        (Choice("timm/hf-hub:someone/net"), "published weights"),
        (Choice("timm/resnet10t.c3_in1k"), "published weights"),
        (Choice("ir_mini", "vgg16"), "unknown backbone 'vgg16'.*registered first"),
        (Elastic("iresnet:stem=2", resolution=(48, 64)), "a resolution of 64 is not within the image size, 32"),
        (Elastic("iresnet:stem=2", girth=(1, 2)), "has no setting 'girth'"),
        (Elastic("mobilefacenet", kernel=(2, 4)), "odd number"),
        (Elastic("mobilefacenet", depth=("1-1", "2-2")), "for each of 3 stages, as 2-2-2; got"),
        (Elastic("ir18", width=(0.5, 1.0)), "ir18 has no settings; iresnet and mobilefacenet have"),
        (Elastic("mobilefacenet", resolution=(1.0, 2.0)), r"not 2 \(a share of the image is up to 1\)"),
        (Choice("resnet18"), r"did you mean .*timm/resnet18"),
    ],
)
def test_bad_networks_are_told_before_anything_is_written(
    backbone: Any, message: str, tiny_faces: Faces, settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(AutofrError, match=message):
        autofr.search(SearchSpace(loss=LOSS, backbone=backbone), tiny_faces, run_dir=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()

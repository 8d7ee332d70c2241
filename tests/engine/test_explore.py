"""``--explore``: members train a part of a generation, and the winner goes on alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import autofr
from autofr import AutofrError, Choice, SearchSpace, SettingsDifferError
from autofr.data import Faces
from autofr.losses import ArcFace
from autofr.runs.journal import Journal

SPACE = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3, 0.5)))


@pytest.fixture(scope="module")
def explored(tiny_faces: Faces, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> autofr.SearchResult:
    return autofr.search(SPACE, tiny_faces, run_dir=tmp_path_factory.mktemp("runs") / "run", **tiny, explore=0.25)


@pytest.mark.search
def test_it_trains_as_many_images_as_it_says(explored: autofr.SearchResult) -> None:
    """4 steps a generation: all four members do one of them, the winner the other three."""
    assert [record.trained for record in explored.records] == [7 / 4] * 4
    assert explored.trainings == 7 / 4
    assert explored.report()["trainings"] == 7 / 4


@pytest.mark.search
def test_the_winner_is_scored_again_when_it_has_gone_on(explored: autofr.SearchResult, tiny_faces: Faces) -> None:
    for record in explored.records:
        assert record.alone is not None
        assert record.alone.keys() == {"sfr", "mfr", "reward"}
        assert record.rewards[record.winner] == max(r for r in record.rewards if r is not None)
        assert record.reward == record.alone["reward"]
    best = Journal(explored.run_dir).best()
    assert best.reward == max(record.reward for record in explored.records)
    assert explored.scores[1] == {key: best.achieved[key] for key in ("sfr", "mfr")}
    for row in explored.lineage:
        record = explored.records[row["generation"]]
        assert record.alone is not None
        assert row["reward_alone"] == (record.alone["reward"] if row["winner"] else None)
    assert any(record.alone["reward"] != record.rewards[record.winner] for record in explored.records if record.alone)


@pytest.mark.search
def test_with_one_loss_under_three_names_it_is_plain_training(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Whoever wins, what the winner trains is every batch once, in order: the weights are a training's, to the bit."""

    class Second(ArcFace):
        pass

    class Third(ArcFace):
        pass

    space = SearchSpace(loss=Choice(ArcFace(0.3), Second(0.3), Third(0.3)))
    autofr.search(space, tiny_faces, run_dir=tmp_path / "search", **tiny, explore=0.5)
    autofr.train(ArcFace(0.3), tiny_faces, run_dir=tmp_path / "train", **tiny)
    one, two = (_last(tmp_path / name) for name in ("search", "train"))
    weights = [name for name in two if not name.startswith("best ") and ".losses." not in name.replace("|", ".")]
    assert len(weights) > 20
    assert all(torch.equal(one[name], two[name]) for name in weights)


def _last(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "checkpoints" / Journal(run_dir).records[-1].checkpoint)


@pytest.mark.search
def test_to_explore_everything_is_to_search_as_ever(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, same_outcome: Any
) -> None:
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "all", **tiny, explore=1.0)
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "plain", **tiny)
    assert same_outcome(tmp_path / "all", tmp_path / "plain")
    assert all(r.alone is None and r.trained == 4 for r in autofr.SearchResult(tmp_path / "all").records)


@pytest.mark.search
def test_a_stopped_run_goes_on_to_the_same_bits(
    explored: autofr.SearchResult, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, same_outcome: Any
) -> None:
    def stop(record: Any) -> None:
        if record.generation == 1:
            raise KeyboardInterrupt

    settings = {**tiny, "run_dir": tmp_path / "run", "explore": 0.25}
    with pytest.raises(KeyboardInterrupt):
        autofr.search(SPACE, tiny_faces, **settings, watch=stop)
    autofr.search(SPACE, tiny_faces, **settings, resume=True)
    assert same_outcome(explored.run_dir, tmp_path / "run")


@pytest.mark.search
def test_a_run_that_was_scored_otherwise_does_not_go_on(
    explored: autofr.SearchResult, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Policies of another version would draw otherwise."""
    config = json.loads((explored.run_dir / "config.json").read_text())
    config["policies"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SettingsDifferError, match=r"cannot resume .* with other settings: policies was 2") as refused:
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path, resume=True, **tiny)
    assert refused.value.names == ("policies", "recipe.explore")


def test_where_it_would_do_nothing_or_harm_it_is_refused(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    networks = SearchSpace(loss=Choice(ArcFace(0.3)), backbone=Choice("ir_mini-w0.25", "ir_mini-w0.5"))
    plain = {key: value for key, value in tiny.items() if key != "backbone"}
    with pytest.raises(AutofrError, match=r"--explore .* weights of other networks would stay behind"):
        autofr.search(networks, tiny_faces, run_dir=tmp_path / "run", **plain, explore=0.5)
    with pytest.raises(AutofrError, match="--explore is for a population"):
        autofr.train(ArcFace(0.3), tiny_faces, run_dir=tmp_path / "run", **tiny, explore=0.5)
    with pytest.raises(AutofrError, match="explore is a share of a generation, above 0, up to 1, got 0"):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **tiny, explore=0)
    assert not (tmp_path / "run").exists()

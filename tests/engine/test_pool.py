"""Any loss in the pool, any policy at the wheel: searches on tiny drawn faces."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import autofr
from autofr import AutofrError, Choice, Range, SearchSpace
from autofr.data import Faces
from autofr.engine import loop
from autofr.losses import LOSSES, AdaFace, ArcFace, CurricularFace, SubCentreArcFace, create_loss


def stopped(monkeypatch: pytest.MonkeyPatch, generation: int) -> None:
    """Make the search stop, as if killed, when it is to train ``generation``."""
    original = loop.train_segment

    def train_segment(*args: Any, **kwargs: Any) -> None:
        if args[3].start // len(args[3]) == generation:
            raise KeyboardInterrupt
        original(*args, **kwargs)

    monkeypatch.setattr(loop, "train_segment", train_segment)


def resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_outcome: Any, run: Any
) -> autofr.SearchResult:
    """``run(run_dir=..., resume=...)`` whole, and stopped before its last generation and resumed: the same bits."""
    whole = run(run_dir=tmp_path / "whole", resume=False)
    with monkeypatch.context() as patch:
        stopped(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            run(run_dir=tmp_path / "stopped", resume=False)
    resumed = run(run_dir=tmp_path / "stopped", resume=True)
    assert same_outcome(whole.run_dir, resumed.run_dir)
    return whole


@pytest.mark.search
def test_every_loss_trains_in_one_population(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    space = SearchSpace(loss=Choice(create_loss(name) for name in LOSSES))
    settings = {**tiny, "epochs": 2, "policy": "random:replacement=False", "population": len(LOSSES)}
    result = autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **settings)
    assert {row["loss"] for row in result.lineage} == set(space.names()["loss"])
    assert all(row["loss_value"] is not None and row["reward"] is not None for row in result.lineage)


@pytest.mark.search
def test_a_pool_with_state_and_several_centres_resumes_exactly(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_outcome: Any
) -> None:
    pool = [AdaFace(0.3), CurricularFace(0.3), SubCentreArcFace(0.3, 2)]
    space = SearchSpace(loss=Choice(pool))
    settings = {**tiny, "policy": "random:replacement=False"}
    result = resumes_exactly(
        tmp_path, monkeypatch, same_outcome, lambda **where: autofr.search(space, tiny_faces, **settings, **where)
    )
    state = load_file(max((result.run_dir / "checkpoints").glob("*.safetensors")))
    assert state["ir_mini-w0.25|centres"].shape == state["ir_mini-w0.25|centres.1"].shape == (8, 16)
    kept = {name.split("losses.")[1] for name in state if "losses." in name}
    assert {"0.norm_mean", "0.norm_std", "0.batches", "1.t"} <= kept


def test_a_loss_with_fewer_centres_leaves_the_others_alone(tiny_faces: Faces) -> None:
    from autofr.data.loader import TrainingBatches
    from autofr.data.sources import FacesSource
    from autofr.engine.member import Member
    from autofr.training.recipe import Recipe

    space = SearchSpace(loss=Choice(ArcFace(0.3), SubCentreArcFace(0.3, 3)))
    recipe = Recipe(backbone="ir_mini-w0.25", image_size=32, embedding_dim=16)
    member = Member(0, recipe.backbone, space, recipe, 12, torch.device("cpu"))
    batch = next(TrainingBatches(FacesSource(tiny_faces, 8, 0), 0.0, 0, torch.device("cpu")).batches(0, 1))
    # In the end too, when the others have momentum.
    for loss, moved in ((0, [True, False, False]), (1, [True, True, True]), (0, [True, False, False])):
        before = [block.detach().clone() for block in member.centres]
        member.begin(loss)
        member.step(batch, lr=0.1, ramp=1.0)
        assert [not torch.equal(a, b) for a, b in zip(member.centres, before, strict=True)] == moved


@pytest.mark.search
@pytest.mark.parametrize("policy", ["lfs_gaussian", "optuna:TPESampler,n_startup_trials=2", "thompson", "exp3"])
def test_a_margin_between_bounds_is_searched_and_resumes_exactly(
    policy: str,
    tiny_faces: Faces,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_outcome: Any,
) -> None:
    space = SearchSpace(loss=Range(ArcFace, bins=4, m=(0.0, 0.4)))
    settings = {**tiny, "policy": policy}
    result = resumes_exactly(
        tmp_path, monkeypatch, same_outcome, lambda **where: autofr.search(space, tiny_faces, **settings, **where)
    )
    margins = [float(row["loss"].removeprefix("ArcFace(m=").removesuffix(")")) for row in result.lineage]
    assert all(0 <= m <= 0.4 for m in margins)
    assert len(set(margins)) > 8
    assert result.alpha.shape == (4, 4)
    middles = ["ArcFace(m=0.05)", "ArcFace(m=0.15)", "ArcFace(m=0.25)", "ArcFace(m=0.35)"]
    assert result.best["loss"] == middles[int(result.alpha[-1].argmax())]
    assert str(create_loss(result.best["loss"])) == result.best["loss"]  # ready to be trained with
    record = result.records[1]
    assert record.assignments[0]["loss"] == pytest.approx(margins[4], abs=1e-4)


def test_the_drawn_margin_is_the_one_trained_with(tiny_faces: Faces) -> None:
    from autofr.engine.population import Population
    from autofr.runs.bank import WeightBank
    from autofr.training.recipe import Recipe

    space = SearchSpace(loss=Range(ArcFace, m=(0.0, 0.4)))
    recipe = Recipe(backbone="ir_mini-w0.25", image_size=32, embedding_dim=16)
    population = Population(space, recipe, 2, 12, 0, torch.device("cpu"))
    members = population.take([{"loss": 0.125}, {"loss": 0.375}], WeightBank())
    assert [str(member.loss) for member in members] == ["ArcFace(m=0.125, s=64)", "ArcFace(m=0.375, s=64)"]


def test_a_policy_that_cannot_serve_the_space_is_refused_before_anything_is_written(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.2)))
    with pytest.raises(AutofrError, match="only options"):
        autofr.search(space, tiny_faces, run_dir=tmp_path / "run", policy="lfs_gaussian", **tiny)
    assert not (tmp_path / "run").exists()


class Unruly(ArcFace):
    """A loss whose forward does not take the norms."""

    def forward(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(cosines, labels)


def test_a_loss_that_cannot_be_called_is_refused_before_anything_is_written(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1), Unruly(0.2)))
    with pytest.raises(AutofrError, match=r"loss option 'Unruly\(m=0.2\)' fails on a batch: TypeError"):
        autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert not (tmp_path / "run").exists()


class Vector(ArcFace):
    """A loss that gives one value a row."""

    def forward(self, cosines: torch.Tensor, labels: torch.Tensor, norms: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(cosines, labels, norms).repeat(len(cosines))


class Deaf(ArcFace):
    """A loss that computes from its margin when it is made."""

    def __init__(self, m: float) -> None:
        super().__init__(m)
        self.paid = m

    def target(self, cosine: torch.Tensor) -> torch.Tensor:
        return cosine - self.paid


def test_losses_that_would_not_do_what_they_say_are_refused(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(AutofrError, match="gives no scalar"):
        autofr.search(SearchSpace(loss=Choice(Vector(0.2), ArcFace(0.2))), tiny_faces, run_dir=tmp_path / "a", **tiny)
    with pytest.raises(AutofrError, match="Deaf does not heed a change of its attribute 'm'"):
        autofr.search(SearchSpace(loss=Range(Deaf, m=(0.1, 0.4))), tiny_faces, run_dir=tmp_path / "b", **tiny)


@pytest.mark.search
def test_other_bounds_and_older_policies_are_not_resumed(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(high: float, resume: bool) -> None:
        space = SearchSpace(loss=Range(ArcFace, m=(0.0, high)))
        autofr.search(space, tiny_faces, run_dir=tmp_path / "run", resume=resume, **{**tiny, "epochs": 1})

    search(0.5, resume=False)
    with pytest.raises(AutofrError, match=r"space\.ranges\.loss was"):
        search(0.50001, resume=True)
    monkeypatch.setattr("autofr.engine.request.POLICIES", 99)
    with pytest.raises(AutofrError, match="policies was 3, is 99"):
        search(0.5, resume=True)


@pytest.mark.parametrize(
    ("settings", "told"), [({"population": 2.5}, "a whole number, got 2.5"), ({"policy": None}, "named by a string")]
)
def test_arguments_of_the_wrong_type_are_told(settings: dict[str, Any], told: str, tiny_faces: Faces) -> None:
    with pytest.raises(AutofrError, match=told):
        autofr.search(SearchSpace(loss=Choice(ArcFace(0.1))), tiny_faces, **settings)


@pytest.mark.search
def test_training_takes_a_description(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    result = autofr.train("adaface:m=0.3,h=0.5", tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert result.best == {"loss": "AdaFace(m=0.3, h=0.5)"}
    with pytest.raises(AutofrError, match="did you mean arcface"):
        autofr.train("arcfase", tiny_faces, run_dir=tmp_path / "other", **tiny)

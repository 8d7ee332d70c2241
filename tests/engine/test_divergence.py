"""A member that diverges or fails harms no other: shown with options that are built to."""

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import autofr
from autofr import AutofrError, Choice, SearchSpace
from autofr.data import Faces
from autofr.engine import loop
from autofr.losses import ArcFace, MarginLoss
from autofr.policies.base import CategoricalPolicy
from autofr.runs.journal import Journal


class Bad(MarginLoss):
    """A softmax loss that goes wrong in one of many ways, from its ``calls``-th training step on.

    Args:
        way: how.
        calls: how often it behaves first.
    """

    def __init__(self, way: str, calls: int = 2) -> None:
        super().__init__()
        self.way, self.calls = way, calls
        self.register_buffer("seen", torch.zeros(()))

    def settings(self) -> dict[str, Any]:
        return {"way": self.way}

    def target(self, cosine: Tensor) -> Tensor:
        return cosine

    def forward(self, cosines: Tensor, labels: Tensor, norms: Tensor | None = None) -> Tensor:
        value = super().forward(cosines, labels, norms)
        if not cosines.requires_grad:  # it is being tried out
            return value
        self.seen += 1
        if self.seen <= self.calls:
            return value
        if self.way == "NaN":
            return value * math.nan
        if self.way == "infinite":
            return value * math.inf
        if self.way == "explodes":
            return value * 1e4
        if self.way == "infinite gradient":  # of a loss that looks well: 0 times infinity
            return value + (cosines.sum() - cosines.sum().detach()) * math.inf * 0
        if self.way == "NaN in its state":
            self.seen *= math.nan
            return value
        raise RuntimeError("no batch like this\nsecond line")


pytestmark = pytest.mark.search
WAYS = ["NaN", "infinite", "explodes", "infinite gradient", "NaN in its state", "raises"]
TOLD = {
    "NaN": "diverged: its loss is nan",
    "infinite": "diverged: its loss is ",
    "explodes": "diverged: its loss went from",
    "infinite gradient": "diverged: ",
    "NaN in its state": "diverged: losses.1.seen is not finite",
    "raises": "failed: RuntimeError: no batch like this",
}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members draw the first option, the second, the first, the second."""
    monkeypatch.setattr(CategoricalPolicy, "ask", lambda self, n: [{"loss": i % 2} for i in range(n)])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("turns")
def test_a_bad_member_harms_no_other(way: str, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    """The worst reward, and nothing that is not finite in bank, policy or journal."""
    space = SearchSpace(loss=Choice(ArcFace(0.2), Bad(way)))
    result = autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **tiny)
    for record in result.records:
        assert record.winner in (0, 2)
        assert [r is None for r in record.rewards] == [False, True, False, True]
        assert [t is None for t in record.troubles] == [True, False, True, False]
        assert str(record.troubles[1]).startswith(TOLD[way])
        assert all(math.isfinite(p) for p in record.alpha["loss"])
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        assert all(bool(t.isfinite().all()) for t in load_file(file).values() if t.is_floating_point())
    assert result.alpha[-1][1] < 0.5
    assert [row["trouble"] for row in result.lineage[:4]] == result.records[0].troubles


@pytest.mark.usefixtures("turns")
@pytest.mark.parametrize("way", WAYS)
def test_the_others_train_as_if_it_were_not_there(
    way: str, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Beside a bad member, or beside another of their own kind: the winner's weights are the same bits."""
    for name, other in (("bad", Bad(way)), ("good", ArcFace(0.2))):
        space = SearchSpace(loss=Choice(ArcFace(0.2), other if name == "bad" else ArcFace(0.2, s=24.0)))
        autofr.search(space, tiny_faces, run_dir=tmp_path / name, **tiny)
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("bad", "good"))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("way", ["NaN", "infinite", "explodes", "infinite gradient", "NaN in its state"])
def test_all_bad_is_rolled_back_once_then_an_error(
    way: str,
    tiny_faces: Faces,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[str],
) -> None:
    rates = []
    train = loop.train_segment

    def train_segment(*arguments: Any) -> None:
        rates.append((arguments[3].start // 4, arguments[5]))
        train(*arguments)

    monkeypatch.setattr(loop, "train_segment", train_segment)
    monkeypatch.setattr(CategoricalPolicy, "ask", lambda self, n: [{"loss": 0}] * n)
    space = SearchSpace(loss=Choice(Bad(way, calls=9), ArcFace(0.1)))
    with pytest.raises(
        AutofrError, match=r"^every member diverged \(the first diverged: .*\), also at half .*lower --lr"
    ):
        autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert rates == [(0, 1.0), (1, 1.0), (2, 1.0), (2, 0.5)]  # 4 steps a generation: the third meets the tenth call
    assert Journal(tmp_path / "run").next_generation == 2
    assert sum("rolled back, the learning rate halved" in line for line in logged) == 1
    assert not any("--resume" in line or "resume=" in line for line in logged)  # it would diverge again


def test_half_the_learning_rate_can_be_what_it_takes(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comparable: Any
) -> None:
    """The search goes on at half the rate to its end, and so it does when it is resumed in between."""
    train = loop.train_segment
    stopped = False

    def fragile(*arguments: Any) -> None:
        if stopped and arguments[3].start == 12:
            raise KeyboardInterrupt
        train(*arguments)
        if arguments[3].start >= 4 and arguments[5] == 1.0:
            for member in arguments[0]:
                member._sum = member._sum * math.nan

    monkeypatch.setattr(loop, "train_segment", fragile)
    space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.3)))
    result = autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert [r.lr_scale for r in result.records] == [1.0, 0.5, 0.5, 0.5]
    stopped = True
    with pytest.raises(KeyboardInterrupt):
        autofr.search(space, tiny_faces, run_dir=tmp_path / "again", **tiny)
    stopped = False
    autofr.search(space, tiny_faces, run_dir=tmp_path / "again", resume=True, **tiny)
    assert comparable(tmp_path / "run") == comparable(tmp_path / "again")


def test_if_all_fail_it_is_their_own_error(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a divergence: a mistake in the user's code, shown where it is."""
    monkeypatch.setattr(CategoricalPolicy, "ask", lambda self, n: [{"loss": 0}] * n)
    with pytest.raises(RuntimeError, match="no batch like this"):
        autofr.search(
            SearchSpace(loss=Choice(Bad("raises"), ArcFace(0.1))), tiny_faces, run_dir=tmp_path / "run", **tiny
        )


def test_a_loss_that_rises_with_the_ramp_has_not_exploded(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """A large margin at the published scale, ramped in within one generation, is the steepest rise there is."""
    asked = tiny | {"scale": 64.0, "warmup": 1.0, "epochs": 2}
    result = autofr.train(ArcFace(1.0), tiny_faces, run_dir=tmp_path / "run", **asked)
    assert [r.troubles for r in result.records] == [[None], [None]]


@pytest.mark.parametrize("broken", [1, 4])
def test_when_a_winner_diverges_alone_the_next_best_goes_on(
    broken: int, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when all of them do, the generation is rolled back; the policy, the bank and the bar are as before it."""
    train, bad, moved = loop.train_segment, [], []

    def fragile(*arguments: Any) -> None:
        train(*arguments)
        if arguments[3].start == 6 and len(bad) < broken:  # a winner of the second generation, alone
            bad.extend(arguments[0])
            bad[-1]._sum = bad[-1]._sum * math.nan

    monkeypatch.setattr(loop, "train_segment", fragile)
    monkeypatch.setattr(
        "autofr.console.Display.bar",
        lambda self, name, total: contextlib.nullcontext(lambda steps: moved.append(steps)),
    )
    space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.3)))
    result = autofr.search(space, tiny_faces, run_dir=tmp_path / "run", **tiny, explore=0.5)
    assert sum(moved) == 16
    second = result.records[1]
    if broken == 1:
        assert [r.lr_scale for r in result.records] == [1.0] * 4
        failed = bad[0].index
        assert second.rewards[failed] is None
        assert second.troubles[failed] == "alone, diverged: its loss is nan"
        assert second.winner != failed
        assert second.alone is not None
        assert second.rewards[second.winner] == max(r for r in second.rewards if r is not None)
    else:
        assert len({member.index for member in bad}) == 4
        assert [r.lr_scale for r in result.records] == [1.0, 0.5, 0.5, 0.5]
    monkeypatch.undo()
    autofr.search(space, tiny_faces, run_dir=tmp_path / "whole", **tiny, explore=0.5)
    whole = autofr.SearchResult(tmp_path / "whole").records
    assert whole[0].policy == result.records[0].policy
    assert whole[1].assignments == second.assignments

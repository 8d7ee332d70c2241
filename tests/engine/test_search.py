"""The whole search, in this process, on tiny drawn faces."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import autofr
from autofr import AutofrError, Choice, SearchSpace
from autofr.data import Faces
from autofr.engine import loop
from autofr.losses import ArcFace
from autofr.runs.journal import Journal

SPACE = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3, 0.5)))


@pytest.fixture(scope="module")
def finished(tiny_faces: Faces, tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    autofr.search(SPACE, tiny_faces, run_dir=run_dir, **tiny)
    return run_dir


@pytest.mark.search
def test_the_result_tells_what_happened(finished: Path) -> None:
    result = autofr.SearchResult(finished)
    assert result.alpha.shape == (4, 3)
    np.testing.assert_allclose(result.alpha.sum(1), 1)
    np.testing.assert_allclose(result.alpha[:2], 1 / 3)  # the warm-up
    assert (result.alpha[2] != result.alpha[1]).any()
    assert result.best == {"loss": result.options[int(result.alpha[-1].argmax())][1]}
    before, after = result.scores
    assert all(0 <= v <= 1 for v in (*before.values(), *after.values()) if v is not None)
    assert len(result.lineage) == 4 * 4
    for row in result.lineage:
        winner_before = [
            r["member"] for r in result.lineage if r["generation"] == row["generation"] - 1 and r["winner"]
        ]
        assert row["parent"] == (winner_before[0] if winner_before else None)
        mates = [r["reward"] for r in result.lineage if r["generation"] == row["generation"]]
        assert row["winner"] == (mates.index(max(mates)) == row["member"])


@pytest.mark.search
def test_the_run_directory_holds_what_people_look_at(finished: Path) -> None:
    from PIL import Image

    for name in ("alpha.png", "lineage.png", "masks.png"):
        with Image.open(finished / name) as image:
            assert image.size[0] > 200
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 5
    report = json.loads((finished / "report.json").read_text())
    assert report["best"] == autofr.SearchResult(finished).best
    assert math.isclose(sum(report["alpha"].values()), 1)
    assert report["config"]["recipe"]["epochs"] == 4


@pytest.mark.search
def test_the_checkpoint_is_the_best_generation_and_embeds(finished: Path, tiny_faces: Faces) -> None:
    embedder = autofr.load_embedder(finished)
    record = Journal(finished).best()
    bank = load_file(finished / "checkpoints" / record.checkpoint)
    for name, tensor in embedder.backbone.state_dict().items():
        assert torch.equal(tensor, bank[f"best {record.keys[record.winner]}|{name}"])
    embedding = embedder(tiny_faces.read(torch.arange(3)).float() / 255)
    assert embedding.shape == (3, 16)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


@pytest.mark.search
def test_the_same_seed_gives_the_same_bits(
    finished: Path,
    tiny_faces: Faces,
    tiny: dict[str, Any],
    tmp_path: Path,
    same_outcome: Any,
) -> None:
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "again", **tiny)
    assert same_outcome(finished, tmp_path / "again")
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "other", seed=1, **tiny)
    assert not same_outcome(finished, tmp_path / "other")


@pytest.mark.search
@pytest.mark.parametrize("stop", [0, 1, 3])
@pytest.mark.parametrize("where", ["train_segment", "commit", "clean_up"])
def test_a_stopped_run_goes_on_to_the_same_bits(
    finished: Path,
    tiny_faces: Faces,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: int,
    where: str,
    same_outcome: Any,
) -> None:
    """Stopped in training, between checkpoint and record, and between record and clean-up of generation ``stop``."""

    class Stopped(BaseException):
        pass

    if where == "train_segment":
        original = loop.train_segment

        def train_segment(*args: Any, **kwargs: Any) -> None:
            original(*args, **kwargs)
            if args[3].start // len(args[3]) == stop:
                raise Stopped

        monkeypatch.setattr(loop, "train_segment", train_segment)
    elif where == "commit":

        def hashed(path: Path) -> str:
            if path.name == f"gen-{stop:04d}.safetensors":
                raise Stopped
            return original_hash(path)

        from autofr.runs import journal

        original_hash = journal.sha256
        monkeypatch.setattr(journal, "sha256", hashed)
    else:

        def clean_up(self: Journal) -> None:
            if self.next_generation == stop + 1:
                raise Stopped

        monkeypatch.setattr(Journal, "_clean_up", clean_up)
    run_dir = tmp_path / "run"
    with pytest.raises(Stopped):
        autofr.search(SPACE, tiny_faces, run_dir=run_dir, **tiny)
    monkeypatch.undo()
    autofr.search(SPACE, tiny_faces, run_dir=run_dir, resume=True, **tiny)
    assert same_outcome(finished, run_dir)


@pytest.mark.search
def test_resuming_a_finished_run_changes_nothing(
    finished: Path,
    tiny_faces: Faces,
    tiny: dict[str, Any],
    tmp_path: Path,
    comparable: Any,
) -> None:
    before = comparable(finished)
    result = autofr.search(SPACE, tiny_faces, run_dir=finished, resume=True, **tiny)
    assert comparable(finished) == before
    assert result.run_dir == finished


@pytest.mark.search
def test_resuming_with_other_settings_lists_them(finished: Path, tiny_faces: Faces, tiny: dict[str, Any]) -> None:
    with pytest.raises(AutofrError, match=r"recipe\.lr was 0\.1, is 0\.2; seed was 0, is 1; take those"):
        autofr.search(SPACE, tiny_faces, run_dir=finished, resume=True, seed=1, lr=0.2, **tiny)
    other = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3, 0.4)))
    with pytest.raises(AutofrError, match=r"space\.options\.loss was .*0\.5.*, is .*0\.4"):
        autofr.search(other, tiny_faces, run_dir=finished, resume=True, **tiny)
    with pytest.raises(AutofrError, match=r"data\.fingerprint was"):
        autofr.search(SPACE, tiny_faces.subset(torch.arange(47)), run_dir=finished, resume=True, **tiny)


@pytest.mark.search
@pytest.mark.parametrize("reward", ["fnmr", "det_area"])
def test_members_are_compared_by_the_reward_that_was_asked_for(
    reward: str, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    found = autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **{**tiny, "epochs": 1}, reward=reward)
    (record,) = found.records
    errors = [0.75 * (score["mfr"] or 0) + 0.25 * (score["sfr"] or 0) for score in record.scores]
    by_fnmr = [r == pytest.approx(-error) for r, error in zip(record.rewards, errors, strict=True)]
    assert by_fnmr == [reward == "fnmr"] * 4


@pytest.mark.search
def test_train_is_a_search_of_one_option(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    result = autofr.train(ArcFace(0.3), tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert result.alpha.tolist() == [[1.0]] * 4
    assert {row["member"] for row in result.lineage} == {0}


@pytest.mark.search
def test_backbones_are_searched_too(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.3)), backbone=Choice("ir_mini-w0.25", "ir_mini-w0.5"))
    result = autofr.search(
        space, tiny_faces, run_dir=tmp_path / "run", **{k: v for k, v in tiny.items() if k != "backbone"}
    )
    assert result.alpha.shape == (4, 3)
    assert autofr.load_embedder(result.checkpoint).config["backbone"] in ("ir_mini-w0.25", "ir_mini-w0.5")


@pytest.mark.search
def test_random_policy_leaves_alpha_equal(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    result = autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", policy="random", **tiny)
    np.testing.assert_allclose(result.alpha, 1 / 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"population": 1}, "2 members or more"),
        ({"policy": "lsf"}, "unknown policy 'lsf'; did you mean lfs"),
        ({"policy": "fixed"}, "trains one option"),
        ({"backbone": "ir_minni"}, "did you mean ir_mini"),
        ({"device": "cuda:7"}, "no CUDA device"),
        ({"device": "warp"}, "unknown device"),
        ({"validation_identities": 1}, "2 identities or more"),
        ({"validation_identities": 2, "fmr": 1e-3}, "raise --fmr or --validation-identities"),
        ({"lr": -1.0}, "lr must be above 0"),
        ({"learning_rate": 1.0}, "unknown setting 'learning_rate'"),
        ({"landmarks": "x.npz"}, "goes with --data"),
        ({"resume": True}, "nothing to resume"),
        ({"seed": -1}, "a seed is 0 or more"),
        ({"warmup": float("inf")}, "warmup must be a finite number"),
        ({"space": "arcface_margin"}, "unknown space 'arcface_margin'; did you mean arcface_margins"),
        ({"space": SearchSpace(loss=Choice("ArcFace"))}, "not a MarginLoss"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    settings = {"space": SPACE, "data": tiny_faces, "run_dir": tmp_path / "run", **tiny, **changed}
    with pytest.raises(AutofrError, match=message):
        autofr.search(**settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.search
def test_a_run_with_masks_of_another_version_does_not_resume(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **tiny)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for older in (config | {"masks": 1}, {k: v for k, v in config.items() if k != "masks"}):
        (tmp_path / "run" / "config.json").write_text(json.dumps(older))
        with pytest.raises(AutofrError, match=r"masks was (1|None), is 2"):
            autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", resume=True, **tiny)


def test_train_chooses_its_own_policy(tiny_faces: Faces) -> None:
    with pytest.raises(AutofrError, match="train sets policy, population itself"):
        autofr.train(ArcFace(0.3), tiny_faces, policy="lfs", population=3)


def test_a_damaged_configuration_is_told(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AutofrError, match="is damaged"):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path, resume=True, **tiny)
    (tmp_path / "config.json").write_text('{"backbone": "ir_mini"}')
    with pytest.raises(AutofrError, match="no configuration of a run"):
        autofr.search(SPACE, tiny_faces, run_dir=tmp_path, resume=True, **tiny)


@pytest.mark.search
def test_an_existing_run_directory_needs_resume(finished: Path, tiny_faces: Faces, tiny: dict[str, Any]) -> None:
    with pytest.raises(AutofrError, match=r"exists; go on with --resume"):
        autofr.search(SPACE, tiny_faces, run_dir=finished, **tiny)


@pytest.mark.search
def test_faces_without_landmarks_need_mask_prob_0(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    from dataclasses import replace

    bare = replace(tiny_faces, landmarks=None)
    with pytest.raises(AutofrError, match="--mask-prob 0"):
        autofr.search(SPACE, bare, run_dir=tmp_path / "run", **tiny)
    result = autofr.search(SPACE, bare, run_dir=tmp_path / "run", mask_prob=0.0, **tiny)
    assert result.scores[1]["mfr"] is None
    assert not (tmp_path / "run" / "masks.png").exists()


@pytest.mark.search
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["sha256", "append_durably"])
def test_told_to_stop_amid_a_commit_it_ends_the_commit(
    finished: Path,
    tiny_faces: Faces,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    where: str,
    same_outcome: Any,
) -> None:
    from autofr.runs import journal

    original, commits = getattr(journal, where), []

    def told(*arguments: Any) -> Any:
        commits.append(where)
        if len(commits) == (2 if where == "sha256" else 3):  # a line is appended twice, to journal and copy
            os.kill(os.getpid(), number)
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(journal, where, told)
        with pytest.raises(KeyboardInterrupt):
            autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **tiny)
    assert len(Journal(tmp_path / "run").sound().records) == 2
    assert not list((tmp_path / "run" / "checkpoints").glob("*tmp*"))
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", resume=True, **tiny)
    assert same_outcome(finished, tmp_path / "run")

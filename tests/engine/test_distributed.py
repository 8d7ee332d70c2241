"""The mesh: real processes, with gloo, on one machine; by torchrun where its part in it is tested."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import autofr
from autofr import AutofrError, Choice, SearchSpace
from autofr.cli import main
from autofr.compute.mesh import ALONE, Shape, joined, local_device, parts
from autofr.console import Display
from autofr.data import Faces
from autofr.engine.check_losses import check_shared
from autofr.engine.prepare import prepare
from autofr.losses import LOSSES, ArcFace
from autofr.runs.bank import Entry, WeightBank
from autofr.runs.bank_file import load_bank, save_bank
from autofr.system.torchrun import cores, is_this_job
from tests.paths import RANKS, REPOSITORY
from tests.processes import command_line, run_autofr, run_ranks, script

SETTINGS = "--epochs=2 --segment=1 --backbone=ir_mini-w0.25 --image-size=32 --embedding-dim=16 --batch-size=16"
SETTINGS += " --no-tracking --device cpu --fmr 0.1 --validation-identities 4"
IDENTITIES = 24


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, write_faces: Callable[..., Path]) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces") / "faces", IDENTITIES, 4, 32)


@pytest.fixture
def search(faces: Path) -> list[str]:
    """The arguments of a search."""
    return f"search --space arcface_margins {SETTINGS}".split() + [f"--data={faces}"]


def torchrun(ranks: int, *arguments: str, restarts: int = 0, status: int = 0) -> str:
    """Run a script, or a module, by torchrun to its end; return what all ranks printed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command += [f"--max-restarts={restarts}", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == status, done.stdout[-3000:]
    return done.stdout


def on_ranks(ranks: int, *arguments: str) -> str:
    """Run the command line on so many ranks, without torchrun; return what all ranks printed."""
    return printed(run_ranks(ranks, command_line, list(arguments)))


def printed(ranks: list[subprocess.CompletedProcess[str]]) -> str:
    for done in ranks:
        assert done.returncode == 0, done.stderr[-3000:]
    return "".join(done.stdout for done in ranks)


def alone(*arguments: str) -> None:
    done = run_autofr(*arguments, environment={"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("member=4,data=2", Shape(4, 2)),
        ("data=2,member=4", Shape(4, 2)),
        ("member=3", Shape(3, 1)),
        ("data=8", Shape(None, 8)),
    ],
)
def test_a_shape(text: str, shape: Shape) -> None:
    assert Shape.parse(text) == shape


@pytest.mark.parametrize(
    "text", ["", "4x2", "member=", "member=4,", "member=-1", "data=0", "member=2,member=2", "rank=2"]
)
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(AutofrError, match="a mesh"):
        Shape.parse(text)


def test_which_numbers_of_processes_fit() -> None:
    shape = Shape(4, 2)
    assert [shape.groups(4, ranks) for ranks in (2, 4, 8)] == [1, 2, 4]
    for ranks in (1, 3, 6, 16):
        with pytest.raises(AutofrError, match=f"{ranks} processes do not fit .* start 2, 4, 8"):
            shape.groups(4, ranks)
    with pytest.raises(AutofrError, match="member=4, and the population 3 members"):
        shape.groups(3, 2)


def test_parts_are_even_and_in_order() -> None:
    for count in range(20):
        for ranks in range(1, 8):
            shares = parts(count, ranks)
            assert [i for share in shares for i in share] == list(range(count))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_is_a_mesh() -> None:
    assert ALONE.lead
    assert not ALONE.several
    assert all(ALONE.holds(member) for member in range(9))
    assert ALONE.gathered({1: "b", 0: "a"}) == ["a", "b"]
    assert ALONE.decided(lambda: 3) == 3


@pytest.mark.search
def test_the_population_is_what_the_mesh_says(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    asked = tiny | {"epochs": 1}
    found = autofr.search("arcface_margins", tiny_faces, run_dir=tmp_path / "run", mesh="member=3", **asked)
    assert found.config["population"] == 3
    with pytest.raises(AutofrError, match="member=3, and the population 2 members: leave member out"):
        autofr.search("arcface_margins", tiny_faces, run_dir=tmp_path / "other", mesh="member=3", population=2, **asked)


def test_a_mesh_without_torchrun(search: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([*search, "--mesh", "member=4,data=2", f"--run-dir={tmp_path / 'run'}"]) == 2
    assert "--mesh member=4,data=2 needs 2 processes or more: start autofr by torchrun" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_devices_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_device("cuda:1") == "cuda:1"
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "5"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert local_device("cuda") == "cuda:1"
    assert local_device("cpu") == "cpu"
    with pytest.raises(AutofrError, match="every rank on one device"):
        local_device("cuda:0")


def test_no_nccl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: False)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0")):
        monkeypatch.setenv(name, value)
    with pytest.raises(AutofrError, match="this PyTorch has no NCCL"), joined(Shape(data=2), 1, torch.device("cuda")):
        pass


@pytest.mark.distributed
@pytest.mark.slow
def test_devices_of_two_kinds() -> None:
    out = torchrun(2, str(RANKS / "mixed_devices.py"))
    for rank in range(2):
        assert f"rank {rank}: rank 0 is on cpu and rank 1 on meta; name one with --device" in out
    assert "joined" not in out


def test_cores_are_shared_with_the_jobs_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)))
    assert cores() == 12
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_WORLD_SIZE", "5")):
        monkeypatch.setenv(name, value)
    assert cores() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert cores() == 1


def test_whose_run_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    assert is_this_job({"job": "mine"})
    assert not is_this_job({"job": "other"})
    assert not is_this_job({})
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert not is_this_job({"job": "none", "started": 1e9})
    assert is_this_job({"job": "none", "started": time.time()})


def test_a_loss_that_does_not_go_by_parts_is_refused_where_ranks_share_its_classes() -> None:
    """Without the check, it would be taken for a softmax."""
    space = SearchSpace(loss=Choice(ArcFace(0.1), Whole(0.2)))
    with pytest.raises(AutofrError, match=r"'Whole\(m=0.2\)' gives forward alone, and ranks cannot share its classes"):
        prepare(space, {}, Display(False), mesh=replace(ALONE, data=2))
    check_shared(SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.2))))


class Whole(ArcFace):
    def forward(self, cosines: torch.Tensor, labels: torch.Tensor, norms: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(cosines, labels, norms) * 2


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_class_centres_on_several_ranks_are_those_of_one(ranks: int) -> None:
    out = printed(run_ranks(ranks, script, RANKS / "partial_fc.py", str(ranks)))
    assert f"{len(LOSSES)} losses and a sample on {ranks} ranks: the same" in out


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--explore=0.5"]], ids=["whole generations", "the winner alone"])
def test_members_on_several_ranks_are_those_of_one_process(
    more: list[str], search: list[str], tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    """The same decisions and the same weights, bit for bit; one rank tells of it."""
    alone(*search, *more, f"--run-dir={tmp_path / 'one'}")
    out = on_ranks(2, *search, *more, f"--run-dir={tmp_path / 'two'}", "--mesh=member=4")
    assert out.count("search result") == 1
    assert same_outcome(tmp_path / "one", tmp_path / "two")


@pytest.mark.distributed
@pytest.mark.slow
def test_an_elastic_network_is_the_mean_over_members_of_all_ranks(
    search: list[str], tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    space = tmp_path / "slices.py"
    space.write_text(
        "from autofr import Choice, Elastic, SearchSpace\nfrom autofr.losses import ArcFace\n"
        "space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.3)), backbone=Elastic(\n"
        "    'iresnet:widths=32-64,stem=2', depth=('1-1', '1-2'), width=(0.5, 1.0), kernel=(3, 5)))\n"
    )
    settings = ["search", f"--space={space}", *(word for word in search[3:] if "backbone" not in word)]
    alone(*settings, f"--run-dir={tmp_path / 'one'}")
    on_ranks(2, *settings, f"--run-dir={tmp_path / 'two'}")
    assert same_outcome(tmp_path / "one", tmp_path / "two")


@pytest.mark.distributed
@pytest.mark.slow
def test_a_rank_is_killed_and_the_job_goes_on(
    search: list[str], tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    """In mid-generation; torchrun starts all again. One process alone ends to the same bits."""
    longer = [word.replace("--epochs=2", "--epochs=4") for word in search]
    run = tmp_path / "run"
    rank = [str(RANKS / "command_line.py"), "killed", "2"]
    out = torchrun(2, *rank, *longer, f"--run-dir={run}", "--mesh=member=4,data=1", restarts=3)
    assert "resuming" in out
    alone(*longer, f"--run-dir={tmp_path / 'one'}")
    assert same_outcome(run, tmp_path / "one")


@pytest.mark.distributed
@pytest.mark.slow
def test_another_number_of_processes_goes_on(
    search: list[str], tmp_path: Path, comparable: Callable[[Path], list[dict[str, Any]]]
) -> None:
    """Four processes of two partners each; then two; then one, which reads all class centres; it all carries on."""
    run, half = tmp_path / "run", ["--mesh=data=2", f"--run-dir={tmp_path / 'run'}"]
    longer = [word.replace("--epochs=2", "--epochs=6") for word in search]
    stopped = [str(RANKS / "command_line.py"), "stopped", "2"]
    torchrun(4, *stopped, *longer, *half, status=1)
    assert len(comparable(run)) == 2
    files = {file.name for file in (run / "checkpoints").iterdir()}
    assert any("shard-1-of-2" in name for name in files)
    whole = load_bank(max(f for f in (run / "checkpoints").glob("gen-*.safetensors") if "shard" not in f.name))
    (entry,) = whole.entries.values()
    assert entry.state["centres"].shape == entry.state["momentum.centres"].shape
    assert json.loads((run / "config.json").read_text())["data"]["identities"] == IDENTITIES
    assert len(entry.state["centres"]) == IDENTITIES - 4
    torchrun(2, *stopped, "search", f"--resume={run}", "--mesh=data=2", "--no-tracking", status=1)
    before = comparable(run)
    assert len(before) == 4
    alone("search", f"--resume={run}", "--no-tracking")
    assert comparable(run)[: len(before)] == before
    assert len(comparable(run)) == 6
    assert not [f for f in (run / "checkpoints").iterdir() if "shard" in f.name and f.name > "gen-0004"]


@pytest.mark.distributed
@pytest.mark.slow
def test_a_number_of_processes_that_does_not_fit_is_refused_at_once(search: list[str], tmp_path: Path) -> None:
    arguments = ["-m", "autofr", *search, f"--run-dir={tmp_path / 'run'}", "--mesh=member=4,data=1"]
    out = torchrun(3, *arguments, status=1)
    told = "autofr: error: 3 processes do not fit a mesh of member=4,data=1: start 1, 2, 4"
    assert out.count(told) == 1
    assert not (tmp_path / "run").exists()


def test_shards_of_centres_are_read_by_any_number_of_ranks(tmp_path: Path) -> None:
    """What two partners write, three read, and one."""
    rows = torch.arange(22.0).view(11, 2)
    state = {"centres": rows, "momentum.centres": rows + 100, "backbone.w": torch.ones(3)}
    path = tmp_path / "gen-0000.safetensors"
    save_bank(path, _bank(state))
    for ranks in (1, 2, 3, 11):
        parts_read = [load_bank(path, _rank(ranks, part)).entries["net"].state for part in range(ranks)]
        for name in ("centres", "momentum.centres"):
            assert torch.equal(torch.cat([part[name] for part in parts_read]), state[name])
        assert all(torch.equal(part["backbone.w"], state["backbone.w"]) for part in parts_read)


def _bank(state: dict[str, torch.Tensor]) -> WeightBank:
    bank = WeightBank()
    bank.entries["net"] = Entry(state, 0, 0)
    return bank


def _rank(ranks: int, part: int) -> Any:
    return replace(ALONE, data=ranks, part=part)

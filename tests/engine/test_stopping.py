"""Searches that are told to stop, meet each other, or lose their disk: real processes, signals and file systems."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.processes import Process, autofr_process, run_autofr, until_stopped

TINY = ["--epochs", "4", "--batch-size", "8", "--backbone", "ir_mini-w0.25", "--embedding-dim", "16", "--image-size"]
TINY += ["32", "--fmr", "0.1", "--validation-identities", "3", "--device", "cpu", "--no-tracking"]
pytestmark = [pytest.mark.slow, pytest.mark.kill]


def search_arguments(folder: Path, run_dir: Path) -> list[str]:
    arguments = ["search", "--space", "arcface_margins", "--data", folder, *TINY, "--run-dir", run_dir]
    return [str(argument) for argument in arguments]


def search(folder: Path, run_dir: Path) -> Process:
    """A search that stops itself in the third of its four generations, after two commits."""
    process = autofr_process(*search_arguments(folder, run_dir), stop_after=2)
    until_stopped(process)
    return process


def finish(run_dir: Path) -> str:
    resumed = run_autofr("search", "--resume", run_dir, "--no-tracking")
    assert resumed.returncode == 0, resumed.stderr
    return resumed.stdout


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, write_faces: Callable[[Path], Path]) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces") / "faces")


@pytest.fixture(scope="module")
def whole(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    done = run_autofr(*search_arguments(faces, run_dir))
    assert done.returncode == 0, done.stderr
    return run_dir


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_says_how_to_go_on(
    number: signal.Signals,
    faces: Path,
    whole: Path,
    tmp_path: Path,
    same_outcome: Callable[[Path, Path], bool],
) -> None:
    run_dir = tmp_path / "run"
    process = search(faces, run_dir)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate()
    assert process.returncode == 128 + number, (out, err)
    assert (run_dir / "journal.jsonl").read_bytes().count(b"\n") == 2
    told = next(line for line in out.splitlines() if "go on with" in line)
    assert told.startswith("2 of 4 generations are committed, the one under way is rolled back; go on with: ")
    command = shlex.split(told.rpartition("go on with: ")[2])
    assert command == ["autofr", "search", "--resume", str(run_dir)]
    resumed = run_autofr(*command[1:], "--no-tracking")
    assert resumed.returncode == 0, resumed.stderr
    assert same_outcome(whole, run_dir)


def test_two_processes_in_one_directory(
    faces: Path, whole: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    run_dir = tmp_path / "run"
    first = search(faces, run_dir)
    second = run_autofr("search", "--resume", run_dir, "--no-tracking")
    assert second.returncode == 2
    assert f"another process is at work in {run_dir}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    third = run_autofr(*search_arguments(faces, run_dir))
    assert third.returncode == 2
    assert "exists; go on with --resume" in third.stderr
    first.kill()
    first.communicate()
    assert (run_dir / "lock").exists()
    finish(run_dir)
    assert same_outcome(whole, run_dir)


def test_a_limit_on_files_amid_a_run(
    faces: Path, whole: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    """The system refuses to let a file grow, as on a full disk: EFBIG, in the checkpoint's write."""
    run_dir = tmp_path / "run"
    process = search(faces, run_dir)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate()
    assert process.returncode == 2, out
    assert "File too large" in err
    assert len(err.splitlines()) == 1
    assert "2 of 4 generations are committed" in out
    assert not list((run_dir / "checkpoints").glob("*tmp*"))
    finish(run_dir)
    assert same_outcome(whole, run_dir)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,huge=never", "none", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up(
    small_disk: Path, faces: Path, whole: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    run_dir = small_disk / "run"
    process = search(faces, run_dir)
    with open(small_disk / "filler", "wb") as filler:
        filler.write(bytes(shutil.disk_usage(small_disk).free))
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate()
    assert process.returncode == 2, out
    assert "No space left on device" in err
    assert "2 of 4 generations are committed" in out
    assert not list((run_dir / "checkpoints").glob("*tmp*"))
    (small_disk / "filler").unlink()
    finish(run_dir)
    assert same_outcome(whole, run_dir)


def test_a_directory_that_becomes_read_only(
    faces: Path, whole: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    runs = tmp_path / "runs"
    run_dir = runs / "run"
    process = bound_by_permissions(2, *search_arguments(faces, run_dir))
    until_stopped(process)
    closed = [run_dir / "checkpoints", run_dir, runs]
    for folder in closed:
        folder.chmod(0o555)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate()
    assert process.returncode == 2, out
    assert "Permission denied" in err
    assert len(err.splitlines()) == 1
    assert "2 of 4 generations are committed" in out
    refused = bound_by_permissions(2, *search_arguments(faces, runs / "other"))
    _, err = refused.communicate()
    assert refused.returncode == 2
    assert f"run directory {runs / 'other'} cannot be written: {runs} is read-only; name another --run-dir" in err
    for folder in closed:
        folder.chmod(0o755)
    assert not (runs / "other").exists()
    finish(run_dir)
    assert same_outcome(whole, run_dir)


def bound_by_permissions(stop_after: int, *arguments: str) -> "subprocess.Popen[str]":
    """A process that heeds permissions, also root's; it stops itself after so many commits."""
    before = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root heeds no permissions, and there is no setpriv")
        before = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    command = [*before, sys.executable, "-m", "tests.processes", str(stop_after), *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("left", [[], ["lock"], ["lock", "config.json.tmp"]])
def test_a_directory_in_which_nothing_was_begun_is_as_good_as_new(
    left: list[str], faces: Path, whole: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    for name in left:
        (run_dir / name).touch()
    done = run_autofr(*search_arguments(faces, run_dir))
    assert done.returncode == 0, done.stderr
    assert same_outcome(whole, run_dir)


def test_a_space_file_is_executed_only_where_it_was_named(faces: Path, tmp_path: Path) -> None:
    """A run directory may come from a stranger: what it names is not run."""
    space = tmp_path / "space.py"
    proof = tmp_path / "executed"
    space.write_text(
        f"open({str(proof)!r}, 'a').close()\n"
        "from autofr import Choice, SearchSpace\nfrom autofr.losses import ArcFace\n"
        "space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.3)))\n"
    )
    run_dir = tmp_path / "run"
    begun = ["search", "--space", space, "--data", faces, *TINY, "--run-dir", run_dir]
    process = autofr_process(*begun, stop_after=2)
    until_stopped(process)
    process.terminate()
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate()
    assert f"go on with: autofr search --resume {run_dir} --space {space}" in out
    proof.unlink()
    refused = run_autofr("search", "--resume", run_dir, "--no-tracking")
    assert refused.returncode == 2
    assert f"name it: autofr search --resume {run_dir} --space {space}" in refused.stderr
    assert not proof.exists()
    resumed = run_autofr("search", "--resume", run_dir, "--space", space, "--no-tracking")
    assert resumed.returncode == 0, resumed.stderr
    assert proof.exists()
    assert os.listdir(run_dir / "model")


def test_a_checkpoint_of_another_network_is_refused(faces: Path, tmp_path: Path) -> None:
    """With a journal that vouches for it: whoever hands in a run directory writes both."""
    from autofr.io.files import sha256
    from autofr.runs.bank_file import load_bank, save_bank
    from autofr.runs.record import Record

    run_dir = tmp_path / "run"
    process = search(faces, run_dir)
    process.kill()
    process.communicate()
    lines = [Record.from_line(line) for line in (run_dir / "journal.jsonl").read_bytes().splitlines(keepends=True)]
    newest = run_dir / "checkpoints" / lines[-1].checkpoint
    bank = load_bank(newest)
    state = bank.entries[lines[-1].keys[0]].state
    state["centres"] = state["centres"][:, :3].contiguous()
    save_bank(newest, bank)
    forged = [*lines[:-1], replace(lines[-1], sha256=sha256(newest))]
    (run_dir / "journal.jsonl").write_bytes(b"".join(line.to_line() for line in forged))
    refused = run_autofr("search", "--resume", run_dir, "--no-tracking")
    assert refused.returncode == 2
    assert "the weights of ir_mini-w0.25 in the checkpoint do not fit" in refused.stderr
    forged[-1] = replace(forged[-1], policy={"rng": "none"})
    (run_dir / "journal.jsonl").write_bytes(b"".join(line.to_line() for line in forged))
    refused = run_autofr("search", "--resume", run_dir, "--no-tracking")
    assert refused.returncode == 2
    assert "its policy state is no state of thompson" in refused.stderr


def finished_copy(whole: Path, tmp_path: Path) -> Path:
    run_dir = tmp_path / "runs" / "copy"
    shutil.copytree(whole, run_dir)
    return run_dir


def planted(path: Path) -> Path:
    """A Python file that leaves a proof if it is executed."""
    proof = path.with_suffix(".executed")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"open({str(proof)!r}, 'a').close()\nraise SystemExit(3)\n")
    return proof


@pytest.mark.parametrize("where", ["space.name", "recipe.space", "recipe.data"])
def test_a_configuration_does_not_choose_what_is_executed(where: str, whole: Path, tmp_path: Path) -> None:
    run_dir = finished_copy(whole, tmp_path)
    proof = planted(tmp_path / "evil.py")
    config = json.loads((run_dir / "config.json").read_text())
    part, key = where.split(".")
    config[part][key] = str(tmp_path / "evil.py")
    (run_dir / "config.json").write_text(json.dumps(config))
    resumed = run_autofr("search", "--resume", run_dir, "--no-tracking")
    assert not proof.exists()
    assert resumed.returncode == 2, resumed.stderr
    assert ("name it:" if where == "space.name" else "with other settings") in resumed.stderr


def test_a_name_in_a_configuration_is_a_shipped_space_whatever_lies_here(whole: Path, tmp_path: Path) -> None:
    run_dir = finished_copy(whole, tmp_path)
    here = tmp_path / "here"
    proofs = [planted(here / "search_spaces" / name) for name in ("arcface_margins.py", "innocent.py")]
    resumed = run_autofr("search", "--resume", run_dir, "--no-tracking", cwd=here)
    assert resumed.returncode == 0, resumed.stderr
    config = json.loads((run_dir / "config.json").read_text())
    config["space"]["name"] = "innocent"
    (run_dir / "config.json").write_text(json.dumps(config))
    refused = run_autofr("search", "--resume", run_dir, "--no-tracking", cwd=here)
    assert refused.returncode == 2
    assert f"name it: autofr search --resume {run_dir} --space innocent" in refused.stderr
    assert not any(proof.exists() for proof in proofs)


def test_files_in_the_working_directory_are_no_modules_of_the_tracking_process(whole: Path, tmp_path: Path) -> None:
    run_dir = finished_copy(whole, tmp_path)
    here = tmp_path / "here"
    proofs = [planted(here / name) for name in ("mlflow.py", "queue.py", "sqlalchemy.py", "autofr.py")]
    autofr_itself = Path(sys.executable).with_name("autofr")  # `python -m autofr` is the user's own way past it
    resumed = subprocess.run([autofr_itself, "search", "--resume", run_dir], cwd=here, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    assert (run_dir.parent / "mlflow.db").is_file()
    assert not any(proof.exists() for proof in proofs)


def test_a_screen_that_is_gone_stops_nothing(
    faces: Path, whole: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    """As with ``| head``."""
    command = [sys.executable, "-m", "autofr", *search_arguments(faces, tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait() == 0, err
    assert same_outcome(whole, tmp_path / "run")

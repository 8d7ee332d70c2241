"""The command line, as its user runs it: real processes, the first of them ``python -m autofr``."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import autofr
from autofr.cli import main
from autofr.tracking.sync import sync_tracking
from tests.processes import PATIENCE, autofr_process, run_autofr, until_stopped, wait_until

TINY = [
    "--epochs",
    "4",
    "--batch-size",
    "8",
    "--backbone",
    "ir_mini-w0.25",
    "--embedding-dim",
    "16",
    "--image-size",
    "32",
]
TINY += ["--validation-identities", "3", "--fmr", "0.1", "--device", "cpu"]


def python_run(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """``python -m autofr``, interpreter and all."""
    command = [sys.executable, "-m", "autofr", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def search_arguments(folder: Path, run_dir: Path) -> list[str | Path]:
    return ["search", "--space", "arcface_margins", "--data", folder, *TINY, "--run-dir", run_dir, "--no-tracking"]


def test_help_is_quick_and_complete(tmp_path: Path) -> None:
    heavy = (
        "import sys, autofr.cli as c; c._parser(); print([m for m in ('torch', 'mlflow', 'timm') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout.strip() == "[]"
    for command in (
        "search",
        "train",
        "evaluate",
        "compare",
        "latency",
        "landmarks",
        "mask",
        "spaces",
        "ui",
        "sync-tracking",
    ):
        done = run_autofr(command, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "usage: autofr" in done.stdout
    text = python_run("search", "--help", cwd=tmp_path).stdout
    options = (
        "space data landmarks policy population epochs batch-size lr seed device image-size mask-prob run-dir resume"
    )
    for option in options.split():
        assert f"--{option} " in text


def test_help_names_every_loss_policy_and_protocol() -> None:
    from autofr.cli import evaluation, training
    from autofr.evaluation.protocols import PROTOCOLS
    from autofr.evaluation.rewards import REWARDS
    from autofr.losses import LOSSES
    from autofr.policies import POLICIES

    assert ", ".join(sorted(LOSSES)) == training.LOSSES
    assert ", ".join(sorted(POLICIES)) == training.POLICIES
    assert ", ".join(sorted(REWARDS)) == training.REWARDS
    assert ", ".join(sorted(PROTOCOLS)) == evaluation.PROTOCOLS


@pytest.mark.search
@pytest.mark.slow
def test_train_killed_resumed_and_evaluated(
    folder: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    arguments: list[str | Path] = ["train", "--loss", "arcface:0.123456789", "--data", folder, *TINY, "--no-tracking"]
    whole = run_autofr(*arguments, "--run-dir", tmp_path / "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "training result" in whole.stdout
    assert "α" not in whole.stdout
    killed = autofr_process(*arguments, "--run-dir", tmp_path / "killed", cwd=tmp_path, stop_after=2)
    until_stopped(killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    wrong = run_autofr("search", "--resume", tmp_path / "killed", cwd=tmp_path)
    assert wrong.returncode == 2
    assert f"was made by train; go on with: autofr train --resume {tmp_path / 'killed'}" in wrong.stderr
    resumed = run_autofr("train", "--resume", tmp_path / "killed", "--no-tracking", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert same_outcome(tmp_path / "whole", tmp_path / "killed")
    done = run_autofr("evaluate", tmp_path / "whole", "--data", folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "name a loss with --loss, such as arcface:0.3"),
        (["--loss", "arcfase"], "unknown loss 'arcfase'; did you mean arcface"),
        (["--loss", "arcface:9"], "m is an angle from 0 to π/2 radians, got 9"),
    ],
)
def test_bad_losses_are_told_in_one_line(given: list[str], told: str, tmp_path: Path) -> None:
    done = run_autofr("train", *given, "--run-dir", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_spaces_lists_one_line_each(tmp_path: Path) -> None:
    done = run_autofr("spaces", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].startswith("arcface_margins")
    assert "MAN" in done.stdout


@pytest.mark.search
@pytest.mark.slow
def test_search_killed_resumed_and_evaluated(
    folder: Path, tmp_path: Path, same_outcome: Callable[[Path, Path], bool]
) -> None:
    """SIGKILL in mid-run, then --resume, against a run that nobody killed: the same journal and the same weights."""
    whole = python_run(*search_arguments(folder, tmp_path / "whole"), cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "best loss: ArcFace(m=" in whole.stdout
    assert f"autofr ui {tmp_path / 'whole'}" in whole.stdout
    assert "SFR" in whole.stdout
    assert "MFR" in whole.stdout

    process = autofr_process(*search_arguments(folder, tmp_path / "killed"), cwd=tmp_path, stop_after=2)
    until_stopped(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model").exists()
    resumed = run_autofr("search", "--resume", tmp_path / "killed", "--no-tracking", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming" in resumed.stdout

    assert same_outcome(tmp_path / "whole", tmp_path / "killed")

    changed = run_autofr("search", "--resume", tmp_path / "killed", "--lr", "0.3", "--no-tracking", cwd=tmp_path)
    assert changed.returncode == 2
    assert "recipe.lr was 0.1, is 0.3" in changed.stderr

    for model in (tmp_path / "whole", tmp_path / "whole" / "model", tmp_path / "whole" / "model" / "model.safetensors"):
        done = run_autofr("evaluate", model, "--data", folder, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "masked" in done.stdout
    # 8 identities x 4 images: 48 genuine and 448 impostor pairs; too few impostors for FMR 1e-3
    assert "448" in done.stdout
    assert "FMR 0.001 needs 1000 impostor pairs, standard has 448: not measurable" in done.stdout


def break_space(tmp_path: Path, folder: Path) -> list[str | Path]:
    (tmp_path / "bad.py").write_text("1/0")
    return ["--space", tmp_path / "bad.py", "--data", folder]


def break_landmarks(tmp_path: Path, folder: Path) -> list[str | Path]:
    return ["--space", "arcface_margins", "--data", folder, "--landmarks", tmp_path / "none.npz"]


BROKEN: dict[str, tuple[Callable[[Path, Path], list[str | Path]], str]] = {
    "space": (break_space, "ZeroDivisionError"),
    "landmarks": (break_landmarks, "no landmarks file"),
    "folder": (lambda t, f: ["--space", "arcface_margins", "--data", t / "nowhere"], "no such folder"),
    "no space": (lambda t, f: ["--data", f], "name a search space with --space"),
    "population": (lambda t, f: ["--space", "arcface_margins", "--population", "1"], "2 members or more"),
    "device": (lambda t, f: ["--space", "arcface_margins", "--device", "cuda:9"], "no CUDA device"),
    "backbone": (lambda t, f: ["--space", "arcface_margins", "--backbone", "ir_mni"], "did you mean ir_mini"),
    "resume": (lambda t, f: ["--resume", t / "nowhere"], "no config.json"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_one_line_and_status_2(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = BROKEN[name]
    before = sorted(tmp_path.rglob("*"))
    given = [str(a) for a in arguments(tmp_path, folder)]
    extra = [] if name == "resume" else ["--run-dir", str(tmp_path / "run")]
    assert main(["search", *given, *extra]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("autofr: error: ")
    assert message in captured.err
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and p.suffix != ".py"] == []


@pytest.mark.search
@pytest.mark.slow
def test_evaluated_compared_and_timed(folder: Path, tmp_path: Path) -> None:
    """Two trainings, from their directories to a table and a picture; then what a face takes."""
    for name, m in (("a", "0.1"), ("b", "0.3")):
        run_dir = tmp_path / "runs" / name
        arguments: list[str | Path] = ["train", "--loss", f"arcface:{m}", "--data", folder, *TINY, "--no-tracking"]
        assert run_autofr(*arguments, "--run-dir", run_dir, cwd=tmp_path).returncode == 0
        done = run_autofr("evaluate", run_dir, "--data", folder, "--fmr", "0.1,0.05", "--no-tracking", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "@1e-1" in done.stdout
        assert (run_dir / "evaluations" / "faces-fmr-0.1_0.05" / "report.json").is_file()
    done = run_autofr("compare", "runs/a", "runs/b", "--no-tracking", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("masked") == 3  # a line a model, and the number of pairs
    assert {p.name for p in (tmp_path / "runs" / "comparison").iterdir()} == {"compare.csv", "compare.json", "det.png"}
    done = run_autofr("latency", "runs/a", "--repeats", "5", "--json", tmp_path / "l.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FRUITS-1000 met" in done.stdout
    assert json.loads((tmp_path / "l.json").read_text())["threads"]["1"]["stages"]["recognition"]["median"] > 0


def test_another_question_has_another_folder() -> None:
    from autofr.cli.evaluation import default_folder

    nothing = dict.fromkeys(
        ("data", "labels", "protocol", "pairs", "attributes", "landmarks", "flip", "masked", "fmrs")
    )
    asked = {**nothing, "seed": 0, "model": "nets/a.onnx", "data": "x/lfw/"}
    assert default_folder({**asked, "pairs": "lfw_pairs.txt"}) == Path("runs/evaluations/nets_a.onnx/lfw-pairs")
    questions: list[dict[str, object]] = [
        {},
        {"model": "nets/a.onnx:mean=0"},
        {"model": "nets/a.onnx:channels=bgr"},
        {"data": None, "labels": "l.txt"},
        {"data": None, "labels": "l.npy"},
        {"protocol": "ijb"},
        {"protocol": "ijb:norms=False"},
        {"pairs": "lfw_pairs.txt"},
        {"pairs": "lfw_hard.txt"},
        {"data": "x/lfw.bin"},
        {"data": "x/lfw.v2"},
        {"masked": "probe"},
        {"protocol": "webface260m", "attributes": "worn.csv"},
        {"protocol": "webface260m", "attributes": "bare.csv"},
        {"landmarks": "template"},
        {"masked": "no"},
        {"masked": "both"},
        {"flip": False},
        {"seed": 1},
        {"fmrs": "1e-3"},
    ]
    folders = [default_folder({**asked, **question}) for question in questions]
    assert len(set(folders)) == len(folders)


def test_evaluate_refuses_what_is_no_model(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), "--data", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "no run directory and no checkpoint" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path), "--data", str(folder), "--fmr", "low"]) == 2
    assert "such as 1e-3,1e-4; got 'low'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def listening(process: int) -> set[str]:
    """Addresses, as the kernel writes them, that a process and its descendants listen on."""
    family, waiting = set(), [process]
    while waiting:
        family.add(pid := waiting.pop())
        for thread in Path(f"/proc/{pid}/task").iterdir():
            waiting += map(int, (thread / "children").read_text().split())
    sockets = set()
    for pid in family:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1])
    return found


def answers(address: str) -> bool:
    """Whether somebody answers there."""
    try:
        urllib.request.urlopen(address, timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def test_ui_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", str(tmp_path)]) == 2
    assert "nothing is tracked" in capsys.readouterr().err


def test_ui_of_a_study_is_that_of_the_folder_it_lies_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").touch()
    assert main(["ui", str(tmp_path / "study")]) == 2
    assert f"nothing is tracked in {tmp_path}: it has no mlflow.db" in capsys.readouterr().err


def test_networks_of_a_pareto_set_have_evaluations_of_their_own(tmp_path: Path) -> None:
    from autofr.cli.evaluation import default_folder

    asked = dict.fromkeys(("data", "labels", "protocol", "pairs", "attributes", "landmarks", "masked", "seed", "fmrs"))
    asked |= {"flip": None, "data": "faces"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "journal.jsonl").touch()
    models = (tmp_path / "run", tmp_path / "run" / "pareto" / "00-small", tmp_path / "run" / "pareto" / "01-large")
    folders = [default_folder({**asked, "model": str(model)}).relative_to(tmp_path) for model in models]
    assert [str(f) for f in folders] == [f"run/evaluations/faces{more}" for more in ("", "-00-small", "-01-large")]


def test_ui_of_a_server_says_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert main(["ui", str(tmp_path)]) == 2
    assert "are tracked by the server at http://127.0.0.1:9: open that address" in capsys.readouterr().err


def test_ui_refuses_a_port_that_is_taken_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["ui", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
    assert "try another --port" in capsys.readouterr().err
    assert main(["ui", str(tmp_path), "--port", "99999"]) == 2
    assert "from 1 to 65535" in capsys.readouterr().err


def test_wrong_arguments_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["search", "--population", "x"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "autofr: error: argument --population: invalid int value: 'x' (see autofr search --help)\n"
    )


@pytest.mark.search
@pytest.mark.slow
def test_ui_serves_on_loopback_and_shows_the_run(
    folder: Path, tmp_path: Path, mlflow_store: Callable[[Path], None]
) -> None:
    mlflow_store(tmp_path / "runs")
    done = run_autofr(*search_arguments(folder, tmp_path / "runs" / "seen"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sync_tracking(tmp_path / "runs" / "seen")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "autofr", "ui", str(tmp_path / "runs" / "seen"), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: process.poll() is not None or answers(address))
        page = urllib.request.urlopen(f"{address}/").read()
        assert b"MLflow" in page
        addresses = listening(process.pid)
        assert f"0100007F:{port:04X}" in addresses  # 127.0.0.1
        assert all(address.startswith("0100007F:") for address in addresses)
        body = json.dumps({"experiment_ids": ["1"]}).encode()
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"}
        )
        found = json.loads(urllib.request.urlopen(request).read())["runs"]
        assert "seen" in {run["info"]["run_name"] for run in found}
        process.terminate()  # and nothing stays behind: the port is free again
        process.wait()
        wait_until(lambda: not answers(address))
    finally:
        process.kill()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert autofr.__version__ in capsys.readouterr().out


def test_a_sheet_of_masks_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    done = run_autofr("mask", folder, "-o", "sheet.png", "--faces", "6", "--material", "surgical", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 faces: ")
    assert "sheet.png" in done.stdout
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    refused = run_autofr("mask", folder, "-o", "other.png", "--material", "silk", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.strip().count("\n") == 0
    assert "unknown material silk" in refused.stderr
    assert not (tmp_path / "other.png").exists()


def test_landmarks_need_photographs(tmp_path: Path) -> None:
    done = run_autofr("landmarks", tmp_path, "-o", "l.npz", "--detector", "dlib", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no images" in done.stderr


@pytest.mark.search
def test_other_landmark_schemes_train_and_evaluate(folder: Path, tmp_path: Path) -> None:
    """A file of 96 points a face, whose order the user names, in search, resume and evaluate."""
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as archive:
        names, landmarks = archive["names"], archive["landmarks"]
    shuffled = np.full((len(names), 96, 2), 1.0, dtype=np.float32)
    shuffled[:, 20:88] = landmarks
    np.savez(path, names=names, landmarks=shuffled)
    anchors = [1, 3, 5, 6, 7, 15, 13, 11, 10, 9, 27, 28, 30, 33, 51, 57, 8, 41, 46]
    scheme = "96:" + ",".join(str(i + 20) for i in anchors)
    told = run_autofr(*search_arguments(folder, tmp_path / "no"), cwd=tmp_path)
    assert told.returncode == 2
    assert "96:INDEX" in told.stderr
    done = run_autofr(*search_arguments(folder, tmp_path / "run"), "--landmark-scheme", scheme, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["landmark_scheme"] == scheme
    resumed = run_autofr("search", "--resume", tmp_path / "run", "--no-tracking", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    scored = run_autofr(
        "evaluate", tmp_path / "run", "--data", folder, "--landmark-scheme", scheme, "--device", "cpu", cwd=tmp_path
    )
    assert scored.returncode == 0, scored.stderr
    assert "masked" in scored.stdout


@pytest.mark.search
@pytest.mark.parametrize("place", ["before the command", "after it"])
def test_how_much_is_printed(place: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of progress by default; warnings and the outcome with --quiet; details with their time with --verbose."""
    (folder / "person_0000" / "000.png").write_bytes(b"no image")
    printed = {}
    for option in ("", "--quiet", "--verbose"):
        command = ["train", "--loss=arcface:0.3", f"--data={folder}", *TINY, "--epochs=1", "--no-tracking"]
        command += [f"--run-dir={tmp_path / (option or 'usual')}"]
        asked = [option] * bool(option)
        assert main([*asked, *command] if place == "before the command" else [*command, *asked]) == 0
        printed[option] = capsys.readouterr().out
        assert "training result" in printed[option]
        assert "1 of 32 images cannot be read" in printed[option]
    assert ["generation   1" in text for text in printed.values()] == [True, False, True]
    assert ["DEBUG" in text for text in printed.values()] == [False, False, True]
    logs = [(tmp_path / name / "log.txt").read_text() for name in ("usual", "--quiet")]
    assert all("generation   1" in text and "DEBUG" in text for text in logs)

"""MLflow that is down, dies, is slow or locked: the search does not mind, and in the end MLflow shows the same.

What it should show is what the run directory gives when it is written to a new store in one go.
"""

import dataclasses
import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import autofr
from autofr import AutofrError, Choice, SearchSpace
from autofr.cli import main
from autofr.console import attached
from autofr.data import Faces
from autofr.engine import loop
from autofr.losses import ArcFace
from autofr.system.lock import locked
from autofr.tracking import tracking_uri
from autofr.tracking.sync import sync_tracking
from tests.logs import LinesHandler
from tests.processes import PATIENCE, wait_until
from tests.servers import MlflowServer, slow_relay

SPACE = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3)))
GENERATIONS = 5
pytestmark = [pytest.mark.kill, pytest.mark.slow]

Shown = Callable[[str], dict[str, Any]]
Search = Callable[[Path], list[str]]


@pytest.fixture
def search(tiny_faces: Faces, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Search:
    """A tracked search in a run directory; gives what it said."""

    def run(run_dir: Path, before: Callable[[int], None] = lambda generation: None) -> list[str]:
        handler = LinesHandler()
        train = loop.train_segment

        def train_segment(*arguments: Any) -> None:
            before(arguments[3].start // len(arguments[3]))
            train(*arguments)

        with monkeypatch.context() as patched, attached(handler):
            patched.setattr(loop, "train_segment", train_segment)
            asked = tiny | {"tracking": True, "epochs": GENERATIONS}
            assert len(autofr.search(SPACE, tiny_faces, run_dir=run_dir, **asked).records) == GENERATIONS
        return handler.lines

    return run


@pytest.fixture
def in_one_go(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: Callable[[Path], None]
) -> Callable[[Path], dict[str, Any]]:
    """What MLflow shows of a run directory that is written to a new store."""

    def fill(run_dir: Path) -> dict[str, Any]:
        uri = f"sqlite:///{tmp_path / 'afresh' / 'mlflow.db'}"
        mlflow_store(tmp_path / "afresh")
        with monkeypatch.context() as patched:
            patched.setenv("MLFLOW_TRACKING_URI", uri)
            sync_tracking(run_dir)
        return shown(uri)

    return fill


@pytest.fixture
def store(tmp_path: Path, mlflow_store: Callable[[Path], None]) -> None:
    """An empty MLflow store for runs in ``tmp_path``."""
    mlflow_store(tmp_path)


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: Callable[[Path], None]
) -> Iterator[MlflowServer]:
    mlflow_store(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")  # of a server on a busy machine
    made = MlflowServer(tmp_path / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    yield made
    made.kill()


def missing(said: list[str], run_dir: Path) -> bool:
    """Whether the search said that MLflow lacks something, and how to fill it in."""
    return any("does not have all of this search" in line and f"sync-tracking {run_dir}" in line for line in said)


def test_a_store_that_cannot_be_made_then_can(
    search: Search,
    shown: Shown,
    in_one_go: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_the_way = tmp_path / "store"
    in_the_way.touch()
    uri = f"sqlite:///{in_the_way}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    run_dir = tmp_path / "runs" / "run"
    said = search(run_dir)
    assert sum("failed (" in line and "the search goes on" in line for line in said) == 1
    assert missing(said, run_dir)
    assert main(["sync-tracking", str(run_dir)]) == 2
    told = capsys.readouterr().err
    assert "failed (" in told
    assert "start it, and try again" in told
    in_the_way.unlink()
    assert main(["sync-tracking", str(run_dir)]) == 0
    assert f"has all {GENERATIONS} generations" in capsys.readouterr().out
    assert shown(uri) == in_one_go(run_dir)
    before = shown(uri)
    sync_tracking(run_dir)  # again: nothing twice
    assert shown(uri) == before


def test_a_server_that_is_not_there_at_the_start(
    search: Search, shown: Shown, in_one_go: Any, server: MlflowServer, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    said = search(run_dir)
    assert missing(said, run_dir)
    server.start()
    sync_tracking(run_dir)
    assert shown(server.uri) == in_one_go(run_dir)


def test_a_server_that_is_killed_and_restarted_amid_the_run(
    search: Any, shown: Shown, in_one_go: Any, server: MlflowServer, tmp_path: Path
) -> None:
    server.start()
    run_dir = tmp_path / "run"

    def before(generation: int) -> None:
        if generation == 2:
            wait_until(lambda: bool(logged(server)))
            server.kill()
        elif generation == 4:
            server.start()
            wait_until(lambda: 3.0 in logged(server))  # it found the server again, by itself

    said = search(run_dir, before)
    assert sum("failed (" in line for line in said) == 1
    assert sum("is back, with" in line for line in said) == 1
    assert not missing(said, run_dir)
    assert shown(server.uri) == in_one_go(run_dir)


def test_a_server_that_is_killed_for_good_amid_the_run(
    search: Any, shown: Shown, in_one_go: Any, server: MlflowServer, tmp_path: Path
) -> None:
    server.start()
    run_dir = tmp_path / "run"

    def before(generation: int) -> None:
        if generation == 3:
            wait_until(lambda: bool(logged(server)))
            server.kill()

    assert missing(search(run_dir, before), run_dir)
    with pytest.raises(AutofrError, match="start it, and try again"):
        sync_tracking(run_dir)
    server.start()
    sync_tracking(run_dir)
    assert shown(server.uri) == in_one_go(run_dir)


def logged(server: MlflowServer) -> list[float]:
    """The generations that the server has."""
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("autofr")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run.data.metrics["generation"] for run in runs if "generation" in run.data.metrics]


def test_a_server_that_takes_five_seconds_a_call(
    search: Search,
    shown: Shown,
    in_one_go: Any,
    server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search ends long before the hundred calls that it has for the store have been answered."""
    monkeypatch.setattr("autofr.tracking.tracker.SLOW", 4.0)
    server.start()
    run_dir = tmp_path / "run"
    with slow_relay(server.uri, 5) as (address, answered):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        said = search(run_dir)
        assert missing(said, run_dir)
        assert len(answered) < 50
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    sync_tracking(run_dir)
    assert shown(server.uri) == in_one_go(run_dir)


@pytest.mark.usefixtures("store")
def test_a_database_that_is_locked(search: Search, shown: Shown, in_one_go: Any, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    run_dir = tmp_path / "run"
    said = search(run_dir)
    assert missing(said, run_dir)
    database.execute("ROLLBACK")
    database.close()
    sync_tracking(run_dir)
    assert shown(tracking_uri(tmp_path)) == in_one_go(run_dir)


@pytest.mark.usefixtures("store")
def test_a_tracking_process_that_is_killed(
    search: Any, shown: Shown, in_one_go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autofr.tracking import Tracker

    trackers: list[Tracker] = []
    made = Tracker.__init__

    def spy(self: Tracker, *arguments: Any) -> None:
        made(self, *arguments)
        trackers.append(self)

    monkeypatch.setattr(Tracker, "__init__", spy)
    run_dir = tmp_path / "run"

    def before(generation: int) -> None:
        if generation == 3:
            process = trackers[0]._process
            assert process is not None
            process.kill()

    assert missing(search(run_dir, before), run_dir)
    sync_tracking(run_dir)
    assert shown(tracking_uri(tmp_path)) == in_one_go(run_dir)


def test_a_search_that_is_killed_is_shown_as_killed(tmp_path: Path, mlflow_store: Callable[[Path], None]) -> None:
    """Nobody is left to say so but the process that writes to MLflow."""
    from autofr.testing.killing import start, tracked_search

    mlflow_store(tmp_path)
    run_dir = tmp_path / "run"
    process = start(tracked_search, run_dir, "step 20")  # of 16 a generation
    process.join()
    assert process.exitcode == -signal.SIGKILL
    from mlflow import MlflowClient

    with locked(run_dir / "tracking.lock", "it writes for ever", patience=PATIENCE):
        pass
    client = MlflowClient(tracking_uri(tmp_path))
    runs = client.search_runs([client.get_experiment_by_name("autofr").experiment_id])
    assert {run.info.status for run in runs} == {"KILLED"}
    assert len(runs) == 5


def sync_tracking_when_free(run_dir: Path) -> None:
    """Once the process that wrote has ended."""
    with locked(run_dir / "tracking.lock", "it writes for ever", patience=PATIENCE):
        pass
    sync_tracking(run_dir)


def test_kills_and_resumes_leave_no_trace(
    shown: Shown, in_one_go: Any, tmp_path: Path, mlflow_store: Callable[[Path], None]
) -> None:
    from autofr.testing.killing import finish, start, tracked_search

    mlflow_store(tmp_path)
    run_dir = tmp_path / "run"
    for instant in ("step 20", "commit 0: after checkpoint", "step 40"):
        process = start(tracked_search, run_dir, instant)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    finish(tracked_search, run_dir)
    sync_tracking_when_free(run_dir)
    assert shown(tracking_uri(tmp_path)) == in_one_go(run_dir)


@pytest.mark.usefixtures("store")
def test_a_search_that_failed_while_mlflow_was_away_is_shown_as_failed(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    def read(wanted: Any) -> Any:
        if calls.append(1) or len(calls) > 6:
            raise AutofrError("gone")
        return tiny_faces.read(wanted)

    calls: list[int] = []
    faces = dataclasses.replace(tiny_faces, read=read)
    with pytest.raises(AutofrError, match="gone"):
        autofr.search(SPACE, faces, run_dir=tmp_path / "run", **tiny)
    assert "(failed)" in sync_tracking(tmp_path / "run")
    tiny_faces = dataclasses.replace(tiny_faces)
    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", resume=True, **tiny)
    assert "(finished)" in sync_tracking(tmp_path / "run")


@pytest.mark.usefixtures("store")
def test_a_journal_of_another_search_is_not_mlflows_fault(search: Search, tmp_path: Path) -> None:
    search(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["space"]["options"]["loss"].append("another")
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(AutofrError, match="journal and configuration are of different searches"):
        sync_tracking(tmp_path / "run")


def test_what_is_no_run_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync-tracking", str(tmp_path)]) == 2
    assert "is no run directory" in capsys.readouterr().err

"""MLflow for real: a SQLite store, read back with MLflow's own client."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import autofr
from autofr import Choice, Elastic, SearchSpace
from autofr.data import Faces
from autofr.engine import loop
from autofr.losses import ArcFace
from autofr.runs.pick import pick
from autofr.runs.record import Record
from autofr.runs.result import flatten
from autofr.tracking import metric_name, tracking_uri
from autofr.tracking.mirror import Mirror
from autofr.tracking.sync import sync_tracking
from tests.processes import wait_until

SPACE = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3)))
pytestmark = [pytest.mark.search, pytest.mark.slow]


@pytest.fixture(scope="module")
def tracked(tiny_faces: Faces, tiny: dict[str, Any], made_once: Any, mlflow_store: Callable[[Path], None]) -> Path:
    """A finished run and its store."""

    def make(runs: Path) -> None:
        mlflow_store(runs)
        autofr.search(SPACE, tiny_faces, run_dir=runs / "tracked", **{**tiny, "tracking": True})

    return Path(made_once("tracked", make)) / "tracked"


@pytest.fixture
def store(tmp_path: Path, mlflow_store: Callable[[Path], None]) -> None:
    """An empty MLflow store for runs in ``tmp_path``."""
    mlflow_store(tmp_path)


@pytest.fixture(scope="module")
def client(tracked: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri(tracked.parent))


@pytest.fixture(scope="module")
def runs(client: Any) -> tuple[Any, list[Any]]:
    found = client.search_runs([client.get_experiment_by_name("autofr").experiment_id])
    parents = [r for r in found if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 1
    children = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    return parents[0], sorted(children, key=lambda r: r.info.run_name)


@pytest.mark.usefixtures("store")
def test_a_generation_is_there_while_the_search_goes_on(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Each waits, once committed, until MLflow shows it: nothing but the search's own word tells MLflow's process."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(tmp_path))

    def steps() -> list[int]:
        found = client.get_experiment_by_name("autofr")
        runs = client.search_runs([found.experiment_id]) if found else []
        parents = [run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags]
        return [m.step for parent in parents for m in client.get_metric_history(parent, "generation")]

    def shown(record: Record) -> None:
        wait_until(lambda: record.generation in steps())

    autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", watch=shown, **{**tiny, "epochs": 3, "tracking": True})
    assert steps() == [0, 1, 2]


def test_the_parent_run_is_the_search(
    tracked: Path, client: Any, runs: tuple[Any, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, _ = runs
    result = autofr.SearchResult(tracked)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["recipe.lr"] == "0.1"
    assert parent.data.params["population"] == "4"
    logged = [m.value for m in client.get_metric_history(parent.info.run_id, "alpha/loss/ArcFace m 0.3")]
    assert logged == result.alpha[:, 1].tolist()
    best = [m.value for m in client.get_metric_history(parent.info.run_id, "best/reward")]
    assert best == [r.rewards[r.winner] for r in result.records]
    assert parent.inputs.dataset_inputs[0].dataset.digest == result.config["data"]["fingerprint"]
    artifacts = {a.path for a in client.list_artifacts(parent.info.run_id)}
    assert {"alpha.png", "lineage.png", "masks.png", "report.json", "lineage.json", "config.json"} <= artifacts
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(tracked.parent))  # MLflow's load_table reads it
    table = client.load_table(tracked_experiment(client), "lineage.json", [parent.info.run_id])
    assert table["reward"].tolist() == pytest.approx([row["reward"] for row in result.lineage])  # its JSON rounds


def tracked_experiment(client: Any) -> str:
    return str(client.get_experiment_by_name("autofr").experiment_id)


def test_each_member_has_a_child_run(tracked: Path, client: Any, runs: tuple[Any, list[Any]]) -> None:
    result = autofr.SearchResult(tracked)
    assert len(runs[1]) == 4
    for m, child in enumerate(runs[1]):
        for key, expected in (
            ("reward", [r.rewards[m] for r in result.records]),
            ("loss", [r.losses[m] for r in result.records]),
            ("choice/loss", [r.assignments[m]["loss"] for r in result.records]),
        ):
            history = client.get_metric_history(child.info.run_id, key)
            assert [h.value for h in history] == expected
            assert [h.step for h in history] == [0, 1, 2, 3]


def test_each_synced_checkpoint_is_a_logged_model(tracked: Path, client: Any) -> None:
    models = client.search_logged_models([tracked_experiment(client)])
    checkpoints = sorted((m for m in models if m.name.startswith("gen-")), key=lambda m: m.name)
    assert len(checkpoints) == 4
    assert {str(m.status) for m in checkpoints} == {"READY"}
    result = autofr.SearchResult(tracked)
    with_weights = [m.name[:8] for m in checkpoints if client.list_logged_model_artifacts(m.model_id)]
    assert with_weights == sorted(p.stem for p in (tracked / "checkpoints").iterdir())
    for model, record in zip(checkpoints, result.records, strict=True):
        metrics = {m.key: m.value for m in model.metrics}
        assert metrics["checkpoint/reward"] == record.rewards[record.winner]
    folder = checkpoints[result.records.index(_best(result))].artifact_location.removeprefix("file://")
    stored, best = autofr.load_embedder(folder), autofr.load_embedder(tracked)
    assert all(torch.equal(stored.state_dict()[n], t) for n, t in best.state_dict().items())


def _best(result: autofr.SearchResult) -> Any:
    return max(result.records, key=lambda r: r.rewards[r.winner])


def test_the_winner_loads_with_mlflow_and_embeds(
    tracked: Path, client: Any, tiny_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    winner = next(m for m in client.search_logged_models([tracked_experiment(client)]) if m.name == "winner")
    uri = tracking_uri(tracked.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # set_tracking_uri writes it: let it be put back
    mlflow.set_tracking_uri(uri)
    model = mlflow.pytorch.load_model(f"models:/{winner.model_id}")
    mlflow.set_tracking_uri(None)
    images = tiny_faces.read(torch.arange(4)).float() / 255
    with torch.no_grad():
        torch.testing.assert_close(model(images), autofr.load_embedder(tracked)(images))


def begun(runs: Path) -> bool:
    """Whether the runs of a search and of its four members are in the store."""
    if not (runs / "mlflow.db").is_file():
        return False
    with contextlib.closing(sqlite3.connect(f"file:{runs / 'mlflow.db'}?mode=ro", uri=True)) as store:
        try:
            return int(store.execute("SELECT count(*) FROM runs").fetchone()[0]) == 5
        except sqlite3.OperationalError:  # its tables are being made
            return False


@pytest.mark.usefixtures("store")
def test_a_resumed_run_fills_in_the_same_mlflow_run(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    original = loop.train_segment

    def train_segment(*args: Any, **kwargs: Any) -> None:
        if args[3].start // len(args[3]) == 2:
            wait_until(lambda: begun(tmp_path))  # on a busy machine MLflow's process may not have come to it yet
            raise KeyboardInterrupt
        original(*args, **kwargs)

    monkeypatch.setattr(loop, "train_segment", train_segment)
    settings = {**tiny, "run_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        autofr.search(SPACE, tiny_faces, **{**settings, "tracking": True})
    monkeypatch.undo()
    store = MlflowClient(tracking_uri(tmp_path))
    assert {r.info.status for r in store.search_runs([tracked_experiment(store)])} == {"KILLED"}

    def dying(*args: Any, **kwargs: Any) -> None:
        if args[3].start // len(args[3]) == 3:
            raise KeyboardInterrupt
        original(*args, **kwargs)

    monkeypatch.setattr(loop, "train_segment", dying)
    with pytest.raises(KeyboardInterrupt):  # generation 2 is committed but not tracked
        autofr.search(SPACE, tiny_faces, resume=True, **settings)
    monkeypatch.undo()
    autofr.search(SPACE, tiny_faces, resume=True, **{**settings, "tracking": True})
    client = MlflowClient(tracking_uri(tmp_path))
    found = client.search_runs([tracked_experiment(client)])
    assert len(found) == 5
    parent = next(r for r in found if "mlflow.parentRunId" not in r.data.tags)
    assert parent.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(parent.info.run_id, "generation")] == [0, 1, 2, 3]
    autofr.search(SPACE, tiny_faces, resume=True, **{**settings, "tracking": True})  # finished: nothing twice
    models = client.search_logged_models([tracked_experiment(client)])
    assert [m.name for m in models].count("winner") == 1


@pytest.mark.usefixtures("store")
def test_of_a_winner_that_went_on_alone_it_shows_the_end(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    result = autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "run", **tiny, explore=0.5)
    sync_tracking(tmp_path / "run")
    client = MlflowClient(tracking_uri(tmp_path))
    found = client.search_runs([tracked_experiment(client)])
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    best = [m.value for m in client.get_metric_history(parent.info.run_id, "best/reward")]
    assert best == [record.reward for record in result.records]
    assert best != [record.rewards[record.winner] for record in result.records]


def test_tracking_changes_no_bit(tiny_faces: Faces, tiny: dict[str, Any], tracked: Path, tmp_path: Path) -> None:
    plain = autofr.search(SPACE, tiny_faces, run_dir=tmp_path / "plain", **tiny)
    assert [r.sha256 for r in plain.records] == [r.sha256 for r in autofr.SearchResult(tracked).records]


@pytest.mark.usefixtures("store")
def test_a_run_deleted_in_mlflow_is_filled_in_anew(tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path) -> None:
    settings = {**tiny, "tracking": True, "run_dir": tmp_path / "run"}
    autofr.search(SPACE, tiny_faces, **settings)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(tmp_path))
    for run in client.search_runs([tracked_experiment(client)]):
        client.delete_run(run.info.run_id)
    autofr.search(SPACE, tiny_faces, resume=True, **settings)
    found = client.search_runs([tracked_experiment(client)])
    parent = next(r for r in found if "mlflow.parentRunId" not in r.data.tags)
    assert [m.step for m in client.get_metric_history(parent.info.run_id, "generation")] == [0, 1, 2, 3]


@pytest.mark.usefixtures("store")
def test_weights_that_a_killed_process_sent_in_part_do_not_stay(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path
) -> None:
    """Of a generation whose checkpoint has been cleaned up meanwhile."""
    run_dir = tmp_path / "run"
    found = autofr.search(SPACE, tiny_faces, run_dir=run_dir, **tiny)
    begun = next(g for g in range(4) if not (run_dir / "checkpoints" / f"gen-{g:04d}").exists())
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(tmp_path))
    runs = Mirror(run_dir)._opened(client)
    name = f"gen-{begun:04d}-run"
    model = client.create_logged_model(runs.experiment, name, runs.parent, model_type="embedder").model_id
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "model.safetensors").write_bytes(b"a part")
    client.log_model_artifacts(model, str(tmp_path / "part"))
    assert client.list_logged_model_artifacts(model)
    sync_tracking(run_dir)
    assert not client.list_logged_model_artifacts(model)
    assert str(client.get_logged_model(model).status) == "READY"
    assert len(client.search_logged_models([runs.experiment])) >= len(found.records)


def test_tracking_uri_honours_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(tmp_path) == "http://127.0.0.1:5000"


def test_names_and_params() -> None:
    assert metric_name("ArcFace(m=0.3)") == "ArcFace m 0.3"
    assert metric_name("timm/mobilenetv3_small_100") == "timm mobilenetv3_small_100"
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}


@pytest.mark.usefixtures("store")
def test_a_search_over_networks_shows_costs_and_its_pareto_set(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow import MlflowClient

    space = SearchSpace(
        loss=SPACE.dimensions["loss"],
        backbone=Elastic("iresnet:widths=32-64,stem=2", depth=("1-1", "1-2"), width=(0.5, 1.0)),
    )
    settings = {k: v for k, v in tiny.items() if k != "backbone"}
    result = autofr.search(space, tiny_faces, run_dir=tmp_path / "elastic", **{**settings, "tracking": True})
    client = MlflowClient(tracking_uri(tmp_path))
    found = client.search_runs([client.get_experiment_by_name("autofr").experiment_id])
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    (first,) = [run for run in found if run.data.tags.get("autofr.member") == "0"]
    costs = [m.value for m in client.get_metric_history(first.info.run_id, "cost")]
    assert costs == [record.costs[0] for record in result.records]
    lowest = [m.value for m in client.get_metric_history(parent.info.run_id, "pareto/lowest error")]
    assert lowest == sorted(lowest, reverse=True)
    assert lowest[-1] == result.pareto[-1].error
    assert parent.data.metrics["pareto/networks"] == len(result.pareto)
    assert parent.data.metrics["pareto/lowest cost"] == result.pareto[0].cost
    assert parent.data.params["space.family"] == space.family("")
    artifacts = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"pareto.png", "pareto.json"} <= artifacts
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(tmp_path))
    table = client.load_table(tracked_experiment(client), "pareto.json", [parent.info.run_id])
    assert table["backbone"].tolist() == [point.backbone for point in result.pareto]
    winner = client.get_logged_model(parent.data.tags["winner"])
    assert "MLmodel" in {Path(a.path).name for a in client.list_logged_model_artifacts(winner.model_id)}
    # Another network is picked: after a sync that is MLflow's winner.
    picked = pick(tmp_path / "elastic", "fast")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    sync_tracking(tmp_path / "elastic")
    now = client.get_logged_model(client.get_run(parent.info.run_id).data.tags["winner"])
    assert now.model_id != winner.model_id
    assert now.name == "winner fast"
    record, member = picked.chosen
    assert mlflow.pytorch.load_model(now.artifact_location).config["backbone"] == record.networks[member]


@pytest.mark.usefixtures("store")
def test_a_network_of_ones_own_is_logged_as_its_weights(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """MLflow's process does not know it: it has no module to save, and is complete all the same."""
    from mlflow import MlflowClient

    from autofr.backbones import BACKBONES, ElasticIResNet, register

    monkeypatch.setattr("autofr.backbones.BACKBONES", dict(BACKBONES))
    register("own_net")(ElasticIResNet)
    space = SearchSpace(
        loss=SPACE.dimensions["loss"], backbone=Elastic("own_net:widths=32-64,stem=2", width=(0.5, 1.0))
    )
    settings = {k: v for k, v in tiny.items() if k != "backbone"}
    autofr.search(space, tiny_faces, run_dir=tmp_path / "own", **{**settings, "epochs": 1, "tracking": True})
    assert not [line for line in logged if "MLflow" in line]
    client = MlflowClient(tracking_uri(tmp_path))
    (parent,) = [
        run
        for run in client.search_runs([client.get_experiment_by_name("autofr").experiment_id])
        if "mlflow.parentRunId" not in run.data.tags
    ]
    assert parent.info.status == "FINISHED"
    winner = client.get_logged_model(parent.data.tags["winner"])
    files = {Path(a.path).name for a in client.list_logged_model_artifacts(winner.model_id)}
    assert {"model.safetensors", "config.json"} <= files

"""Evaluations in a real MLflow store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import autofr
from autofr.backbones import create_backbone
from autofr.backbones.embedder import Embedder
from autofr.data import Faces
from autofr.evaluation.compare import compare
from autofr.evaluation.evaluate import evaluate
from autofr.tracking import tracking_uri
from autofr.tracking.evaluations import log_comparisons, log_evaluation, runs_folder

QUIET: dict[str, Any] = {"progress": False, "device": "cpu", "bootstrap": 0}


def found(runs: Path) -> dict[str, Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(runs))
    return {
        run.info.run_name: (run, {a.path for a in client.list_artifacts(run.info.run_id)})
        for run in client.search_runs([client.get_experiment_by_name("autofr").experiment_id])
    }


@pytest.mark.search
@pytest.mark.slow
def test_an_evaluation_of_a_run_is_its_child(
    tiny_faces: Faces, tiny: dict[str, Any], folder: Path, tmp_path: Path, mlflow_store: Callable[[Path], None]
) -> None:
    mlflow_store(tmp_path / "runs")
    run_dir = tmp_path / "runs" / "one"
    autofr.train("arcface:0.3", tiny_faces, run_dir=run_dir, **{**tiny, "tracking": True, "epochs": 1})
    out = run_dir / "evaluations" / "faces"
    report = evaluate(run_dir, folder, out=out, **QUIET)
    log_evaluation(out, report)
    runs = found(tmp_path / "runs")
    parent, _ = runs["one"]
    run, artifacts = runs["evaluate one on faces (all)"]
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.metrics["standard/EER"] == report["results"]["standard"]["eer"]
    assert run.data.metrics["masked/FNMR at FMR 0.01"] == report["results"]["masked"]["rates"][0]["fnmr"]
    assert run.data.params["masks.seed"] == "0"
    assert artifacts == {"report.json", "det.png", "scores.png", "worst_standard.png", "worst_masked.png"}


@pytest.mark.search
@pytest.mark.slow
def test_comparisons_and_other_models_are_runs_of_their_own(
    folder: Path, tmp_path: Path, mlflow_store: Callable[[Path], None]
) -> None:
    mlflow_store(tmp_path / "runs")
    for name in ("a", "b"):
        torch.manual_seed(ord(name))
        net = create_backbone("ir_mini-w0.25", 32, 16)
        Embedder(net, {"backbone": "ir_mini-w0.25", "image_size": 32, "embedding_dim": 16}).save(tmp_path / name)
        out = tmp_path / "runs" / "evaluations" / name
        log_evaluation(out, evaluate(tmp_path / name, folder, out=out, **QUIET))
    folders = [tmp_path / "runs" / "evaluations" / name for name in ("a", "b")]
    compared = compare(folders, tmp_path / "runs" / "comparison")
    log_comparisons(tmp_path / "runs" / "comparison", compared)
    reports = compared["faces-all"]
    runs = found(tmp_path / "runs")
    assert set(runs) == {f"{what} on faces (all)" for what in ("evaluate a", "evaluate b", "compare")}
    run, artifacts = runs["compare on faces (all)"]
    assert run.data.metrics["b/standard/EER"] == reports["b"]["results"]["standard"]["eer"]
    assert artifacts == {"compare.csv", "compare.json", "det.png"}


@pytest.mark.search
def test_a_store_that_is_down_costs_a_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net = create_backbone("ir_mini-w0.25", 32, 16)
    Embedder(net, {"backbone": "ir_mini-w0.25", "image_size": 32, "embedding_dim": 16}).save(tmp_path / "net")
    out = tmp_path / "out"
    report = evaluate(tmp_path / "net", folder, out=out, **QUIET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    log_evaluation(out, report)
    (message,) = [r.getMessage() for r in caplog.records if r.name.startswith("autofr")]
    assert "MLflow at http://127.0.0.1:9 failed" in message


def test_where_the_store_is(tmp_path: Path) -> None:
    assert runs_folder(tmp_path / "runs" / "evaluations" / "net" / "lfw") == (tmp_path / "runs").resolve()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mlflow.db").touch()
    assert runs_folder(tmp_path / "mine" / "x" / "y") == (tmp_path / "mine").resolve()
    assert runs_folder(tmp_path / "mine" / "a" / "b" / "c" / "d") == (tmp_path / "mine" / "a" / "b" / "c").resolve()
    assert runs_folder(tmp_path / "x" / "y") == (tmp_path / "x").resolve()

"""What MLflow shows of a store, so that two can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Shown = Callable[[str], dict[str, Any]]


def everything(uri: str) -> dict[str, Any]:
    """All that the UI shows of a store's searches: runs with status, times, parameters, every metric's history, tags
    and files; models with status, parameters, metrics and files. Ids, which differ, are left out."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("autofr").experiment_id
    found: dict[str, Any] = {}
    names: dict[str, str] = {}
    for run in client.search_runs([experiment]):
        history = {
            key: sorted((m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, key))
            for key in run.data.metrics
        }
        tags = {k: v for k, v in run.data.tags.items() if k not in ("winner", "mlflow.parentRunId", "mlflow.user")}
        files = sorted(a.path for a in client.list_artifacts(run.info.run_id))
        times = (run.info.start_time, run.info.end_time)
        assert run.info.run_name not in found
        names[run.info.run_id] = run.info.run_name
        found[run.info.run_name] = [run.info.status, times, run.data.params, history, tags, files]
    for model in client.search_logged_models([experiment]):
        metrics = sorted((m.key, m.value, m.step, m.timestamp) for m in model.metrics or ())
        files = sorted(a.path for a in client.list_logged_model_artifacts(model.model_id))
        name = f"{names[model.source_run_id]}: {model.name}"
        assert name not in found
        found[name] = [str(model.status), model.params, metrics, files]
    return found


@pytest.fixture(scope="session", autouse=True)
def patient(patience: None) -> None:
    """See ``patience``."""


@pytest.fixture(scope="session")
def shown() -> Shown:
    """:func:`everything`."""
    return everything

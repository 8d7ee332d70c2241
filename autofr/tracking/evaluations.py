"""Evaluations and comparisons in MLflow: one run each. The reports are the truth; a store that is down costs a line."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofr.exceptions import AutofrError
from autofr.runs.result import flatten, read_config
from autofr.tracking.store import MEMBER_TAG, client_of, experiment_of, metric_name, runs_of, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def log_evaluation(folder: Path, report: Mapping[str, Any]) -> None:
    """Log a report with its pictures; that of a search's network becomes a child of the search's run.

    Args:
        folder: the evaluation's.
        report: what its ``report.json`` holds.
    """
    run_dir = next((p for p in folder.resolve().parents if (p / "journal.jsonl").is_file()), None)
    about = {
        "model": report["model"],
        "benchmark": report["benchmark"],
        "flip": report["flip"],
        "masks": report["masks"],
    }
    name = f"evaluate {report['model']['name']} on {benchmark_name(report)}"
    _log(folder, run_dir, name, about, metrics_of(report))


def log_comparisons(folder: Path, compared: Mapping[str, Mapping[str, dict[str, Any]]]) -> None:
    """Log each benchmark's comparison as a run of its own: the figures of every model, by its name, and the pictures.

    Args:
        folder: where :func:`autofr.evaluation.compare.compare` wrote them.
        compared: what it returned.
    """
    for title, reports in compared.items():
        metrics = {
            f"{metric_name(name)}/{key}": v for name, report in reports.items() for key, v in metrics_of(report).items()
        }
        first = next(iter(reports.values()))
        about = {"benchmark": first["benchmark"], "models": ", ".join(reports)}
        where = folder if len(compared) == 1 else folder / title
        _log(where, None, f"compare on {benchmark_name(first)}", about, metrics)


def benchmark_name(report: Mapping[str, Any]) -> str:
    """``lfw (pairs)``."""
    benchmark = report["benchmark"]
    return f"{benchmark['data'] or 'embeddings'} ({benchmark['protocol']})"


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a report as metrics: ``standard/FNMR at FMR 0.001``, ``standard/EER`` and so on."""
    found: dict[str, float | None] = {}
    for row, entry in report["results"].items():
        prefix = metric_name(row)
        for kind in ("fnmr", "tar"):
            found |= {f"{prefix}/{kind.upper()} at FMR {rate['fmr']:g}": rate[kind] for rate in entry["rates"]}
        found |= {
            f"{prefix}/EER": entry["eer"],
            f"{prefix}/d-prime": entry["d_prime"],
            f"{prefix}/accuracy": entry.get("accuracy"),
        }
    found |= {metric_name(name): value for name, value in report["summary"].items()}
    return {key: value for key, value in found.items() if value is not None}


def runs_folder(folder: Path) -> Path:
    """The folder of runs that ``folder`` lies in: the nearest called ``runs``, or with a store at most three above it
    (one farther up, in a home or temporary folder, is of other things); else its parent."""
    above = folder.resolve().parents
    stores = [p for p in above[:3] if (p / "mlflow.db").is_file()]
    return next((p for p in above if p in stores or p.name == "runs"), above[0])


def _log(
    folder: Path,
    run_dir: Path | None,
    name: str,
    about: dict[str, Any],
    metrics: dict[str, float],
) -> None:
    runs = runs_folder(folder) if run_dir is None else run_dir.parent
    uri = tracking_uri(runs)
    try:
        client = client_of(uri)
        run = _run(client, uri, runs, run_dir, name)
        from mlflow.entities import Metric, Param

        client.log_batch(
            run,
            [Metric(key, value, int(time.time() * 1000), 0) for key, value in metrics.items()],
            [Param(key, str(value)[:6000]) for key, value in flatten(about).items()],
        )
        for path in sorted(p for p in folder.iterdir() if p.is_file()):
            client.log_artifact(run, str(path))
        client.set_terminated(run)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        logger.warning(f"MLflow at {uri} failed ({first}); the report in {folder} is complete")


def _run(client: MlflowClient, uri: str, runs: Path, run_dir: Path | None, name: str) -> str:
    """A new run, below that of the search if this store has it."""
    experiment, tags = experiment_of(client, uri, runs), {}
    config = None
    if run_dir is not None:
        with suppress(AutofrError):  # of another version: its evaluations are runs of their own
            config = read_config(run_dir)
    if config is not None:
        searched = runs_of(client, experiment, config)
        parents = [run.info.run_id for run in searched if MEMBER_TAG not in run.data.tags]
        tags = {"mlflow.parentRunId": parents[0]} if parents else {}
    return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)

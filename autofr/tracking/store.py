"""The MLflow store: where it is, and how autofr speaks to it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "autofr"
SEARCH_TAG, MEMBER_TAG = "autofr.search", "autofr.member"
"""Of every MLflow run of a search: which search it is of, and (not of the parent) which member."""


def tracking_uri(runs: Path) -> str:
    """Where runs are tracked: ``MLFLOW_TRACKING_URI``, or else a SQLite file in the folder of run directories."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"


def check_reachable(uri: str) -> None:
    """Nothing, if a store may be there: a look that costs nothing, where importing MLflow costs seconds.

    Raises:
        OSError: nobody listens at its address.
        sqlite3.Error: its database is locked, or none.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname is not None:
        if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
            return  # it is reached another way
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=10).close()
    elif uri.startswith("sqlite:///") and Path(uri.removeprefix("sqlite:///")).is_file():
        with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=5)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()


def client_of(uri: str) -> MlflowClient:
    """A client of the store at ``uri``."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a search makes no call that nobody asked for
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # and its notices do not tear the progress bar
    # A server that is down is found out in seconds, not in MLflow's minutes: the next generation tries again.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    return MlflowClient(uri)


def experiment_of(client: MlflowClient, uri: str, runs: Path) -> str:
    """The id of autofr's experiment, which is made if it is not there; files of a SQLite store lie beside it.

    Args:
        client: of the store.
        uri: of the store.
        runs: the folder of run directories.
    """
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    local = (runs / "mlartifacts").resolve().as_uri() if uri.startswith("sqlite") else None
    kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI then speaks of models, not of agents
    return str(client.create_experiment(EXPERIMENT, local, kind))


def search_id(config: dict[str, Any]) -> str:
    """Return what a search is called in the tags of its MLflow runs, from its configuration."""
    return str(config["run"]["id"])


def runs_of(client: MlflowClient, experiment: str, config: dict[str, Any]) -> list[Run]:
    """The MLflow runs of a search: the parent, and those of its members, which have a ``MEMBER_TAG``."""
    wanted = f"tags.`{SEARCH_TAG}` = '{search_id(config)}'"
    return list(client.search_runs([experiment], wanted, max_results=1000))


def metric_name(option: str) -> str:
    """A name in the characters that MLflow allows: ``ArcFace(m=0.3)`` becomes ``ArcFace m 0.3``."""
    return re.sub(r"[^\w.\-]+", " ", option).strip() or "option"

"""A search in MLflow: a view of its run directory, the same whenever it is made.

The parent run is the search; each member has a child run; each synced checkpoint is a LoggedModel. MLflow has the
weights that the run directory has, of the last two generations and the best: those of older ones are taken away again,
so that neither grows with the run. Times are those of the search, whenever it was logged. What was interrupted is found
by its tags and completed.

This module reads what the engine wrote, and stands above it.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from autofr.backbones.embedder import save_weights
from autofr.exceptions import AutofrError
from autofr.io.files import read_json
from autofr.runs.journal import Journal, kept_records
from autofr.runs.network import inference_part
from autofr.runs.pareto import ParetoSet
from autofr.runs.record import Record
from autofr.runs.result import SearchResult, flatten, read_config
from autofr.tracking.store import (
    MEMBER_TAG,
    SEARCH_TAG,
    client_of,
    experiment_of,
    metric_name,
    runs_of,
    search_id,
    tracking_uri,
)
from autofr.tracking.winner import save_winner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_BEGUN = "autofr.begun"
"""Tag of a parent run that has its parameters, configuration and data set."""


@dataclass
class _Runs:
    """The MLflow runs of one search.

    Attributes:
        experiment: its id.
        parent, members: ids of the runs.
        models: ids of the LoggedModels, by name, with whether each is complete.
        logged: the last generation that MLflow has; -1: none.
    """

    experiment: str
    parent: str
    members: list[str]
    models: dict[str, tuple[str, bool]]
    logged: int


class Mirror:
    """Brings MLflow up to what a run directory holds. One process at a time (``tracking.lock``).

    Args:
        run_dir: the search's.
        hear: takes ``calling`` and ``called`` around each call of MLflow.

    Raises:
        AutofrError: it is none. The methods raise whatever MLflow does; what they were about is done anew by the next.
    """

    def __init__(self, run_dir: Path, hear: Callable[[str], None] = lambda sign: None) -> None:
        self.run_dir, self.config, self.hear = run_dir, read_config(run_dir), hear
        self.uri = tracking_uri(run_dir.parent)
        self._runs: _Runs | None = None

    @property
    def complete(self) -> bool:
        """Whether the search is done, pictures and all."""
        return (self.run_dir / "report.json").is_file()

    def sync(self) -> int:
        """Log every committed generation that MLflow does not have. Returns how many there are."""
        client = self._client()
        runs = self._opened(client)
        journal = Journal(self.run_dir)
        known = runs.logged
        kept = kept_records(journal.records)
        pareto = ParetoSet([point for record in journal.records[: known + 1] for point in record.points])
        for record in journal.records[known + 1 :]:
            for point in record.points:
                pareto.offer(point)
            whole = record in kept and journal.whole(record)
            model = self._log_checkpoint(client, runs, record, journal if whole else None)
            for old in _superseded(journal.records[: record.generation + 1]):
                name = _model_name(self.run_dir, old)
                if old.generation <= known and name in runs.models:  # the others never had weights there
                    self._drop_weights(client, runs.models[name][0])
            self._log_metrics(client, runs, record, model, pareto)
            runs.logged = record.generation
        return len(journal.records)

    def end(self, status: str) -> None:
        """Say how the search ended; of one that is complete, log pictures, lineage and the winner."""
        client = self._client()
        runs = self._opened(client)
        result = SearchResult(self.run_dir)
        if status == "FINISHED":
            self._log_outcome(client, runs, result)
        ended = _milliseconds(result.records[-1].finished) if result.records else None
        for run_id in (*runs.members, runs.parent):
            client.set_terminated(run_id, status, ended or None)

    def _client(self) -> MlflowClient:
        made = client_of(self.uri)  # imports MLflow, which is no call of the store
        self.hear("imported")
        return cast("MlflowClient", _Audible(made, self.hear))

    def _opened(self, client: MlflowClient) -> _Runs:
        """The runs of this search: found, or made; of those that are there, what is missing."""
        if self._runs is None:
            experiment = experiment_of(client, self.uri, self.run_dir.parent)
            found = {run.data.tags.get(MEMBER_TAG, ""): run for run in runs_of(client, experiment, self.config)}
            parent = found.get("") or self._made(client, experiment, self.run_dir.name, {})
            parent_id = parent.info.run_id
            below = {"mlflow.parentRunId": parent_id}
            members = [
                found.get(str(m))
                or self._made(client, experiment, f"{self.run_dir.name} member {m}", {**below, MEMBER_TAG: str(m)})
                for m in range(self.config["population"])
            ]
            for run in (parent, *members):
                if run.info.status != "RUNNING":
                    client.update_run(run.info.run_id, "RUNNING")
            if _BEGUN not in parent.data.tags:
                self._log_configuration(client, parent_id)
            logged = int(parent.data.metrics.get("generation", -1))
            models = _models_of(client, experiment, parent_id)
            self._runs = _Runs(experiment, parent_id, [run.info.run_id for run in members], models, logged)
        return self._runs

    def _made(self, client: MlflowClient, experiment: str, name: str, tags: dict[str, str]) -> Run:
        started = _milliseconds(self.config["run"]["started"])
        tags = {**tags, SEARCH_TAG: search_id(self.config)}
        return client.create_run(experiment, started, tags, name)

    def _log_configuration(self, client: MlflowClient, parent: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        shown = {key: value for key, value in self.config.items() if key != "run"}
        client.log_batch(parent, params=[Param(k, str(v)[:6000]) for k, v in flatten(shown).items()])
        client.log_dict(parent, self.config, "config.json")
        data = self.config["data"]
        source = json.dumps({"uri": data["source"] or "drawn faces"})
        profile = json.dumps({"images": data["images"], "identities": data["identities"]})
        dataset = Dataset(
            Path(data["source"] or "synthetic").name, data["fingerprint"], "local", source, profile=profile
        )
        client.log_inputs(parent, [DatasetInput(dataset, [InputTag("mlflow.data.context", "search")])])
        client.set_tag(parent, _BEGUN, "yes")

    def _log_checkpoint(self, client: MlflowClient, runs: _Runs, record: Record, journal: Journal | None) -> str:
        """The id of the LoggedModel of a generation; with its weights, from the checkpoint in ``journal``."""
        name = _model_name(self.run_dir, record)
        model, ready = runs.models.get(name, ("", False))
        if not model:
            choice = record.drawn[record.winner]
            made = client.create_logged_model(runs.experiment, name, runs.parent, params=choice, model_type="embedder")
            model, _ = runs.models[name] = made.model_id, False
        elif not ready:  # a process that was killed may have sent part of the weights, which are not to stay
            self._drop_weights(client, model)
        if not ready:
            with contextlib.suppress(AutofrError), tempfile.TemporaryDirectory() as folder:  # cleaned up meanwhile
                entry = None if journal is None else journal.winner(record)
                if entry is not None:
                    save_weights(Path(folder) / "checkpoint", *inference_part(entry, record.network, self.config))
                    client.log_model_artifacts(model, str(Path(folder) / "checkpoint"))
            client.finalize_logged_model(model, "READY")
            runs.models[name] = model, True
        return model

    def _drop_weights(self, client: MlflowClient, model: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with contextlib.suppress(Exception):  # a store that does not delete, or has deleted it before
            get_artifact_repository(client.get_logged_model(model).artifact_location).delete_artifacts()

    def _log_metrics(self, client: MlflowClient, runs: _Runs, record: Record, model: str, pareto: ParetoSet) -> None:
        from mlflow.entities import Metric

        def metrics(values: Mapping[str, float | None], model_id: str | None = None) -> list[Metric]:
            # The search's own time: what is logged twice is then the same metric, which MLflow keeps once.
            time = _milliseconds(record.finished)
            found = {key: float(value) for key, value in values.items() if value is not None}
            return [Metric(key, value, time, record.generation, model_id=model_id) for key, value in found.items()]

        for m, run_id in enumerate(runs.members):
            chosen = {f"choice/{dim}": float(i) for dim, i in record.assignments[m].items()}
            score = {**record.scores[m], "reward": record.rewards[m], "loss": record.losses[m]}
            cost = {"cost": record.costs[m]} if record.costs else {}
            client.log_batch(run_id, metrics({**chosen, **score, **cost, "won": float(m == record.winner)}))
            trouble = record.troubles[m] if record.troubles else None
            if trouble is not None:
                client.set_tag(run_id, f"generation {record.generation}", trouble[:4000])
        score = record.achieved
        client.log_batch(runs.parent, metrics({f"checkpoint/{key}": v for key, v in score.items()}, model))
        best = {f"best/{k}": v for k, v in {**score, "loss": record.losses[record.winner]}.items()}
        alpha = {
            f"alpha/{dim}/{metric_name(name)}": p
            for dim, names in self.config["space"]["options"].items()
            for name, p in zip(names, record.alpha[dim], strict=True)
        }
        # "generation" goes with the last write of a generation: whoever goes on logs what comes after it.
        front: dict[str, float | None] = {}
        if pareto.points:
            cheapest, best_one = pareto.points[0], pareto.points[-1]
            front = {"pareto/networks": float(len(pareto.points)), "pareto/lowest error": best_one.error}
            front["pareto/lowest cost"] = cheapest.cost
        last = {**best, **alpha, **front, "epoch": record.epoch, "generation": float(record.generation)}
        client.log_batch(runs.parent, metrics(last))

    def _log_outcome(self, client: MlflowClient, runs: _Runs, result: SearchResult) -> None:
        for name in ("alpha.png", "lineage.png", "masks.png", "pareto.png", "report.json"):
            if (self.run_dir / name).is_file():
                client.log_artifact(runs.parent, str(self.run_dir / name))
        # MLflow's table format by hand: its log_table appends, and a resume would double the rows.
        tables = {"lineage.json": result.lineage, "pareto.json": [point.said() for point in result.pareto]}
        tables = {name: rows for name, rows in tables.items() if rows}
        for name, rows in tables.items():
            table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
            client.log_dict(runs.parent, table, name)
        shown = [{"path": name, "type": "table"} for name in tables]
        client.set_tag(runs.parent, "mlflow.loggedArtifacts", json.dumps(shown))
        client.set_tag(runs.parent, "winner", self._log_winner(client, runs, result))

    def _log_winner(self, client: MlflowClient, runs: _Runs, result: SearchResult) -> str:
        """The id of the LoggedModel of the search's winner, registered by hand: ``mlflow.pytorch.log_model`` would need
        the process's tracking URI changed, which is the caller's."""
        said = read_json(result.checkpoint / "config.json")
        picked = said.get("picked") if isinstance(said, dict) else None
        name = "winner" if picked is None else re.sub(r"[/:.%\"']", "_", f"winner {picked}")
        if name not in runs.models:
            made = client.create_logged_model(runs.experiment, name, runs.parent, model_type="embedder")
            runs.models[name] = made.model_id, False
        model, ready = runs.models[name]
        if not ready:
            with tempfile.TemporaryDirectory() as folder:
                save_winner(result.checkpoint, Path(folder) / "winner")
                client.log_model_artifacts(model, f"{folder}/winner")
            client.finalize_logged_model(model, "READY")
            runs.models[name] = model, True
        return model


class _Audible:
    """A client whose every call is heard."""

    def __init__(self, client: MlflowClient, hear: Callable[[str], None]) -> None:
        self._client, self._hear = client, hear

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def heard(*arguments: Any, **settings: Any) -> Any:
            self._hear("calling")
            found = method(*arguments, **settings)
            self._hear("called")
            return found

        return heard


def _models_of(client: MlflowClient, experiment: str, parent: str) -> dict[str, tuple[str, bool]]:
    found: dict[str, tuple[str, bool]] = {}
    token: str | None = ""
    while token is not None:
        page = client.search_logged_models([experiment], f"source_run_id = '{parent}'", page_token=token or None)
        found |= {model.name: (model.model_id, str(model.status) == "READY") for model in page}
        token = page.token or None
    return found


def _model_name(run_dir: Path, record: Record) -> str:
    return re.sub(r"[/:.%\"']", "_", f"gen-{record.generation:04d}-{run_dir.name}")


def _superseded(records: Sequence[Record]) -> list[Record]:
    """The generations whose weights the last one of ``records`` made superfluous."""
    kept = kept_records(records)
    return [record for record in kept_records(records[:-1]) if record not in kept]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

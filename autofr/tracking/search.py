"""Searches in MLflow: a view of the journal. Whatever is missing in MLflow is filled in from there.

The parent run is the search; each member has a child run; each synced checkpoint is a LoggedModel. All of it happens
on one thread of its own, so that training does not wait for a database. That thread builds no network and draws no
random number: torch's RNG belongs to training.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from autofr.embedder import Embedder, inference_part, save_weights
from autofr.files import write_json
from autofr.tracking.store import client_of, experiment_of, flatten, metric_name, tracking_uri

if TYPE_CHECKING:  # the engine stands above this module; it hands in its records
    from mlflow import MlflowClient

    from autofr.search.journal import Journal, Record
    from autofr.search.population import WeightBank
    from autofr.search.result import SearchResult

_HELD = 8
"""Networks kept in memory for a store that is slow; of older ones only the metrics are logged later."""
_Model: TypeAlias = tuple[dict[str, Any], dict[str, Tensor]]


@dataclass
class _Runs:
    """The MLflow runs of one search: ids, and the last generation that is in them."""

    experiment: str
    parent: str
    members: list[str]
    logged: int = -1


class Tracker:
    """Writes one search to MLflow.

    A failure is said once and stops neither the search nor later attempts. A slow store does not pile up work: at most
    one write waits for the one under way, and it writes all that is missing by then.

    Args:
        run_dir: the search's directory; ``mlflow.json`` in it remembers the MLflow runs for a resume.
        config: the resolved configuration.
        say: takes a line for the user.
        enabled: ``False`` makes every method do nothing.
    """

    def __init__(self, run_dir: Path, config: dict[str, Any], say: Callable[[str], None], enabled: bool = True) -> None:
        self.run_dir, self.config, self.say, self.enabled = run_dir, config, say, enabled
        self.uri = tracking_uri(run_dir.parent)
        self._runs: _Runs | None = None
        self._failed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracking")
        self._models: dict[int, _Model] = {}  # networks of recent generations, until MLflow has them
        self._wanted: Callable[[], None] | None = None
        self._waiting: Future[None] | None = None

    def sync(self, journal: Journal, bank: WeightBank) -> None:
        """Log every committed generation that MLflow does not have. Returns at once.

        Args:
            journal: the truth.
            bank: the weight bank as of its last record.
        """
        records = list(journal.records)
        record = records[-1]
        key = record.keys[record.winner]
        self._models[record.generation] = inference_part(bank.entries[key].state, key, self.config)
        logged = -1 if self._runs is None else self._runs.logged
        recent = range(max(logged + 1, record.generation + 1 - _HELD), record.generation + 1)
        held = self._models = {g: model for g, model in self._models.items() if g in recent}
        self._wanted = lambda: self._sync(journal, records, held)
        if self.enabled and (self._waiting is None or self._waiting.running() or self._waiting.done()):
            self._waiting = self._thread.submit(self._guarded, self._sync_wanted)

    def finish(self, result: SearchResult, winner: Embedder, pictures: list[Path]) -> None:
        """Log pictures, the lineage and the winner, mark the runs finished, and wait until all is written."""
        if self.enabled:
            self._thread.submit(self._guarded, lambda: self._finish(result, winner, pictures))
        self._thread.shutdown()

    def abandon(self, status: str) -> None:
        """Mark the runs ``KILLED`` or ``FAILED``, and wait for what is under way, not for what is queued."""
        if self.enabled and not self._failed:
            self._thread.submit(self._guarded, lambda: self._terminate(status))
        self._thread.shutdown(cancel_futures=self._failed)

    def _sync_wanted(self) -> None:
        if self._wanted is not None:
            self._wanted()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            if not self._failed:
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                self.say(f"MLflow at {self.uri} failed ({first}); the search goes on, its journal is complete")
            self._failed = True

    def _client(self) -> MlflowClient:
        return client_of(self.uri)

    def _opened(self, client: MlflowClient) -> _Runs:
        """The runs of this search: remembered, found again, or made."""
        if self._runs is None:
            self._runs = self._found(client) or self._created(client)
        return self._runs

    def _found(self, client: MlflowClient) -> _Runs | None:
        from mlflow.exceptions import MlflowException

        memory = self.run_dir / "mlflow.json"
        if not memory.exists():
            return None
        stored = json.loads(memory.read_text(encoding="utf-8"))
        try:
            run = client.get_run(stored["parent"])
            for run_id in (stored["parent"], *stored["members"]):
                client.update_run(run_id, "RUNNING")
        except MlflowException:  # another store, or deleted there: fill a new run from the journal
            return None
        return _Runs(**stored, logged=int(run.data.metrics.get("generation", -1)))

    def _created(self, client: MlflowClient) -> _Runs:
        from mlflow.entities import Param

        experiment = experiment_of(client, self.uri, self.run_dir.parent)
        name = self.run_dir.name
        parent = client.create_run(experiment, run_name=name).info.run_id
        tags = {"mlflow.parentRunId": parent}
        members = [
            client.create_run(experiment, run_name=f"{name} member {m}", tags=tags).info.run_id
            for m in range(self.config["population"])
        ]
        client.log_batch(parent, params=[Param(k, str(v)[:6000]) for k, v in flatten(self.config).items()])
        client.log_dict(parent, self.config, "config.json")
        self._log_dataset(client, parent)
        write_json(self.run_dir / "mlflow.json", {"experiment": experiment, "parent": parent, "members": members})
        return _Runs(experiment, parent, members)

    def _log_dataset(self, client: MlflowClient, parent: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = self.config["data"]
        source = json.dumps({"uri": data["source"] or "drawn faces"})
        profile = json.dumps({"images": data["images"], "identities": data["identities"]})
        dataset = Dataset(
            Path(data["source"] or "synthetic").name, data["fingerprint"], "local", source, profile=profile
        )
        client.log_inputs(parent, [DatasetInput(dataset, [InputTag("mlflow.data.context", "search")])])

    def _sync(self, journal: Journal, records: list[Record], held: dict[int, _Model]) -> None:
        client = self._client()
        runs = self._opened(client)
        for record in records[runs.logged + 1 :]:
            key, model = record.keys[record.winner], held.get(record.generation)
            if model is None and (state := journal.winner_state(record)) is not None:
                model = inference_part(state, key, self.config)
            if model is not None:  # a checkpoint that was cleaned up long ago leaves its metrics alone
                self._log_checkpoint(client, runs, record, model)
            self._log_metrics(client, runs, record)
            runs.logged = record.generation

    def _log_metrics(self, client: MlflowClient, runs: _Runs, record: Record) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)

        def log(run_id: str, values: dict[str, float | None]) -> None:
            metrics = [Metric(k, float(v), now, record.generation) for k, v in values.items() if v is not None]
            client.log_batch(run_id, metrics=metrics)

        for m, run_id in enumerate(runs.members):
            chosen = {f"choice/{dim}": float(i) for dim, i in record.assignments[m].items()}
            score = {**record.scores[m], "reward": record.rewards[m], "loss": record.losses[m]}
            log(run_id, {**chosen, **score, "won": float(m == record.winner)})
        best = {f"best/{k}": v for k, v in record.scores[record.winner].items()}
        best |= {"best/reward": record.rewards[record.winner], "best/loss": record.losses[record.winner]}
        alpha = {
            f"alpha/{dim}/{metric_name(name)}": p
            for dim, names in self.config["space"]["options"].items()
            for name, p in zip(names, record.alpha[dim], strict=True)
        }
        # "generation" goes with the last write of a generation: a resume logs what comes after it.
        log(runs.parent, {**best, **alpha, "epoch": record.epoch, "generation": float(record.generation)})

    def _log_checkpoint(self, client: MlflowClient, runs: _Runs, record: Record, model: _Model) -> None:
        choice = record.drawn[record.winner] if record.drawn else {}
        name = f"gen-{record.generation:04d}-{self.run_dir.name}"
        logged = client.create_logged_model(
            runs.experiment, re.sub(r"[/:.%\"']", "_", name), runs.parent, params=choice, model_type="embedder"
        )
        with tempfile.TemporaryDirectory() as folder:
            save_weights(Path(folder) / "checkpoint", *model)
            client.log_model_artifacts(logged.model_id, str(Path(folder) / "checkpoint"))
        for key, value in {**record.scores[record.winner], "reward": record.rewards[record.winner]}.items():
            if value is not None:
                client.log_metric(
                    runs.parent, f"checkpoint/{key}", value, step=record.generation, model_id=logged.model_id
                )
        client.finalize_logged_model(logged.model_id, "READY")

    def _finish(self, result: SearchResult, winner: Embedder, pictures: list[Path]) -> None:
        client = self._client()
        runs = self._opened(client)
        for picture in pictures:
            client.log_artifact(runs.parent, str(picture))
        # MLflow's table format by hand: its log_table appends, and a resume would double the rows.
        rows = result.lineage
        table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
        client.log_dict(runs.parent, table, "lineage.json")
        client.set_tag(runs.parent, "mlflow.loggedArtifacts", json.dumps([{"path": "lineage.json", "type": "table"}]))
        if "winner" not in client.get_run(runs.parent).data.tags:  # a finished run that is resumed has it
            client.set_tag(runs.parent, "winner", self._log_winner(client, runs, winner))
        self._terminate("FINISHED")

    def _terminate(self, status: str) -> None:
        if self._runs is not None:
            client = self._client()
            for run_id in (*self._runs.members, self._runs.parent):
                client.set_terminated(run_id, status)

    def _log_winner(self, client: MlflowClient, runs: _Runs, winner: Embedder) -> str:
        """Save in MLflow's own flavour, and register by hand: ``mlflow.pytorch.log_model`` would need the process's
        tracking URI changed, which is the caller's."""
        import mlflow

        model = client.create_logged_model(runs.experiment, "winner", runs.parent, model_type="embedder")
        with tempfile.TemporaryDirectory() as folder:
            # Requirements are named: inferring them costs seconds and a second process.
            mlflow.pytorch.save_model(
                winner, f"{folder}/winner", pip_requirements=["autofr"], serialization_format="pickle"
            )
            client.log_model_artifacts(model.model_id, f"{folder}/winner")
        client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

"""A study in MLflow: a view of its directory. The study is a run, every trial a child run with its parameters, so that
MLflow's parallel coordinates and its other comparisons work on them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autofr.exceptions import AutofrError
from autofr.runs.result import SearchResult
from autofr.studies.plan import Plan
from autofr.studies.worker import STILLBORN, open_study, trial_dir
from autofr.system.lock import locked
from autofr.tracking.store import check_reachable, client_of, experiment_of, metric_name, tracking_uri
from autofr.tracking.sync import mlflow_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from optuna.trial import FrozenTrial

STUDY_TAG, TRIAL_TAG = "autofr.study", "autofr.trial"
_DONE = "autofr.complete"
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


def mirror_study(study_dir: Path, stopped: bool = False) -> int:
    """Bring MLflow up to what the study's directory holds. What is there already is left as it is.

    Args:
        study_dir: the study's.
        stopped: the study was told to stop; it is then ``KILLED``, until it goes on.

    Returns:
        How many trials there are.

    Raises:
        Exception: whatever MLflow raises; what was not written is written by the next call.
    """
    plan = Plan.load(study_dir)
    uri = tracking_uri(study_dir.parent)
    check_reachable(uri)
    with locked(study_dir / "tracking.lock", "another process writes this study to MLflow", patience=600):
        client = client_of(uri)
        experiment = experiment_of(client, uri, study_dir.parent)
        runs = {run.data.tags.get(TRIAL_TAG, ""): run for run in _runs_of(client, experiment, plan)}
        parent = runs.get("") or _begun(client, experiment, study_dir, plan)
        trials = open_study(study_dir, plan).get_trials()
        for trial in trials:
            run = runs.get(str(trial.number))
            if run is None or _DONE not in run.data.tags:
                _log_trial(client, experiment, parent.info.run_id, run, trial, study_dir, plan)
        _close(client, parent, trials, plan, stopped)
    return len(trials)


def sync_study(study_dir: Path) -> str:
    """Bring MLflow up to what the study in ``study_dir`` holds. Return a line on what it has now.

    Raises:
        AutofrError: no study, or an MLflow that cannot be reached.
    """
    uri = tracking_uri(study_dir.parent)
    with mlflow_errors(uri):
        return f"MLflow at {uri} has all {mirror_study(study_dir)} trials of {study_dir}"


def _runs_of(client: MlflowClient, experiment: str, plan: Plan) -> list[Run]:
    found: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment], f"tags.`{STUDY_TAG}` = '{plan.id}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _begun(client: MlflowClient, experiment: str, study_dir: Path, plan: Plan) -> Run:
    from mlflow.entities import Param

    run = client.create_run(experiment, round(plan.started * 1000), {STUDY_TAG: plan.id}, study_dir.name)
    shown: dict[str, Any] = {"space": plan.space, "data": plan.data, "trials": plan.trials, "seed": plan.seed}
    shown |= {"sampler": plan.sampler, "pruner": plan.pruner}
    shown |= {f"vary.{name}": text for name, text in plan.vary.items()} | plan.settings
    client.log_batch(run.info.run_id, params=[Param(k, str(v)[:6000]) for k, v in shown.items()])
    return run


def _log_trial(
    client: MlflowClient,
    experiment: str,
    parent: str,
    run: Run | None,
    trial: FrozenTrial,
    study_dir: Path,
    plan: Plan,
) -> None:
    """Parameters, metrics by generation as far as the trial has come, and how it ended."""
    from mlflow.entities import Metric, Param

    if run is None:
        tags = {STUDY_TAG: plan.id, TRIAL_TAG: str(trial.number), "mlflow.parentRunId": parent}
        began = None if trial.datetime_start is None else round(trial.datetime_start.timestamp() * 1000)
        run = client.create_run(experiment, began, tags, f"{study_dir.name} trial {trial.number}")
    run_id, metrics = run.info.run_id, []
    client.log_batch(run_id, params=[Param(name, str(value)) for name, value in trial.params.items()])
    records = []
    with contextlib.suppress(AutofrError):  # it failed before its search began
        records = SearchResult(trial_dir(study_dir, trial.number)).records
    for record in records:
        score = {**record.achieved, "epoch": record.epoch}
        alpha = {f"alpha/{dim}/{k}": p for dim, row in record.alpha.items() if len(row) > 1 for k, p in enumerate(row)}
        time = round(record.finished * 1000)
        values = {**score, **alpha}.items()
        metrics += [Metric(metric_name(k), v, time, record.generation) for k, v in values if v is not None]
    if records:
        best = max(record.reward for record in records)
        metrics.append(Metric("best_reward", best, round(records[-1].finished * 1000), 0))
    for first in range(0, len(metrics), 900):  # a batch holds 1000
        client.log_batch(run_id, metrics=metrics[first : first + 900])
    if trial.state.is_finished():
        if "error" in trial.user_attrs:
            client.set_tag(run_id, "error", trial.user_attrs["error"])
        client.set_tag(run_id, "state", trial.state.name)
        client.set_terminated(run_id, _STATUS[trial.state.name], _ended(trial) or None)
        client.set_tag(run_id, _DONE, "yes")


def _close(client: MlflowClient, parent: Run, trials: list[FrozenTrial], plan: Plan, stopped: bool) -> None:
    """Say what is best so far, and whether there is more to come."""
    from mlflow.entities import Metric

    run_id = parent.info.run_id
    done = sorted((t for t in trials if t.state.name == "COMPLETE"), key=_ended)
    best: FrozenTrial | None = None
    history = []
    for step, trial in enumerate(done):
        if best is None or (trial.value or 0.0) > (best.value or 0.0):
            best = trial
        history.append(
            Metric("best_reward", float(best.value or 0.0), _ended(trial), step)
        )  # the same whenever it is made
    for first in range(0, len(history), 900):
        client.log_batch(run_id, metrics=history[first : first + 900])
    if best is not None:
        client.set_tag(run_id, "best trial", str(best.number))
    complete = sum(STILLBORN not in t.user_attrs for t in trials) >= plan.trials and all(map(_is_finished, trials))
    if complete and parent.info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED", max(map(_ended, trials)))
    elif not complete and stopped:
        client.set_terminated(run_id, "KILLED")
    elif not complete and parent.info.status != "RUNNING":  # it goes on, perhaps with more trials
        client.update_run(run_id, "RUNNING")


def _is_finished(trial: FrozenTrial) -> bool:
    return trial.state.is_finished()


def _ended(trial: FrozenTrial) -> int:
    """When a trial ended, milliseconds since 1970; 0: it has not."""
    return 0 if trial.datetime_complete is None else round(trial.datetime_complete.timestamp() * 1000)

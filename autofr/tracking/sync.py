"""``autofr sync-tracking``: what MLflow missed, filled in from the run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autofr.exceptions import AutofrError
from autofr.io.files import read_json
from autofr.runs.result import ENDED, SearchResult
from autofr.system.lock import is_locked, locked
from autofr.tracking.follower import reason
from autofr.tracking.mirror import Mirror
from autofr.tracking.store import check_reachable


def sync_tracking(run_dir: Path) -> str:
    """Bring MLflow up to what the run in ``run_dir`` committed. It ends up as if it had never been away.

    Returns:
        A line on what it has now.

    Raises:
        AutofrError: no run directory, a damaged journal, another process that writes the same search to MLflow, or an
            MLflow that cannot be reached.
    """
    mirror = Mirror(run_dir)
    busy = f"the search in {run_dir} is being written to MLflow by its own process; wait until it ends"
    with locked(run_dir / "tracking.lock", busy, patience=1):
        at_work = is_locked(run_dir / "lock")  # before it is asked how it ended
        SearchResult(run_dir).records  # noqa: B018  # sound, or it is no fault of MLflow's
        status = "RUNNING" if at_work else "FINISHED" if mirror.complete else _ended(run_dir)
        with mlflow_errors(mirror.uri):
            check_reachable(mirror.uri)
            generations = mirror.sync()
            if status != "RUNNING":
                mirror.end(status)
    return f"MLflow at {mirror.uri} has all {generations} generations of {run_dir} ({status.lower()})"


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow raises in a block into an :class:`AutofrError` that names the store at ``uri``."""
    try:
        yield
    except AutofrError:
        raise
    except Exception as error:
        raise AutofrError(f"MLflow at {uri} failed ({reason(error)}); start it, and try again") from error


def _ended(run_dir: Path) -> str:
    """How a search ended that is not complete: if it did not say so, it was killed."""
    path = run_dir / ENDED
    told = read_json(path) if path.is_file() else None
    return "FAILED" if isinstance(told, dict) and told.get("status") == "FAILED" else "KILLED"

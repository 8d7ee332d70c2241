"""`autofr ui`: MLflow's own UI over the runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from autofr.exceptions import AutofrError
from autofr.tracking import tracking_uri


def open_ui(runs: Path, host: str, port: int) -> None:
    """Serve MLflow's UI until it is stopped.

    Args:
        runs: a run directory, or the folder of several.
        host: address to listen on; loopback unless the user says otherwise.
        port: port to listen on.

    Raises:
        AutofrError: nothing has been tracked there, or the server cannot start.
    """
    folder = runs.resolve().parent if (runs / "config.json").is_file() else runs
    uri = tracking_uri(folder)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise AutofrError(f"nothing is tracked in {folder}: it has no mlflow.db; give a run directory or their folder")
    print(f"MLflow UI of {uri} at http://{host}:{port} (Ctrl-C stops it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(port)]
    status = subprocess.run(command, env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}).returncode
    if status not in (0, 130, -2, -15):
        raise AutofrError(f"MLflow's UI stopped with status {status}; is port {port} in use? try --port")

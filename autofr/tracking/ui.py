"""`autofr ui`: MLflow's own UI over the runs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
from pathlib import Path

from autofr.exceptions import AutofrError
from autofr.system.subprocesses import environment, module_command
from autofr.tracking import tracking_uri

logger = logging.getLogger(__name__)


def open_ui(runs: Path, host: str, port: int) -> None:
    """Serve MLflow's UI until it is stopped.

    Args:
        runs: a run directory, or the folder of several.
        host: address to listen on; loopback unless the user says otherwise.
        port: port to listen on.

    Raises:
        AutofrError: nothing has been tracked there, or the server cannot start.
    """
    one = (runs / "config.json").is_file() or (runs / "study.json").is_file()
    folder = runs.resolve().parent if one else runs
    uri = tracking_uri(folder)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise AutofrError(
            f"nothing is tracked in {folder}: it has no mlflow.db; give a run directory or their folder, or fill it in "
            "with autofr sync-tracking RUN_DIR"
        )
    if uri.startswith(("http://", "https://")):
        raise AutofrError(f"runs in {folder} are tracked by the server at {uri}: open that address in a browser")
    _check_free(host, port)
    logger.info(f"MLflow UI of {uri} at http://{host}:{port} (Ctrl-C stops it)")
    command = module_command("mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(port))
    # A group of its own: MLflow starts workers, and all of them go when this process is told to.
    quiet = environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(command, env=quiet, start_new_session=True)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = server.wait()
    finally:
        signal.signal(signal.SIGTERM, previous)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
    if status:
        raise AutofrError(f"MLflow's UI stopped with status {status}; its own words are above")


def _check_free(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise AutofrError(f"a port is a number from 1 to 65535, got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AutofrError(f"cannot listen on {host}:{port} ({error.strerror}); try another --port") from error

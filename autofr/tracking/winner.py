"""A search's best network in MLflow's own flavour."""

from __future__ import annotations

import shutil
from pathlib import Path

from autofr.backbones import can_make
from autofr.io.files import read_json
from autofr.runs.network import load_embedder


def save_winner(checkpoint: Path, folder: Path) -> None:
    """Write the network of a run's ``model/`` to ``folder``, for ``mlflow.pytorch.load_model``.

    A network of the user's own is registered in the search's process and not in this one: of that, the folder gets the
    weights as they lie in ``model/``.
    """
    config = read_json(checkpoint / "config.json")
    if not (isinstance(config, dict) and can_make(str(config.get("backbone")))):
        shutil.copytree(checkpoint, folder)
        return
    import mlflow

    # Requirements are named: inferring them costs seconds and a second process.
    mlflow.pytorch.save_model(
        load_embedder(checkpoint), str(folder), pip_requirements=["autofr"], serialization_format="pickle"
    )

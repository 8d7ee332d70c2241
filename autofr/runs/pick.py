"""The Pareto set of a run as networks on disk, and which of them is the run's ``model/``."""

from __future__ import annotations

import re
from pathlib import Path

from autofr.exceptions import AutofrError, UnknownNameError
from autofr.io.files import replacing_folder, write_json
from autofr.runs.bank import WeightBank
from autofr.runs.journal import Journal
from autofr.runs.network import point_embedder
from autofr.runs.pareto import PRICES, Trade
from autofr.runs.result import SearchResult
from autofr.system.lock import locked


def save_pareto(result: SearchResult, bank: WeightBank) -> None:
    """Write every network of the set to ``RUN_DIR/pareto/NN-NAME``, from the cheapest to the dearest; each is a folder
    that :func:`autofr.load_embedder` takes. What was there is replaced."""
    with replacing_folder(result.run_dir / "pareto") as folder:
        for place, point in enumerate(bank.pareto.points):
            name = f"{place:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', point.backbone)[:100]}"
            point_embedder(point, result.config, f"run {result.run_dir}").save(folder / name)


def pick(run_dir: str | Path, prefer: str) -> SearchResult:
    """Make another network of the Pareto set the run's ``model/``, and say so in its ``report.json``. ``autofr
    sync-tracking`` then makes it MLflow's winner.

    Args:
        run_dir: a search over networks that is done.
        prefer: a key of :data:`autofr.runs.pareto.PRICES`.

    Raises:
        AutofrError: no such preference, or the run searched no networks, or goes on.
    """
    if prefer not in PRICES:
        raise UnknownNameError("preference", prefer, PRICES)
    result = SearchResult(Path(run_dir))
    if "trade" not in result.config or not result.records:
        raise AutofrError(f"{run_dir} has no Pareto set: it searched no networks, or has no generation yet")
    with locked(result.run_dir / "lock", f"another process works on {run_dir}; wait for it, then pick"):
        bank = Journal(result.run_dir).newest_bank()
        point = bank.pareto.pick(Trade(result.config["trade"]["cost"], prefer))
        embedder = point_embedder(point, result.config, f"run {run_dir}")
        embedder.config["picked"] = prefer
        embedder.save(result.checkpoint)
        save_pareto(result, bank)
        if (result.run_dir / "report.json").is_file():  # of a run that is complete
            write_json(result.run_dir / "report.json", SearchResult(result.run_dir).report())
    return SearchResult(result.run_dir)

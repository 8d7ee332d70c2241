"""The Pareto set of a run as networks on disk, and which of them is the run's ``model/``."""

from __future__ import annotations

import re
from pathlib import Path

from autofr.embedder import point_embedder
from autofr.exceptions import AutofrError, unknown
from autofr.files import replacing_folder
from autofr.lock import locked
from autofr.search.bank import WeightBank
from autofr.search.journal import Journal
from autofr.search.pareto import PRICES, Trade
from autofr.search.result import SearchResult


def save_pareto(result: SearchResult, bank: WeightBank) -> None:
    """Write every network of the set to ``RUN_DIR/pareto/NAME``, a folder that :func:`autofr.load_embedder` takes. What
    was there is replaced."""
    with replacing_folder(result.run_dir / "pareto") as folder:
        for point in bank.pareto.points:
            name = re.sub(r"[^\w.-]+", "_", point.backbone)
            point_embedder(point, result.config, f"run {result.run_dir}").save(folder / name)


def pick(run_dir: str | Path, prefer: str) -> SearchResult:
    """Make another network of the Pareto set the run's ``model/``.

    Args:
        run_dir: a search over networks that is done.
        prefer: a key of :data:`autofr.search.pareto.PRICES`.

    Raises:
        AutofrError: no such preference, or the run searched no networks, or goes on.
    """
    if prefer not in PRICES:
        raise unknown("preference", prefer, PRICES)
    result = SearchResult(Path(run_dir))
    if "trade" not in result.config or not result.records:
        raise AutofrError(f"{run_dir} has no Pareto set: it searched no networks, or has no generation yet")
    with locked(result.run_dir / "lock", f"another process works on {run_dir}; wait for it, then pick"):
        point = Journal(result.run_dir).newest_bank().pareto.pick(Trade(result.config["trade"]["cost"], prefer))
        point_embedder(point, result.config, f"run {run_dir}").save(result.checkpoint)
    return result

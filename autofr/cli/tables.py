"""Print results as tables on the terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autofr.console import command_name
from autofr.runs.pareto import PRICES, ParetoSet, Trade
from autofr.runs.result import SearchResult
from autofr.space.load import available_spaces
from autofr.tracking import tracking_uri

if TYPE_CHECKING:
    from autofr.data.pack import Packed
    from autofr.detection.run import Found
    from autofr.evaluation.mask_sheet import Sheet
    from autofr.studies.run import StudyResult


def print_search(result: SearchResult, tracked: bool) -> None:
    """The outcome of a search or a training: best options, α, errors before and after, where to look further.

    Args:
        result: the outcome.
        tracked: whether it was to be written to MLflow.
    """
    console = Console(highlight=False)
    before, after = result.scores
    fmr = result.config["recipe"]["fmr"]
    searched = any(len(names) > 1 for names in result.config["space"]["options"].values())
    table = Table(title="search result" if searched else "training result", title_justify="left")
    table.add_column("")
    generation = result.chosen[0].generation + 1  # as the lines of the search count
    table.caption = f"after: the network in model/, of generation {generation} of {len(result.records)}"
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_row(f"SFR  FNMR@FMR={fmr:g}", _share(before.get("sfr")), _share(after["sfr"]))
    if after["mfr"] is not None:
        table.add_row(f"MFR  FNMR@FMR={fmr:g}", _share(before.get("mfr")), _share(after["mfr"]))
    chosen = Table(title="final α", title_justify="left")
    chosen.add_column("dimension")
    chosen.add_column("option")
    chosen.add_column("α", justify="right")
    for (dimension, option), p in zip(result.options, result.alpha[-1], strict=True):
        options = result.config["space"]["options"][dimension]
        leads = options[result.leading[dimension]] == option
        best = leads and (len(options) == 1 or p > 1 / len(options) + 1e-9)
        chosen.add_row(dimension, f"[bold]{escape(option)}  best[/]" if best else escape(option), f"{p:.3f}")
    if searched:
        console.print(chosen)
    console.print(table)
    for dimension, option in result.best.items() if searched else ():
        column = [k for k, (name, _) in enumerate(result.options) if name == dimension]
        flat = len(column) > 1 and np.ptp(result.alpha[-1, column]) < 1e-9
        told = "none: α is flat, the search has preferred nothing" if flat else option
        console.print(f"best {dimension}: {told}", markup=False)
    if result.pareto:
        print_pareto(result, console)
    console.print(f"run directory: {result.run_dir}", markup=False, soft_wrap=True)
    uri = tracking_uri(result.run_dir.parent)
    look = f"at {uri}" if uri.startswith("http") else f"{command_name()} ui {result.run_dir}"
    filled = "" if tracked else f"after {command_name()} sync-tracking {result.run_dir}: "
    console.print(f"see it in MLflow: {filled}{look}", markup=False, soft_wrap=True)


def print_pareto(result: SearchResult, console: Console | None = None) -> None:
    """The networks that nothing beats in both error and cost, and which each preference picks."""
    console = console or Console(highlight=False)
    kind, points = result.config["trade"]["cost"], result.pareto
    picked = {prefer: ParetoSet(points).pick(Trade(kind, prefer)) for prefer in PRICES}
    record, member = result.chosen
    table = Table(title="Pareto set: nothing has less error at no more cost", title_justify="left")
    table.caption = "all of them are in pareto/"
    table.add_column("network", overflow="fold")
    table.add_column(f"{kind}, ms" if kind == "latency" else kind, justify="right")
    table.add_column("error", justify="right")
    table.add_column("--prefer")
    table.add_column("in model/")
    for point in points:
        chosen = (point.generation, point.member) == (record.generation, member)
        told = ", ".join(prefer for prefer, best in picked.items() if best is point)
        name = f"[bold]{escape(point.backbone)}[/]" if chosen else escape(point.backbone)
        table.add_row(name, f"{point.cost:.4g}", f"{point.error:.4f}", told, "yes" if chosen else "")
    console.print(table)
    network = record.networks[member]
    console.print(
        f"the network in model/: {network}, of generation {record.generation + 1}", markup=False, soft_wrap=True
    )


def print_study(result: StudyResult, tracked: bool) -> None:
    """The finished trials from the best on, and where the best one's network is.

    Args:
        result: the study.
        tracked: whether MLflow was written.
    """
    console = Console(highlight=False)
    counts = Counter(trial.state.name.lower() for trial in result.trials)
    table = Table(title="study result", title_justify="left")
    table.caption = ", ".join(f"{count} {state}" for state, count in counts.items())
    for name in ("trial", *result.plan.vary, "reward"):
        table.add_column(name.replace("_", "-"), justify="right")
    done = [trial for trial in result.trials if trial.state.name == "COMPLETE" and trial.value is not None]
    for trial in sorted(done, key=lambda trial: (-(trial.value or 0.0), trial.number))[:10]:
        shown = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in map(trial.params.get, result.plan.vary)]
        table.add_row(str(trial.number), *map(escape, shown), f"{trial.value:.4f}")
    console.print(table)
    console.print(f"best trial: {result.run_dir}", markup=False, soft_wrap=True)
    uri = tracking_uri(result.study_dir.parent)
    look = f"at {uri}" if uri.startswith("http") else f"{command_name()} ui {result.study_dir}"
    filled = "" if tracked else f"after {command_name()} sync-tracking {result.study_dir}: "
    console.print(f"see it in MLflow: {filled}{look}", markup=False, soft_wrap=True)


def print_spaces() -> None:
    """One line a space: name, the first line of its docstring, and where it comes from."""
    console = Console(highlight=False)
    for name, (origin, line) in available_spaces().items():
        console.print(f"{name:20s} {line} [{origin}]", markup=False, soft_wrap=True)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def print_landmarks(found: Found) -> None:
    """How many faces were found, and what was missed."""
    console = Console(highlight=False)
    console.print(f"{found.images} images: {found.detected} with a face, {len(found.misses)} missed")
    if found.several:
        console.print(f"{found.several} show several faces: the largest was taken")
    for name, reason in found.misses[:5]:
        console.print(f"  {name}: {reason}", markup=False, soft_wrap=True)
    if found.report is not None:
        console.print(f"every miss: {found.report}", markup=False, soft_wrap=True)
    console.print(f"landmarks: {found.output}", markup=False, soft_wrap=True)


def print_packed(packed: Packed) -> None:
    """What ``autofr pack`` wrote, and what it left out."""
    console = Console(highlight=False)
    for line in packed.skipped[:5]:
        console.print(f"  skipped: {line}", markup=False, soft_wrap=True)
    if packed.skipped:
        console.print(f"{len(packed.skipped)} images cannot be read: skipped")
    if packed.bare:
        console.print(f"{packed.bare} images have no landmarks: never masked")
    (train, held), (identities, held_back) = packed.images, packed.identities
    console.print(
        f"{packed.shards} shards: {train} images of {identities} identities to train on, {held} of {held_back} to "
        f"score on; {packed.folder}",
        markup=False,
        soft_wrap=True,
    )


def print_sheet(sheet: Sheet) -> None:
    """What a contact sheet shows."""
    told = ", ".join(f"{count} {kind}" for kind, count in sheet.placed.items() if count)
    Console(highlight=False).print(f"{sheet.faces} faces: {told}; {sheet.path}", markup=False, soft_wrap=True)

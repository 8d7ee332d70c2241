"""What ``evaluate``, ``compare`` and ``latency`` print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autofr.evaluation.compare import columns, figures, rate_column, summary_names
from autofr.evaluation.latency import LIMITS, MAN


def print_evaluation(report: dict[str, Any], folder: Path) -> None:
    """The errors of one model: a row a set of comparisons; below FNMR its 95 % interval."""
    console = Console(highlight=False)
    for note in report["notes"]:
        console.print(note, markup=False, soft_wrap=True)
    benchmark = report["benchmark"]
    flip = {True: ", with flip averaging", False: ", without flip averaging", None: ""}[report["flip"]]
    title = f"{report['model']['name']} on {benchmark['data'] or 'embeddings'} ({benchmark['protocol']}){flip}"
    console.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    table = _table({"": report})
    for row, entry in report["results"].items():
        shown = [_cell(column, entry) for column in _columns({"": report})]
        table.add_row(escape(row), *shown)
    console.print(table)
    _print_pairs(console, report)
    for key, name in summary_names(report).items():
        console.print(f"{name}: {_share(report['summary'][key])}", markup=False, soft_wrap=True)
    if report["masks"] is not None:
        masks = report["masks"]
        console.print(
            f"masks: rendered on {masks['on']}, seed {masks['seed']}, version {masks['version']}, landmarks "
            f"{masks['landmarks']}; {masks['bare']} of {benchmark['images']} images cannot be masked (no landmarks, or "
            "turned away)",
            markup=False,
            soft_wrap=True,
        )
    pictures = "" if report["model"]["kind"] == "embeddings" else ", worst errors"
    console.print(f"report, DET plot, scores{pictures}: {folder}", markup=False, soft_wrap=True)


def print_comparison(compared: Mapping[str, Mapping[str, dict[str, Any]]], folder: Path) -> None:
    """A table a benchmark: a line a model and row."""
    console = Console(highlight=False)
    for title, reports in compared.items():
        console.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
        table = _table(reports, "model")
        wanted = _columns(reports)
        for row in dict.fromkeys(row for report in reports.values() for row in report["results"]):
            for name, report in reports.items():
                entry = report["results"].get(row)
                table.add_row(escape(name), escape(row), *(_cell(c, entry) for c in wanted))
            table.add_section()
        console.print(table)
        _print_pairs(console, next(iter(reports.values())))
        for key, title in summary_names(next(iter(reports.values()))).items():
            values = ", ".join(f"{name} {_share(report['summary'].get(key))}" for name, report in reports.items())
            console.print(f"{title}: {values}", markup=False, soft_wrap=True)
    console.print(f"table and DET plot: {folder}", markup=False, soft_wrap=True)


def print_latency(found: dict[str, Any]) -> None:
    """Milliseconds a stage, and the limits that are met."""
    console = Console(highlight=False)
    width, height = found["photo"]
    detector = found["detector"] or "no detector"
    flip = ", with the mirrored face" if found["flip"] else ""
    table = Table(
        title=f"{found['model']['name']}, {detector}, {width}x{height} photograph, batch 1{flip} (ms)",
        title_justify="left",
    )
    table.add_column("stage")
    for count in found["threads"]:
        table.add_column(f"{count} thread{'s' if count > 1 else ''}: median", justify="right")
        table.add_column("p95", justify="right")
    first = next(iter(found["threads"].values()))["stages"]
    for stage in first:
        cells = []
        for measured in found["threads"].values():
            timed = measured["stages"].get(stage)
            cells += ["", ""] if timed is None else [f"{timed['median']:.1f}", f"{timed['p95']:.1f}"]
        table.add_row(stage, *cells)
    console.print(table)
    for count, measured in found["threads"].items():
        whole = found["detector"] is not None
        limits = ", ".join(
            f"{name} {'met' if name in measured['meets'] else 'NOT met' if whole else 'cannot be said'}"
            for name in LIMITS
        )
        console.print(
            f"{count} thread{'s' if count > 1 else ''}: {limits} (by p95 of the total)", markup=False, soft_wrap=True
        )
    console.print(
        f"the limits are meant for one thread; the challenge's was FRUITS-1000; MAN reports {MAN['detection']:g} ms "
        f"for detection and {MAN['recognition']:g} ms for recognition, on other hardware. Detection takes the longer "
        "the larger the photograph; other work on the machine shows in the p95",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"{found['machine']}, {found['repeats']} calls", markup=False, soft_wrap=True)


def _columns(reports: Mapping[str, dict[str, Any]]) -> list[str]:
    """Of every row, in the order of the first that has them; EER and d' last."""
    rows = dict.fromkeys(row for report in reports.values() for row in report["results"])
    found = dict.fromkeys(column for row in rows for column in columns(reports, row))
    last = ("EER", "d'")
    return [column for column in found if column not in last] + [column for column in last if column in found]


def _table(reports: Mapping[str, dict[str, Any]], *before: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in (*before, ""):
        table.add_column(column, overflow="fold")
    for column in _columns(reports):
        # What stays on a line: a number, or an interval below it.
        table.add_column(column.replace("@", "\n@"), justify="right", no_wrap=True)
    return table


def _print_pairs(console: Console, report: dict[str, Any]) -> None:
    """How many comparisons each row has; said once where all have the same."""
    told: dict[str, list[str]] = {}
    for row, entry in report["results"].items():
        told.setdefault(f"{entry['genuine']:,} genuine and {entry['impostor']:,} impostor", []).append(row)
    if len(told) == 1:
        console.print(f"pairs: {next(iter(told))}")
    for count, rows in told.items() if len(told) > 1 else ():
        console.print(f"pairs, {', '.join(rows)}: {count}", markup=False, soft_wrap=True)


def _cell(column: str, entry: dict[str, Any] | None) -> str:
    """A figure as the table shows it; FNMR with its interval below it. Empty where the row has no such figure."""
    cells = {} if entry is None else figures(entry)
    if entry is None or column not in cells or (column == "accuracy" and cells[column] is None):
        return ""
    value = cells[column]
    if column == "accuracy":
        return f"{_share(value)}\n[dim]±{entry['accuracy_std']:.4f}[/]"
    if column == "d'":
        return "n/a" if value is None else f"{value:.2f}"
    for rate in entry["rates"]:
        for kind in ("fnmr", "tar"):
            if column == rate_column(kind, rate["fmr"]) and rate["interval"] is not None:
                low, high = rate["interval"] if kind == "fnmr" else (1 - v for v in reversed(rate["interval"]))
                return f"{_share(value)}\n[dim]{low:.3f}-{high:.3f}[/]"
    return _share(value)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"

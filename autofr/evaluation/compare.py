"""`autofr compare`: several models on one benchmark, in one table and one plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autofr.evaluation.report import read_report
from autofr.exceptions import AutofrError
from autofr.io.files import Output, write_bytes, write_json

COMPARISON = Output("comparison", ("compare.csv", "compare.json", "det.png"), nested=True)
EVALUATIONS = "evaluations"
"""Folder of a run's evaluations, in its directory."""


def compare(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Set the evaluations of several models side by side.

    Args:
        runs: folders of evaluations, or run directories, of which every evaluation is taken whose benchmark all have.
        out: folder to write ``compare.csv``, ``compare.json`` and ``det.png`` to, for each benchmark (in folders of
            their names, if there are several); ``None``: nothing is written.
            :func:`autofr.tracking.evaluations.log_comparisons` logs such a folder to MLflow.

    Returns:
        Reports by model, by benchmark.

    Raises:
        AutofrError: fewer than two, none in common, or masks that differ.
    """
    if len(runs) < 2:
        raise AutofrError("compare takes two evaluations or runs, or more")
    found = [_evaluations(Path(run)) for run in runs]
    common = [key for key in found[0] if all(key in other for other in found[1:])]
    if not common:
        told = "; ".join(f"{run}: {_listed(reports)}" for run, reports in zip(runs, found, strict=True))
        raise AutofrError(f"these evaluations are of different benchmarks ({told}); evaluate all on the same")
    compared: dict[str, dict[str, dict[str, Any]]] = {}
    for key in common:
        reports = _named([reports[key] for reports in found], runs)
        _same_masks(reports)
        compared[_title(next(iter(reports.values())), compared)] = reports
    if out is not None:
        COMPARISON.check(Path(out))
        with COMPARISON.replacing(Path(out)) as new:
            for title, reports in compared.items():
                _write(new if len(compared) == 1 else new / title, reports)
    return compared


def _evaluations(run: Path) -> dict[str, dict[str, Any]]:
    """The reports below a folder, by what tells their benchmarks apart."""
    if (run / EVALUATIONS).is_dir():
        folders = sorted(p.parent for p in (run / EVALUATIONS).glob("*/report.json"))
        reports = [read_report(folder) for folder in folders]
    elif (run / "config.json").is_file():
        raise AutofrError(f"{run} has no evaluations; make one with: autofr evaluate {run} --data ...")
    else:
        reports = [read_report(run)]
    found: dict[str, dict[str, Any]] = {}
    for report in reports:
        key = f"{report['benchmark']['fingerprint']} {report['flip'] is False} {_on(report)}"
        known = found.get(key)
        if known is not None and (known["masks"] is None) == (report["masks"] is None):
            raise AutofrError(f"{run} has two evaluations {_told(report)}; name the folder of the one to compare")
        if known is None or known["masks"] is None:  # with masks it has every row that it has without
            found[key] = report
    return found


def _on(report: dict[str, Any]) -> str:
    """Masks on both sides make another benchmark; none at all lacks rows only."""
    return "both" if report["masks"] and report["masks"]["on"] == "both" else ""


def _listed(reports: dict[str, dict[str, Any]]) -> str:
    return ", ".join(map(_told, reports.values())) or "none"


def _told(report: dict[str, Any]) -> str:
    """A benchmark in words, with what tells it apart."""
    benchmark = report["benchmark"]
    hidden = ("protocol", "data", "shown", "fingerprint")
    settings = ", ".join(f"{key} {value}" for key, value in benchmark.items() if key not in hidden)
    flip = "" if report["flip"] is not False else ", no flip"
    on = f", masks on {_on(report)}" if _on(report) else ""
    return f"of {benchmark['protocol']} on {benchmark['data']} ({settings}{flip}{on})"


def _named(reports: Sequence[dict[str, Any]], runs: Sequence[str | Path]) -> dict[str, dict[str, Any]]:
    """Reports by the model's name; where two have the same, by the folder's."""
    names = [report["model"]["name"] for report in reports]
    if len(set(names)) < len(names):
        names = [Path(run).name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    if len(set(names)) < len(names):
        raise AutofrError(f"{next(n for n in names if names.count(n) > 1)} is named twice")
    return dict(zip(names, reports, strict=True))


def _same_masks(reports: Mapping[str, dict[str, Any]]) -> None:
    worn = {name: report["masks"] for name, report in reports.items() if report["masks"] is not None}
    for name, masks in worn.items():
        first, known = next(iter(worn.items()))
        for key, value in known.items():
            if masks.get(key) != value:
                raise AutofrError(f"{first} and {name} have met different masks: {key} is {value} and {masks.get(key)}")


def _title(report: dict[str, Any], taken: Mapping[str, Any]) -> str:
    """A name for a benchmark, and for its folder."""
    benchmark = report["benchmark"]
    parts = [benchmark["data"] or "embeddings", benchmark["protocol"]]
    parts += ["no-flip"] * (report["flip"] is False) + [f"masked-{_on(report)}"] * bool(_on(report))
    title = "-".join(parts)
    return title if title not in taken else f"{title}-{benchmark['fingerprint']}"


def columns(reports: Mapping[str, dict[str, Any]], row: str) -> list[str]:
    """What a row is told by: accuracy where folds give one, FNMR at each FMR, EER and d'."""
    entries = [report["results"][row] for report in reports.values() if row in report["results"]]
    rates = sorted({rate["fmr"] for entry in entries for rate in entry["rates"]}, reverse=True)
    accuracy = ["accuracy"] if any("accuracy" in entry for entry in entries) else []
    shown = next(iter(reports.values()))["benchmark"]["shown"]
    return [*accuracy, *(rate_column(shown, fmr) for fmr in rates), "EER", "d'"]


def rate_column(shown: str, fmr: float) -> str:
    """``FNMR@1e-3``, ``TAR@1e-4``."""
    power = f"{fmr:e}".replace(".000000e-0", "e-")
    return f"{shown.upper()}@{power if '.' not in power else f'{fmr:g}'}"


def figures(entry: dict[str, Any]) -> dict[str, float | None]:
    """A row's figures by :func:`columns`, whichever rate they show."""
    rates = {rate_column(kind, rate["fmr"]): rate[kind] for rate in entry["rates"] for kind in ("fnmr", "tar")}
    return {"accuracy": entry.get("accuracy"), **rates, "EER": entry["eer"], "d'": entry["d_prime"]}


def summary_names(report: dict[str, Any]) -> dict[str, str]:
    """The figures over several rows, with the rate that they are of."""
    fmrs = {row: [rate["fmr"] for rate in entry["rates"]] for row, entry in report["results"].items()}
    told = "; ".join(
        dict.fromkeys(f"{report['benchmark']['shown'].upper()} at FMR {f[0]:g}" for f in fmrs.values() if f)
    )
    return {name: f"{name} ({told})" for name in report["summary"]}


def _write(folder: Path, reports: Mapping[str, dict[str, Any]]) -> None:
    from autofr.evaluation.plots import plot_det

    folder.mkdir(parents=True, exist_ok=True)
    rows = list(dict.fromkeys(row for report in reports.values() for row in report["results"]))
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["model", "row", "figure", "value"])
    for name, report in reports.items():
        for row in rows:
            entry = report["results"].get(row)
            for column in columns(reports, row) if entry is not None else ():
                value = figures(entry or {}).get(column)
                table.writerow([name, row, column, "" if value is None else value])
        for key, value in report["summary"].items():
            table.writerow([name, key, "", "" if value is None else value])
    write_bytes(folder / "compare.csv", text.getvalue().encode())
    write_json(folder / "compare.json", dict(reports))
    plot_det(reports, folder / "det.png")

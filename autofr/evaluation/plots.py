"""The plots of a run, α and the lineage, and of evaluations, DET curves and scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

LONGEST_NAME = 40
"""Characters of a model's name that a legend has room for."""


def plot_det(reports: Mapping[str, dict[str, Any]], path: Path) -> None:
    """DET curves of one or several models on one benchmark: FNMR over FMR, both on logarithmic axes; a panel a row.
    The circles are the report's rates.

    Args:
        reports: of evaluations, by the name in the legend.
        path: the picture to write.
    """
    rows = list(dict.fromkeys(row for report in reports.values() for row in report["results"]))
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(4.6 * columns + 0.6, 3.8 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    colours = mpl.colormaps["tab10"]
    for axes, row in zip(panels.flat, rows, strict=False):
        axes.set(xscale="log", yscale="log", title=row, xlabel="FMR", ylabel="FNMR")
        for place, (name, report) in enumerate(reports.items()):
            entry = report["results"].get(row)
            if entry is None or not entry["det"]["fmr"]:
                continue
            # No error at all has no place on a logarithmic axis: it is drawn at half an error.
            fmr, fnmr = (
                np.maximum(entry["det"][rate], 0.5 / entry[kind])
                for rate, kind in (("fmr", "impostor"), ("fnmr", "genuine"))
            )
            short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
            label = short if entry["eer"] is None else f"{short}  (EER {entry['eer']:.4f})"
            axes.step(fmr, fnmr, where="post", color=colours(place % 10), label=label)
            for rate in entry["rates"]:
                if rate["fnmr"]:
                    axes.plot(rate["fmr"], rate["fnmr"], "o", color=colours(place % 10), markersize=4)
        axes.grid(True, which="major", alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    for axes in panels.flat[len(rows) :]:
        axes.remove()
    figure.savefig(path, dpi=120, format="png")


def plot_scores(report: dict[str, Any], path: Path) -> None:
    """Histograms of genuine and impostor scores, each with area 1; a panel a row, with the thresholds.

    Args:
        report: of an evaluation.
        path: the picture to write.
    """
    rows = list(report["results"].items())
    figure = Figure(figsize=(7, 2.6 * len(rows)), layout="constrained")
    for axes, (row, entry) in zip(figure.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True):
        told = entry["histogram"]
        edges = np.linspace(told["low"], told["high"], len(told["genuine"]) + 1)
        for kind, colour in (("impostor", "#8a8a8a"), ("genuine", "#2a6f97")):
            counts = np.array(told[kind], dtype=np.float64)
            if counts.sum():
                axes.stairs(
                    counts / counts.sum() / np.diff(edges), edges, fill=True, alpha=0.55, color=colour, label=kind
                )
        for rate in entry["rates"]:
            if rate["threshold"] is not None:
                axes.axvline(rate["threshold"], color="#d1495b", linewidth=0.8)
                axes.text(
                    rate["threshold"], axes.get_ylim()[1], f"{rate['fmr']:.0e}", fontsize=6, rotation=90, va="top"
                )
        used = np.flatnonzero(np.array(told["genuine"]) + np.array(told["impostor"]))
        if len(used):
            axes.set_xlim(edges[used[0]] - 0.02, edges[used[-1] + 1] + 0.02)
        axes.set(title=row, xlabel="score", ylabel="share (each has area 1)", yticks=[])
        if len(used):
            axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")

"""Pictures of a search: α, lineage, Pareto set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from autofr.runs.describe import drawn_names

MOST_LABELLED = 60
"""Generations of a lineage that has room for labels; a longer one is drawn as dots, no larger."""


def plot_alpha(alpha: npt.NDArray[np.float64], options: Sequence[tuple[str, str]], path: Path) -> None:
    """α over generations, one panel a dimension.

    Args:
        alpha: (generations, options).
        options: dimension and name of each column.
        path: the picture to write.
    """
    dimensions = list(dict.fromkeys(dim for dim, _ in options))
    figure = Figure(figsize=(8, 4.2 * len(dimensions)), layout="constrained")
    for axes, dimension in zip(figure.subplots(len(dimensions), squeeze=False)[:, 0], dimensions, strict=True):
        columns = [i for i, (dim, _) in enumerate(options) if dim == dimension]
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(columns)))
        start = np.full((1, len(columns)), 1 / len(columns))
        values = np.concatenate([start, alpha[:, columns]])
        for k, column in enumerate(columns):
            axes.plot(values[:, k], color=colours[k], marker="o", markersize=3, label=options[column][1])
        axes.set(xlabel="generation", ylabel=f"α of {dimension}", ylim=(0, None))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


def plot_lineage(lineage: Sequence[dict[str, Any]], dimensions: Sequence[str], path: Path) -> None:
    """Which member's weights each generation continued: members across, generations down, the winners' path thick.

    Args:
        lineage: rows of :attr:`autofr.SearchResult.lineage`.
        dimensions: the space's; a member is labelled with what it drew, in a run of 60 generations or fewer.
        path: the picture to write.
    """
    generations = max(row["generation"] for row in lineage) + 1
    members = max(row["member"] for row in lineage) + 1
    dense = generations > MOST_LABELLED
    height = 34.5 if dense else 1.5 + 0.55 * generations
    figure = Figure(figsize=(2.2 + 1.7 * members, height), layout="constrained")
    axes = figure.subplots()
    behind = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    winners = {row["generation"] + 1: row["member"] for row in lineage if row["winner"]}
    for row in lineage:
        x, y = row["member"], row["generation"] + 1
        if row["parent"] is not None:
            colour, line, order = ("#d1495b", 2.2, 2) if winners[y] == x else ("#b8b8b8", 0.8, 1)
            axes.plot([row["parent"], x], [y - 1, y], color=colour, linewidth=line, zorder=order)
        score = "diverged" if row["reward"] is None else f"{row['reward']:.4f}"
        label = "\n".join([*drawn_names({dim: str(row[dim]) for dim in dimensions}), score])
        if not dense:
            axes.annotate(
                label, (x, y), xytext=(9, 0), textcoords="offset points", va="center", fontsize=7, bbox=behind
            )
        if row["reward"] is None:
            axes.scatter([x], [y], marker="x", color="black", zorder=3)
    alive = [row for row in lineage if row["reward"] is not None]
    drawn = axes.scatter(
        [r["member"] for r in alive],
        [r["generation"] + 1 for r in alive],
        c=[r["reward"] for r in alive],
        s=15 if dense else 130,
        zorder=3,
    )
    figure.colorbar(drawn, label="reward", shrink=0.6)
    axes.set(xlabel="member", ylabel="generation", xticks=range(members), xlim=(-0.4, members - 0.2))
    axes.set(yticks=range(1, generations + 1, max(1, generations // 20)))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


def plot_pareto(
    seen: Sequence[tuple[float, float]], best: Sequence[tuple[float, float]], cost: str, path: Path
) -> None:
    """Error against cost, cost on a logarithmic axis.

    Args:
        seen: cost and error of every network that was scored.
        best: those of the Pareto set, from the cheapest to the dearest.
        cost: what the cost is.
        path: the picture to write.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(*np.array(seen).T, "o", color="#b8b8b8", markersize=4, label="every member of every generation")
    axes.step(*np.array(best).T, "o-", where="post", color="#d1495b", label="Pareto set, numbered as in pareto/")
    for place, point in enumerate(best):
        axes.annotate(f"{place:02d}", point, xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel=cost, ylabel="error (minus the reward), validation identities")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")

"""Which reward, after which horizon, sees the margin that is best in the end: the tables of score.py, judged.

    python experiments/signal/judge.py

Reads ``forks.csv`` and ``lanes.csv``; nothing is trained. The *truth* of a margin is its verdict: minus the error
(0.75 MFR + 0.25 SFR, FNMR at FMR 1e-2) of whole trainings on identities that nobody met, mean over seeds.

For every reward, kind of weights and horizon, over all forks (seeds x points of training; some once more on other
batches):

- ``rank correlation``: Spearman's, of the rewards of the nine margins of a fork with the truth; mean over forks, with
  its standard error (a fork and its repetition count as one). ``by a seed's truth``: the lowest and the highest mean
  with the truth that a single seed says: the truth has noise too. ``with the margin``: the same with the margins
  themselves: the truth nearly rises with them, and a reward that did nothing but like large margins would do well.
  ``upper five``: with the truth among 0.25 to 0.45 alone.
- ``best three``: how often the fork's best margin is among the true best three (a third by chance), and ``answer``, how
  much more error that margin has in the end than the best one (x 1000).
- ``signal``: deviation, over margins, of the part of the rewards that is a straight line in the truth, the same for all
  forks; ``noise``: deviation of what is left of a single reward, after its fork's mean. Both in the reward's own unit.
  ``signal / noise``; and how many comparisons it takes until a difference is twice its standard error, 8 (noise /
  difference)^2: ``best or mean`` of the best margin with the pool's mean, ``neighbours`` of two margins 0.05 apart, on
  the mean.
- ``uphill``: how often the rewards of margins 0.15 to 0.35 rise with the margin, as the truth does there: the sign of
  the hypergradient by the margin at the trunk's 0.25, by finite differences on common batches.
- what the noise is made of, as shares of its variance: ``batches`` (another fork of the same weights, on other batches
  and training masks, for horizons that were run twice), ``identities`` (half the validation identities against the
  other half, scaled to all of them), and for raw weights after one epoch ``masks`` (other validation masks). They are
  estimates, and need not sum to less than 1; what they leave is rewards whose dependence on the margin is no straight
  line in the truth. ``apart``: the noise if every member had met batches and masks of its own, over the noise as it is.

Writes ``summary.csv`` and ``signal.png``.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.stats import rankdata, spearmanr

sys.path.insert(0, str(Path(__file__).parent))
from setting import HERE, write

REWARDS = ("fnmr", "det_area", "log_fnmr", "d_prime", "cllr")
Floats = npt.NDArray[np.float64]
Forks = dict[tuple[Any, ...], Floats]
"""Rewards (9,) by seed, epoch, again, horizon, weights, identities, reward."""


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table."""
    with open(HERE / name, newline="") as file:
        return list(csv.DictReader(file))


def truth(reward: str = "fnmr") -> tuple[list[float], Floats]:
    """The pool's margins, and minus the error of each in the end, (seeds, margins)."""
    rows = [row for row in read("lanes.csv") if row["epoch"] == "verdict" and row["lane"] not in ("0", "random")]
    margins, seeds = sorted({float(row["lane"]) for row in rows}), sorted({row["seed"] for row in rows})
    found = np.zeros((len(seeds), len(margins)))
    for row in rows:
        found[seeds.index(row["seed"]), margins.index(float(row["lane"]))] = float(row[reward])
    return margins, found


def forks() -> Forks:
    """Every fork's rewards, by what they are of."""
    found: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
    for row in read("forks.csv"):
        key = row["seed"], int(row["epoch"]), int(row["again"]), float(row["horizon"]), row["weights"]
        for reward in REWARDS:
            found[(*key, row["identities"], reward)].append((float(row["margin"]), float(row[reward])))
    return {key: np.array([value for _, value in sorted(values)]) for key, values in found.items()}


def judged(
    all_forks: Forks, margins: list[float], verdicts: Floats, weights: str, reward: str, horizon: float
) -> dict[str, Any]:
    """One row of the summary."""

    def of(again: tuple[int, ...], identities: str, kind: str = weights) -> dict[tuple[Any, ...], Floats]:
        return {
            (k[0], k[1], k[2]): v - v.mean()
            for k, v in all_forks.items()
            if k[2] in again and k[3:] == (horizon, kind, identities, reward)
        }

    both = of((0, 1), "all")
    rows, worth = np.array([*both.values()]), verdicts.mean(0)
    line = worth - worth.mean()
    slope = float((rows @ line).mean() / (line @ line))
    left = rows - slope * line
    noise, signal = float(np.sqrt((left**2).sum() / (left.size - len(left)))), abs(slope) * float(line.std(ddof=1))
    once, again = of((0,), "all"), of((1,), "all")
    pairs = [(once[s, e, 0], again[s, e, 1]) for s, e, _ in again]
    halves = [*zip(of((0, 1), "a").values(), of((0, 1), "b").values(), strict=True)]
    masks = [(both[k], v) for k, v in of((0, 1), "all", "raw, other masks").items()] if weights == "raw" else []
    row: dict[str, Any] = {"weights": weights, "reward": reward, "horizon": horizon, "forks": len(rows)}
    row |= _agreement(margins, verdicts, {key[:2]: [v for k, v in both.items() if k[:2] == key[:2]] for key in both})
    row |= {"signal": signal, "noise": noise, "signal / noise": np.sign(slope) * signal / noise}
    row["best or mean"] = 8 * (noise / (slope * line.max())) ** 2
    row["neighbours"] = 8 * (noise / (slope * np.abs(np.diff(worth)).mean())) ** 2
    row["uphill"] = float(np.mean([np.polyfit(range(5), fork[2:7], 1)[0] > 0 for fork in rows]))
    for name, found, scale in (("batches", pairs, 2), ("identities", halves, 4), ("masks", masks, 2)):
        # A difference of two has twice the variance of one; half the identities have twice the variance of all.
        row[f"share of {name}"] = _variance(found) / scale / noise**2 if found else ""
    as_they_are = {k[:3]: v for k, v in all_forks.items() if k[3:] == (horizon, weights, "all", reward)}
    apart = [(as_they_are[s, e, 0] - as_they_are[s, e, 1]).mean() for s, e, _ in again]
    # Of a fork on other batches, what all margins share goes with their batches; apart, each would have one of its own.
    row["apart"] = float(np.sqrt(noise**2 + np.mean(np.square(apart)) / 2) / noise) if apart else ""
    return row


def _agreement(margins: list[float], verdicts: Floats, forks_of: dict[Any, list[Floats]]) -> dict[str, Any]:
    """How the rewards of forks (and their repetitions) go with the truth."""
    worth = verdicts.mean(0)

    def clusters(of: Callable[[Floats], float]) -> Floats:
        return np.array([np.mean([of(fork) for fork in twins]) for twins in forks_of.values()])

    ranks = clusters(lambda fork: spearmanr(fork, worth).statistic)
    alone = [clusters(lambda fork, seed=seed: spearmanr(fork, seed).statistic).mean() for seed in verdicts]
    return {
        "rank correlation": ranks.mean(),
        "+-": ranks.std(ddof=1) / np.sqrt(len(ranks)) if len(ranks) > 1 else "",
        "by a seed's truth": f"{min(alone):.2f} to {max(alone):.2f}",
        "with the margin": clusters(lambda fork: spearmanr(fork, margins).statistic).mean(),
        "upper five": clusters(lambda fork: spearmanr(fork[4:], worth[4:]).statistic).mean(),
        "best three": clusters(lambda fork: float(rankdata(-worth)[fork.argmax()] <= 3)).mean(),
        "answer": clusters(lambda fork: 1000 * (worth.max() - worth[fork.argmax()])).mean(),
    }


def _variance(pairs: list[tuple[Floats, Floats]]) -> float:
    different = np.array([a - b for a, b in pairs])
    return float((different**2).sum() / (different.size - len(different)))


def main() -> None:
    """Judge, write, draw."""
    margins, verdicts = truth()
    worth, found = verdicts.mean(0), forks()
    only = _agreement(margins, verdicts, {0: [np.array(margins)]})
    rows = [{"weights": "", "reward": "the margin itself", "horizon": ""} | only]
    agree = [spearmanr(verdicts[i], verdicts[j]).statistic for i in range(len(verdicts)) for j in range(i)]
    print("truth", dict(zip(margins, worth.round(4).tolist(), strict=True)))
    print("rank correlation of two seeds' truths:", np.round(agree, 2))
    horizons = sorted({key[3] for key in found})
    kinds = [kind for kind in dict.fromkeys(key[4] for key in found) if kind != "raw, other masks"]
    rows += [
        judged(found, margins, verdicts, kind, reward, h) for kind in kinds for reward in REWARDS for h in horizons
    ]
    shown = [{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    write("summary.csv", [{name: row.get(name, "") for name in shown[-1]} for row in shown])
    plot(margins, verdicts, found, rows, HERE / "signal.png")


def plot(margins: list[float], verdicts: Floats, found: Forks, rows: list[dict[str, Any]], path: Path) -> None:
    """The truth; what forks see of it, as searches were scored and as they are now; rank correlations by horizon."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    (left, right), below = figure.subplots(2, 2)
    for seed, values in enumerate(-verdicts):
        left.plot(margins, values, color="#bbbbbb", linewidth=1, label=None if seed else "one seed")
    left.plot(margins, -verdicts.mean(0), color="black", marker="o", label="mean")
    left.set(
        title="trained to the end: error on identities that nobody met", xlabel="margin", ylabel="0.75 MFR + 0.25 SFR"
    )
    horizons = sorted({key[3] for key in found})
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(horizons)))
    for axes, kind, reward in zip(below, ("raw", "mean"), ("fnmr", "det_area"), strict=True):
        for horizon, colour in zip(horizons, colours, strict=True):
            of = [v - v.mean() for k, v in found.items() if k[3:] == (horizon, kind, "all", reward)]
            spread = np.std(of, 0, ddof=1) / np.sqrt(len(of))
            axes.errorbar(margins, -np.mean(of, 0), spread, color=colour, label=f"after {horizon:g} epochs", capsize=2)
        axes.set(title=f"forks: {reward}, {kind} weights, less the fork's mean", xlabel="margin", ylim=(-0.008, 0.0145))
    for kind, style in (("raw", "--"), ("mean", "-")):
        for k, reward in enumerate(("fnmr", "det_area", "d_prime")):
            of = [row for row in rows if row["reward"] == reward and row["weights"] == kind]
            right.plot(
                [row["horizon"] for row in of],
                [float(row["rank correlation"]) for row in of],
                style,
                color=mpl.colormaps["tab10"](k),
                label=f"{reward}, {kind} weights",
                marker=".",
            )
    right.axhline(0, color="#cccccc", zorder=0)
    right.set(xscale="log", title="rank correlation of forks with the truth", xlabel="horizon, epochs")
    right.set_xticks(horizons, [f"{h:g}" for h in horizons])
    right.minorticks_off()
    for axes in (left, right, *below):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()

"""What each policy loses to not knowing the best margin, on rewards as they were measured; nothing is trained.

    python experiments/policy_regret/simulate.py

Reads ``rewards.csv`` (see measure.py). The surface μ(generation, margin) is the seeds' mean of centred rewards, fitted
by a parabola in the margin whose coefficients drift with the generations: with few seeds a part of it is noise, and
``surface.csv`` has the standard error of a single cell beside it. What is left of a row, all nine margins of one
generation and seed together, is a sample of the noise: neighbours err together, because members train on the same
batches. A simulated generation's reward is level + μ + such a row of about the same generation, its sign drawn; members
that draw the same margin get the same reward, as in the engine; between margins of the pool, rewards are interpolated,
which evens some noise out. All policies meet the same noise. Rewards do not depend on what was chosen before, and every
horizon is the start of the same run of 20 epochs, its first two with the margins still being ramped in.

Regret, in FNMR x 1000, of two kinds: of the *members*, max μ - μ(drawn), mean over members and the generations so far;
and of the *answer*, the same for the option with the highest α (of several, their mean), on μ averaged over the
generations so far.

Writes, beside this file: ``surface.csv``; ``regret.csv``; ``settings.csv``, the grids from which the defaults of
autofr's own policies were chosen, on this very surface; and ``regret.png``. The choice: least regret of members and
answer, summed over both noises, with a floor above 0, because an option must be able to come back; between settings
less than two hundredths apart, the one that was published (lfs_gaussian). But for thompson: a surface that is a
parabola and drifts little rewards every reach and every memory, so half of the line and a memory that fades were kept.
Optuna's have their own defaults: TPE draws at random until ten trials are complete, and those of the
warm-up count as failed.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import product
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from moving import MovingLFS

from autofr import Choice, Range, SearchSpace
from autofr.losses import ArcFace
from autofr.policies import POLICIES as MAKERS
from autofr.registry import build

HERE = Path(__file__).resolve().parent
MARGINS = np.arange(5, 50, 5) / 100
HORIZONS = (4, 8, 20)
MEMBERS, WARMUP, DRIFT = 4, 2, 2.0  # DRIFT: generations over which the fit of the surface averages (deviation)
NOISES = (1.0, 0.25)  # as measured, and a quarter of it: what sixteen times as many validation pairs might give
OPTIONS = SearchSpace(loss=Choice(ArcFace(float(m)) for m in MARGINS))
BETWEEN = SearchSpace(loss=Range(ArcFace, bins=8, m=(0.05, 0.45)))
POLICIES = {
    # name in the table: space, policy, simulations in thousands
    "lfs": (OPTIONS, "lfs", 4.0),
    "lfs as published": (OPTIONS, "lfs:lr=0.05,floor=0", 4.0),
    "exp3": (OPTIONS, "exp3", 4.0),
    "thompson": (OPTIONS, "thompson", 2.0),
    "thompson, no neighbours": (OPTIONS, "thompson:reach=0", 2.0),
    "optuna TPE": (OPTIONS, "optuna:TPESampler", 2.0),
    "optuna GP": (OPTIONS, "optuna:GPSampler", 0.06),
    "random": (OPTIONS, "random", 4.0),
    "lfs, range": (BETWEEN, "lfs", 4.0),
    "lfs_gaussian, range": (BETWEEN, "lfs_gaussian", 4.0),
    "thompson, range": (BETWEEN, "thompson", 2.0),
    "optuna TPE, range": (BETWEEN, "optuna:TPESampler", 2.0),
    "random, range": (BETWEEN, "random", 4.0),
}
KINDS = [*dict.fromkeys(name.removesuffix(", range") for name in POLICIES), "lfs_moving"]
CANDIDATES = MAKERS | {"lfs_moving": MovingLFS}
BOTH = (True, False)
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "lfs": {
        "lr": (0.05, 0.1, 0.2, 0.4, 0.8),
        "floor": (0.0, 0.02, 0.05),
        "replacement": BOTH,
    },
    "lfs_moving": {"lr": (0.05, 0.1, 0.2, 0.4, 0.8), "floor": (0.0, 0.02, 0.05), "replacement": BOTH},
    "thompson": {"memory": (0.8, 0.95, 1.0), "reach": (0.0, 0.25, 0.5, 1.0), "floor": (0.0, 0.02)},
    "exp3": {"gamma": (0.1, 0.2, 0.3, 0.5, 0.8)},
    "lfs_gaussian": {"lr": (0.05, 0.1, 0.2, 0.4, 0.8), "sigma": (0.1, 0.2, 0.3), "floor": (0.0, 0.02, 0.05)},
}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """``level`` (G,), ``mean`` μ (G, 9), and ``noise`` rows (S, G, 9)."""

    level: Floats
    mean: Floats
    noise: Floats

    @classmethod
    def measured(cls, path: Path) -> Surface:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        seeds = sorted({int(r["seed"]) for r in rows})
        generations = max(int(r["generation"]) for r in rows)
        table = np.full((len(seeds), generations, len(MARGINS)), np.nan)
        for r in rows:
            k = OPTIONS.dimensions["loss"].names.index(r["loss"])
            table[seeds.index(int(r["seed"])), int(r["generation"]) - 1, k] = float(r["reward"])
        assert np.isfinite(table).all(), f"{path} lacks rows, or a member diverged"
        centred = table - table.mean(2, keepdims=True)
        basis = np.stack([MARGINS - MARGINS.mean(), (MARGINS - MARGINS.mean()) ** 2], 1)
        basis -= basis.mean(0)
        coefficients = np.linalg.lstsq(basis, centred.mean(0).T, rcond=None)[0].T  # (G, 2)
        g = np.arange(generations)
        weights = np.exp(-0.5 * ((g[:, None] - g[None, :]) / DRIFT) ** 2)
        mean = (weights / weights.sum(1, keepdims=True)) @ coefficients @ basis.T
        return cls(table.mean((0, 2)), mean, centred - mean)

    def draw(self, rng: np.random.Generator, noise: float) -> Floats:
        """Rewards (G, 9) of one simulated search."""
        seeds, generations, _ = self.noise.shape
        near = np.clip(np.arange(generations) + rng.integers(-1, 2, generations), 0, generations - 1)
        rows = self.noise[rng.integers(seeds, size=generations), near] * rng.choice([-1, 1], (generations, 1))
        return self.level[:, None] + self.mean + noise * rows


def simulated(job: tuple[Surface, bool, str, int, float]) -> tuple[Floats, Floats]:
    """Regret of members and of the answer after each generation, (G,) each, of one search."""
    surface, between, spec, simulation, noise = job
    rewards = surface.draw(np.random.default_rng([simulation, 1]), noise)
    space = BETWEEN if between else OPTIONS
    policy = build("policy", spec, CANDIDATES, {"space": space, "seed": simulation}, {"warmup": WARMUP})
    members, answer = [], []
    for g in range(len(rewards)):
        asked = policy.ask(MEMBERS)
        margins = np.array([a["loss"] if between else MARGINS[a["loss"]] for a in asked])
        policy.tell(asked, np.interp(margins, MARGINS, rewards[g]).tolist())
        members.append(surface.mean[g].max() - np.interp(margins, MARGINS, surface.mean[g]).mean())
        alpha = policy.alpha()["loss"]
        places = MARGINS[:-1] + 0.025 if between else MARGINS  # of an interval, the middle
        chosen, so_far = places[alpha > alpha.max() - 1e-9], surface.mean[: g + 1].mean(0)
        answer.append(so_far.max() - np.interp(chosen, MARGINS, so_far).mean())
    return np.cumsum(members) / np.arange(1, len(members) + 1) * 1000, np.array(answer) * 1000


def many(
    pool: Any, surface: Surface, space: SearchSpace, spec: str, noise: float, first: int, count: int
) -> tuple[Floats, Floats]:
    """:func:`simulated` for simulations ``first`` and on: (count, G) each."""
    jobs = [(surface, space is BETWEEN, spec, first + i, noise) for i in range(count)]
    members, answers = zip(*pool.imap(simulated, jobs, chunksize=max(1, count // 40)), strict=True)
    return np.array(members), np.array(answers)


def band(values: Floats) -> float:
    """Half the width of the mean's 95 % interval."""
    return float(1.96 * values.std(ddof=1) / np.sqrt(len(values)))


def settings_table(pool: Any, surface: Surface, count: int, policies: Collection[str]) -> list[dict[str, Any]]:
    """Every setting of the grids at 20 generations. Its simulations are none of those of the table of policies."""
    rows = []
    for policy, grid in GRIDS.items():
        if policy not in policies:
            continue
        for values in product(*grid.values()):
            settings = ",".join(f"{k}={v}" for k, v in zip(grid, values, strict=True))
            row: dict[str, Any] = {"policy": policy, "settings": settings, "simulations": count, "summed": 0.0}
            for noise in NOISES:
                space = BETWEEN if policy == "lfs_gaussian" else OPTIONS
                members, answers = many(pool, surface, space, f"{policy}:{settings}", noise, 10**6, count)
                for kind, values in (("members", members), ("answer", answers)):
                    row[f"{kind}, noise x {noise:g}"] = round(float(values[:, -1].mean()), 4)
                    row["summed"] = round(row["summed"] + row[f"{kind}, noise x {noise:g}"], 4)
            rows.append(row)
    return rows


def main() -> None:
    """Simulate and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of simulations")
    parser.add_argument("--part", choices=("settings", "regret"), help="only the grids, or only the policies")
    parser.add_argument("--policies", nargs="+", choices=KINDS, default=KINDS, help="these; of others rows stay")
    arguments = parser.parse_args()
    surface = Surface.measured(HERE / "rewards.csv")
    write(HERE / "surface.csv", surface_table(surface))
    with Pool() as pool:
        if arguments.part != "regret":
            rows = settings_table(pool, surface, int(1000 * arguments.scale), arguments.policies)
            rows += [row for row in read(HERE / "settings.csv") if row["policy"] not in arguments.policies]
            write(HERE / "settings.csv", sorted(rows, key=lambda row: (row["policy"], float(row["summed"]))))
        if arguments.part == "settings":
            return
        rows = [row for row in read(HERE / "regret.csv") if _kind(row["policy"]) not in [*arguments.policies, "fixed"]]
        for noise, (name, (space, spec, thousands)) in product(NOISES, POLICIES.items()):
            if _kind(name) not in arguments.policies:
                continue
            count = max(20, int(1000 * thousands * arguments.scale))
            members, answers = many(pool, surface, space, spec, noise, 0, count)
            for horizon in HORIZONS:
                m, a = members[:, horizon - 1], answers[:, horizon - 1]
                row = {"noise": noise, "policy": name, "settings": spec, "generations": horizon, "simulations": len(m)}
                row |= {"members": round(float(m.mean()), 4), "members ±": round(band(m), 4)}
                rows.append(row | {"answer": round(float(a.mean()), 4), "answer ±": round(band(a), 4)})
            print(rows[-1], flush=True)
    places = {name: place for place, name in enumerate(POLICIES)}
    rows.sort(key=lambda row: (-float(row["noise"]), places[row["policy"]], int(row["generations"])))
    write(HERE / "regret.csv", rows + fixed_rows(surface))
    plot(read(HERE / "regret.csv"), HERE / "regret.png")


def _kind(name: str) -> str:
    """A policy's name in the figure: the same for options and for a range."""
    return "fixed" if name.startswith("fixed") else name.removesuffix(", range")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table; none, if there is no such file yet."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def surface_table(surface: Surface) -> list[dict[str, Any]]:
    """μ, the deviation of the noise, and the standard error of one cell before smoothing: FNMR x 1000."""
    deviation = 1000 * surface.noise.std(0, ddof=1)
    return [
        {"generation": g + 1, "margin": m, "mean": round(1000 * surface.mean[g, k], 3)}
        | {
            "standard error of a cell": round(deviation[g, k] / np.sqrt(len(surface.noise)), 3),
            "noise": round(deviation[g, k], 3),
        }
        for g in range(len(surface.mean))
        for k, m in enumerate(MARGINS)
    ]


def fixed_rows(surface: Surface) -> list[dict[str, Any]]:
    """Plain training with one margin throughout: no draw, so no band."""
    lost = surface.mean.max(1, keepdims=True) - surface.mean
    so_far = {horizon: surface.mean[:horizon].mean(0) for horizon in HORIZONS}
    return [
        {"noise": 0, "policy": f"fixed at {m:g}", "settings": "fixed", "generations": horizon, "simulations": 0}
        | {"members": round(float(1000 * lost[:horizon, k].mean()), 4), "members ±": 0}
        | {"answer": round(float(1000 * (so_far[horizon].max() - so_far[horizon][k])), 4), "answer ±": 0}
        for k, m in enumerate(MARGINS)
        for horizon in HORIZONS
    ]


def plot(table: list[dict[str, Any]], path: Path) -> None:
    """Mean regret of the members after some generations, with its 95 % band: a column a noise, a row a space."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    colours = mpl.colormaps["tab10"]
    grid = figure.subplots(2, len(NOISES), sharex=True, sharey=True)
    for (row, among), (column, noise) in product(enumerate((OPTIONS, BETWEEN)), enumerate(NOISES)):
        axes = grid[row, column]
        for name, (space, _, _) in POLICIES.items():
            if space is not among:
                continue
            of = [row for row in table if row["policy"] == name and float(row["noise"]) == noise]
            mean, half = (np.array([float(row[key]) for row in of]) for key in ("members", "members ±"))
            colour = colours(KINDS.index(_kind(name)))
            axes.errorbar([int(row["generations"]) for row in of], mean, half, color=colour, label=name, capsize=3)
        kind = "nine margins" if among is OPTIONS else "any margin between them"
        axes.set(title=f"{kind}, noise x {noise:g}", xticks=HORIZONS, ylabel="members' mean regret, FNMR x 1000")
        axes.label_outer()
        axes.spines[["top", "right"]].set_visible(False)
        if column:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for axes in grid[1]:
        axes.set(xlabel="generation")
    figure.savefig(path, dpi=110)


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A CSV file of rows with the same keys."""
    listed = list(rows)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, listed[0].keys())
        writer.writeheader()
        writer.writerows(listed)


if __name__ == "__main__":
    main()

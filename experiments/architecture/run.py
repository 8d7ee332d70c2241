"""Does one search over margins and networks find what many trainings find?

    python experiments/architecture/run.py --faces FACES --runs RUNS

On the real training set at 64 pixels, below 25 million operations an image. FACES holds ``train/``, ``lfw/``,
``mfr2/`` with their landmarks and pair lists. For every seed:

- ``hand``: three networks that a person would try near the limit (deep, even, wide), each at three margins, trained
  alone: nine trainings. The best three by validation are the ones to beat.
- ``search``: one search over 3 margins x 31 slices of one elastic IR net (of 72, those within the limit), 4 members.
- ``search of 2``: the same with 2 members, at half the cost.
- ``random``: as many full trainings of random networks and margins as the search's cost allows; the best by validation.
- ``tpe``: Optuna's TPE over trainings of a third of the length, then a full training of the best, at that same cost.

Cost is counted, not timed: operations of the forward pass times images trained on, of everything a method trained.
Nothing is chosen on the tests (LFW, bare and with one image of each pair masked; MFR2). Every training is a run
directory below RUNS: a stopped experiment goes on where it was, and several processes may share the seeds and the
methods among them. Writes ``summary.csv``, ``results.csv``, ``trainings.csv``, ``pareto.csv``, ``pareto.png`` and
``machine.json`` beside this file.
``--full`` is the published setting (112 pixels, 20 epochs, the whole width), for a GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import autofr
from autofr import Choice, Elastic, MaxFLOPs, SearchResult, SearchSpace
from autofr.backbones.costs import flops
from autofr.data import Faces, load_faces, scan
from autofr.losses import ArcFace
from autofr.space.budget import within_budget

HERE = Path(__file__).resolve().parent
AS_IT_WAS = {"average": False, "reward": "fnmr"}  # how members were scored when this was run
SMALL = {"epochs": 6.0, "segment": 0.5, "warmup": 1.0, "embedding_dim": 128, "validation_identities": 150}
FULL = {"epochs": 20.0, "segment": 0.5, "warmup": 1.0, "embedding_dim": 512}
SIZES = {"small": 64, "full": 112}
BASES = {"small": "iresnet:widths=32-64-128,stem=2", "full": "iresnet:widths=64-128-256-512"}
DEPTHS = {
    "small": ("1-1-1", "1-2-1", "1-2-2", "2-2-2"),
    "full": ("1-1-1-1", "2-2-2-2", "3-4-6-3", "3-4-14-3"),
}
LIMITS = {"small": 25e6, "full": 5e9}
MARGINS = (0.2, 0.3, 0.4)
HAND = {
    "small": {
        "deep": {"depth": "2-2-2", "width": 0.5, "kernel": 3, "resolution": 64},
        "even": {"depth": "1-2-2", "width": 0.75, "kernel": 3, "resolution": 48},
        "wide": {"depth": "2-2-2", "width": 1.0, "kernel": 3, "resolution": 32},
    },
    "full": {
        "deep": {"depth": "3-4-14-3", "width": 0.5, "kernel": 3, "resolution": 112},
        "even": {"depth": "2-2-2-2", "width": 0.75, "kernel": 3, "resolution": 112},
        "wide": {"depth": "3-4-6-3", "width": 1.0, "kernel": 3, "resolution": 64},
    },
}
SEGMENT = 0.25
"""Epochs of a generation of the search: networks change often, and what they learned is put together often."""
TRIAL = 3
"""A trial of TPE trains for one in so many of the images."""
METHODS = ("hand", "search", "search of 2", "random", "tpe")
COLUMNS = (
    "lfw fnmr@0.01",
    "masked lfw fnmr@0.01",
    "lfw accuracy",
    "masked lfw accuracy",
    "mfr2 accuracy",
)


class Setting:
    """All that is the same for every method."""

    def __init__(self, faces: Path, runs: Path, size: str) -> None:
        self.faces, self.runs, self.size = faces, runs, size
        self.recipe: dict[str, Any] = {
            **(SMALL if size == "small" else FULL),
            "tracking": False,
            "device": "cpu",
        } | AS_IT_WAS
        if size == "full":
            self.recipe["device"] = "auto"
        self.training: Faces = load_faces(scan(faces / "train"), SIZES[size])
        elastic = Elastic(
            BASES[size], depth=DEPTHS[size], width=(0.5, 0.75, 1.0), kernel=(3, 5), resolution=(0.5, 0.75, 1.0)
        )
        losses = Choice(ArcFace(m) for m in MARGINS)
        self.space = SearchSpace(loss=losses, backbone=elastic, constraints=[MaxFLOPs(LIMITS[size])])
        dim = int(self.recipe["embedding_dim"])
        self.allowed = within_budget(self.space, "", SIZES[size], dim).allowed or ()

    def cost(self, network: str) -> float:
        """Operations an image."""
        return flops(network, SIZES[self.size], int(self.recipe["embedding_dim"]))

    def images(self, run_dir: Path) -> int:
        """Images that each member of a finished run trained on."""
        result = SearchResult(run_dir)
        held = result.config["data"]["validation_identities"]
        batch = result.config["recipe"]["batch_size"]
        assert held is not None
        return round(result.records[-1].epoch * ((len(self.training) - self.held(result)) // batch)) * batch

    def held(self, result: SearchResult) -> int:
        """Validation images of a run."""
        from autofr.data import split_by_identity

        count, seed = result.config["data"]["validation_identities"], result.config["seed"]
        return len(split_by_identity(self.training, count, seed)[1])

    def train(self, name: str, network: str, margin: float, seed: int, share: int = 1) -> Path:
        """A training alone, or find it done, or go on with it."""
        run_dir = self.runs / f"{name}-seed{seed}"
        if not (run_dir / "report.json").exists():
            how = {**self.recipe, "epochs": self.recipe["epochs"] / share}
            autofr.train(
                ArcFace(margin),
                self.training,
                backbone=network,
                seed=seed,
                run_dir=run_dir,
                resume=(run_dir / "config.json").exists(),
                **how,
            )
        return run_dir

    def spent(self, run_dir: Path) -> float:
        """Cost of a run: operations of the forward pass, of all members, times images."""
        result = SearchResult(run_dir)
        each = self.images(run_dir) / result.records[-1].epoch
        total, before = 0.0, 0.0
        for record in result.records:
            costs = record.costs or [self.cost(network) for network in record.networks or record.keys]
            total += sum(costs) * (record.epoch - before) * each
            before = record.epoch
        return total

    def error(self, run_dir: Path) -> float:
        """The lowest validation error of a run."""
        return -max(record.reward for record in SearchResult(run_dir).records)


def hand(setting: Setting, seed: int) -> list[Path]:
    """Nine trainings."""
    return [
        setting.train(f"hand-{name}-m{margin}", network_of(setting, picked), margin, seed)
        for name, picked in HAND[setting.size].items()
        for margin in MARGINS
    ]


def search(setting: Setting, seed: int, population: int = 4) -> list[Path]:
    """One search."""
    name = "search" if population == 4 else f"search-of-{population}"
    run_dir, how = setting.runs / f"{name}-seed{seed}", {**setting.recipe, "segment": SEGMENT}
    how["population"] = population
    if not (run_dir / "report.json").exists():
        resume = (run_dir / "config.json").exists()
        autofr.search(setting.space, setting.training, seed=seed, run_dir=run_dir, resume=resume, **how)
    return [run_dir]


def random(setting: Setting, seed: int) -> list[Path]:
    """Full trainings of random choices, while the search's cost is not spent."""
    budget, rng, done = setting.spent(search(setting, seed)[0]), np.random.default_rng(seed), []
    images = setting.images(search(setting, seed)[0])
    while True:
        architecture = setting.allowed[int(rng.integers(len(setting.allowed)))]
        margin = MARGINS[int(rng.integers(len(MARGINS)))]
        network = variant(setting, architecture)
        budget -= setting.cost(network) * images
        if budget < 0 and done:
            return done
        done.append(setting.train(f"random-{len(done)}", network, margin, seed))


def tpe(setting: Setting, seed: int) -> list[Path]:
    """Short trainings chosen by TPE, then the best one at full length, at the search's cost."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    budget, done = setting.spent(search(setting, seed)[0]), []
    images = setting.images(search(setting, seed)[0])
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
    study = optuna.create_study(sampler=sampler)
    dims = setting.space.architecture
    best: tuple[float, str, float] = (float("inf"), "", 0.0)
    while True:
        trial = study.ask()
        architecture = tuple(trial.suggest_categorical(dim, range(len(setting.space.dimensions[dim]))) for dim in dims)
        margin = trial.suggest_categorical("margin", MARGINS)
        if architecture not in setting.allowed:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        network = variant(setting, architecture)
        cost = setting.cost(network) * images / TRIAL
        dearest = max(cost * TRIAL, setting.cost(best[1]) * images if best[1] else 0.0)
        if budget - cost < dearest and done:  # what is left is for the last, full training
            break
        budget -= cost
        done.append(setting.train(f"tpe-{len(done)}", network, margin, seed, TRIAL))
        error = setting.error(done[-1])
        study.tell(trial, error)
        best = min(best, (error, network, margin))
    done.append(setting.train("tpe-final", best[1], best[2], seed))
    return done


def network_of(setting: Setting, settings: dict[str, Any]) -> str:
    """A hand-picked network's name."""
    return f"{BASES[setting.size]},{','.join(f'{k}={v}' for k, v in settings.items())}"


def variant(setting: Setting, architecture: tuple[int, ...]) -> str:
    """An allowed network's name."""
    return setting.space.network(architecture)


def score(run_dir: Path, faces: Path) -> dict[str, float]:
    """Errors with flip averaging. Kept beside the run: scoring is not done twice."""
    kept = run_dir / "scores.json"
    if not kept.exists():
        mfr2, lfw = (
            autofr.evaluate(run_dir, faces / name, pairs=faces / f"{name}_pairs.txt", fmrs=[0.01], flip=True)["results"]
            for name in ("mfr2", "lfw")
        )
        found = (
            *(lfw[row]["rates"][0]["fnmr"] for row in ("standard", "masked")),
            *(lfw[row]["accuracy"] for row in ("standard", "masked")),
            mfr2["standard"]["accuracy"],
        )
        kept.write_text(json.dumps(dict(zip(COLUMNS, found, strict=True))))
    scores: dict[str, float] = json.loads(kept.read_text())
    return scores


def main() -> None:
    """Run the methods asked for, then write the tables of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--threads", type=int, default=1, help="of this process")
    parser.add_argument("--full", action="store_true", help="the published setting instead of the small one")
    parser.add_argument("--no-tables", action="store_true", help="train and score only: another process writes them")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    setting = Setting(arguments.faces, arguments.runs, "full" if arguments.full else "small")
    makers = {"hand": hand, "search": search, "random": random, "tpe": tpe}
    makers["search of 2"] = lambda setting, seed: search(setting, seed, 2)
    found = {}
    for seed in arguments.seeds:
        for method in arguments.methods:
            found[method, seed] = makers[method](setting, seed)
            for run_dir in found[method, seed]:
                if method != "tpe" or run_dir.name.startswith("tpe-final"):
                    score(run_dir, arguments.faces)
    if not arguments.no_tables:
        tables(setting, found)


def tables(setting: Setting, found: dict[tuple[str, int], list[Path]]) -> None:
    """Every training, and what each method came to."""
    trainings, results, points = [], [], []
    for (method, seed), run_dirs in found.items():
        rows = []
        for run_dir in run_dirs:
            result = SearchResult(run_dir)
            record, member = result.chosen
            network = record.networks[member]
            row = {"method": method, "seed": seed, "run": run_dir.name, "network": network}
            row |= {"loss": record.drawn[member]["loss"], "flops": setting.cost(network)}
            row |= {"cost": f"{setting.spent(run_dir):.4g}", "error": round(setting.error(run_dir), 4)}
            scored = (run_dir / "scores.json").exists()
            row |= {k: round(v, 4) for k, v in score(run_dir, setting.faces).items()} if scored else {}
            rows.append(row)
            points += [
                {"method": method, "seed": seed, "network": p.backbone, "flops": p.cost, "error": round(p.error, 4)}
                for p in result.pareto
            ] or [{"method": method, "seed": seed, "network": network, "flops": row["flops"], "error": row["error"]}]
        trainings += rows
        full = sorted((row for row in rows if COLUMNS[0] in row), key=lambda row: row["error"])
        cost = sum(float(row["cost"]) for row in rows)
        for place, row in enumerate(full[:3] if method == "hand" else full[:1], 1):
            name = f"hand, place {place}" if method == "hand" else method
            results.append({**row, "method": name, "trainings": len(rows), "cost": f"{cost:.4g}"})
    costs = {(row["method"], row["seed"]): float(row["cost"]) for row in results}
    for row in results:
        hand_cost = costs.get(("hand, place 1", row["seed"]), float("nan"))
        row["cost over finding hand"] = round(float(row["cost"]) / hand_cost, 3)
    summary = []
    for method in dict.fromkeys(row["method"] for row in results):
        rows = [row for row in results if row["method"] == method]
        line: dict[str, Any] = {"method": method, "seeds": len(rows)}
        for column in ("cost over finding hand", "error", *COLUMNS):
            values = [row[column] for row in rows]
            line[column] = round(mean(values), 4)
            line[f"{column} sd"] = round(stdev(values), 4) if len(values) > 1 else 0.0
        summary.append(line)
    for name, lines in (("trainings", trainings), ("results", results), ("summary", summary), ("pareto", points)):
        columns = list(dict.fromkeys(column for line in lines for column in line))
        with (HERE / f"{name}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, columns)
            table.writeheader()
            table.writerows(lines)
    plot(points)
    about = {"machine": f"{platform.machine()}, one thread a training", "torch": torch.__version__}
    settings = {k: v for k, v in setting.recipe.items() if k not in ("tracking", "device")}
    (HERE / "machine.json").write_text(json.dumps(about | {"settings": settings}, indent=1) + "\n")


def plot(points: list[dict[str, Any]]) -> None:
    """Validation error against operations: every training of the other methods, and the search's Pareto set."""
    seeds = sorted({point["seed"] for point in points})
    figure = Figure(figsize=(4.6 * len(seeds), 4.3), layout="constrained")
    colours = {"hand": "#2a6f97", "random": "#8a8a8a", "tpe": "#e9a23b", "search": "#d1495b", "search of 2": "#7b2d43"}
    for axes, seed in zip(figure.subplots(1, len(seeds), squeeze=False, sharey=True)[0], seeds, strict=True):
        for method, colour in colours.items():
            mine = sorted((p["flops"], p["error"]) for p in points if (p["method"], p["seed"]) == (method, seed))
            if not mine:
                continue
            x, y = np.array(mine).T / [[1e6], [1]]
            if method.startswith("search"):
                axes.step(x, y, "o-", where="post", color=colour, label=f"{method}: its Pareto set")
            else:
                axes.plot(
                    x,
                    y,
                    "o",
                    color=colour,
                    label=method + (" (all but the last: a third of the images)" if method == "tpe" else ""),
                )
        axes.set(xlabel="million operations an image", title=f"seed {seed}")
        axes.grid(True, alpha=0.3)
    figure.axes[0].set_ylabel("validation error: 0.75 MFR + 0.25 SFR")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(HERE / "pareto.png", dpi=120)


if __name__ == "__main__":
    main()

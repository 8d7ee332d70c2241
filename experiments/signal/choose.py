"""Which policy makes most of what a score shows: searches simulated on the measured forks; nothing is trained.

    python experiments/signal/choose.py

Reads ``forks.csv`` and ``lanes.csv``. A simulated search has 4 members and as many generations as fit into 10 epochs of
a training after its warm-up. Its rewards are those of one seed's forks, at about that point of training, as they are:
with the bias that short horizons have, and the noise of one set of validation identities. Members that draw the same
margin get the same reward. Truth: see judge.py.

*Scores* are a kind of weights, a reward and a horizon, as in judge.py; and, of the same forks,

- ``slope``: the reward's gain over the second half of the horizon;
- ``corrected``: the reward less what the forks of the other seeds had, on the mean and at any point of training, beyond
  a straight line in those seeds' truth: a bias that was learned beforehand;
- ``lineage``: the mean of what the fork shows after 1, 2 and 4 epochs: what credit that carries over generations hears
  at best, of a lineage that keeps its margin.

Horizon and generations go together: a member that trains 2 epochs before it is scored allows 5 generations. Where a
share of a generation is explored, there are 10 all the same, and the horizon is that share.

Writes ``choices.csv``: for each score and policy, how often the option with the highest alpha is among the true best
three and is the true best, its error above the best's (x 1000; also of the seed where it is largest and smallest), and
that of the members on the mean.
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).parent))
from judge import Forks, forks, truth
from setting import write

from autofr import Choice, SearchSpace
from autofr.losses import ArcFace
from autofr.policies import create_policy

MEMBERS, EPOCHS, SIMULATIONS = 4, 10, 300
POINTS = {2: range(4), 5: range(4, 7), 8: range(7, 10)}
"""The epochs (after the warm-up) that a fork's point of training stands for."""
POLICIES = ("thompson", "thompson:reach=0", "lfs", "lfs:lr=0.05,floor=0", "exp3", "random")
SCORES = [
    *[("raw", "fnmr", horizon, "") for horizon in (0.25, 0.5, 1.0, 2.0, 4.0)],
    *[("raw", "det_area", horizon, "") for horizon in (0.25, 1.0)],
    *[("mean", reward, horizon, "") for reward in ("fnmr", "det_area") for horizon in (0.25, 0.5, 1.0, 2.0, 4.0)],
    *[("mean", reward, 1.0, "") for reward in ("d_prime", "cllr")],
    *[("raw", "fnmr", 1.0, "slope"), ("mean", "det_area", 1.0, "slope")],
    *[("raw", "fnmr", 1.0, "corrected"), ("mean", "det_area", 1.0, "corrected")],
    *[("raw", "fnmr", 1.0, "lineage"), ("mean", "det_area", 1.0, "lineage")],
]
Floats = npt.NDArray[np.float64]
Score = tuple[str, str, float, str]


def measured(found: Forks, verdicts: Floats, score: Score) -> dict[int, dict[int, Floats]]:
    """Rows of rewards, (rows, 9), by seed and by the point of training that they are from."""
    weights, reward, horizon, treated = score

    def after(epochs: float) -> dict[tuple[Any, ...], Floats]:
        return {(k[0], k[1], k[2]): v for k, v in found.items() if k[3:] == (epochs, weights, "all", reward)}

    rows = after(horizon)
    if treated == "slope":
        before = after(horizon / 2)
        rows = {key: row - before[key] for key, row in rows.items()}
    elif treated == "lineage":
        later = [after(epochs) for epochs in (1.0, 2.0, 4.0)]
        rows = {key: np.mean([of[key] - of[key].mean() for of in later], 0) for key in later[-1]}
    elif treated == "corrected":
        bias = {}
        for seed in range(len(verdicts)):
            others = np.delete(verdicts, seed, 0).mean(0)
            left = [_off_the_line(row, others - others.mean()) for key, row in rows.items() if int(key[0]) != seed]
            bias[seed] = np.mean(left, 0)
        rows = {key: row - bias[int(key[0])] for key, row in rows.items()}
    return {
        seed: {p: np.array([r for k, r in rows.items() if (int(k[0]), k[1]) == (seed, p)]) for p in POINTS}
        for seed in range(len(verdicts))
    }


def _off_the_line(row: Floats, line: Floats) -> Floats:
    centred = row - row.mean()
    return np.asarray(centred - (centred @ line) / (line @ line) * line)


def simulated(job: tuple[dict[int, Floats], Floats, list[float], float, str, int]) -> tuple[int, float]:
    """Place of the first option of α, and the members' mean worth, of one search."""
    rows, worth, margins, horizon, policy_name, simulation = job
    rng = np.random.default_rng([simulation, 7])
    policy = create_policy(policy_name, SearchSpace(loss=Choice(ArcFace(m) for m in margins)), simulation, 0)
    drawn_worth = []
    for epoch in np.arange(0, EPOCHS - max(1.0, horizon) + 1e-9, max(1.0, horizon)):
        point = next(point for point, epochs in POINTS.items() if int(epoch) in epochs)
        rewards = rows[point][rng.integers(len(rows[point]))]
        asked = policy.ask(MEMBERS)
        drawn = [assignment["loss"] for assignment in asked]
        policy.tell(asked, rewards[drawn].tolist())
        drawn_worth.append(worth[drawn].mean())
    alpha = policy.alpha()["loss"]
    first = rng.choice(np.flatnonzero(alpha > alpha.max() - 1e-9))
    return int(first), float(np.mean(drawn_worth))


def main() -> None:
    """Simulate every score with every policy, and write the table."""
    margins, verdicts = truth()
    worth, found = verdicts.mean(0), forks()
    ranks = rankdata(-worth)
    rows: list[dict[str, Any]] = []
    with Pool() as pool:
        for score in SCORES:
            table = measured(found, verdicts, score)
            for policy in POLICIES:
                jobs = [(table[i % len(table)], worth, margins, score[2], policy, i) for i in range(SIMULATIONS)]
                firsts, members = map(np.array, zip(*pool.imap(simulated, jobs, chunksize=50), strict=True))
                row: dict[str, Any] = dict(zip(("weights", "reward", "horizon", "treated"), score, strict=True))
                row |= {
                    "policy": policy,
                    "best three": np.mean(ranks[firsts] <= 3),
                    "best": np.mean(ranks[firsts] == 1),
                }
                lost = 1000 * (worth.max() - worth[firsts])
                by_seed = [lost[seed :: len(table)].mean() for seed in table]
                row |= {"answer": lost.mean(), "answer, lowest": min(by_seed), "answer, highest": max(by_seed)}
                row["members"] = 1000 * (worth.max() - members.mean())
                rows.append({k: f"{v:.3f}" if isinstance(v, float) and k != "horizon" else v for k, v in row.items()})
            print(rows[-len(POLICIES)], flush=True)
    write("choices.csv", rows)


if __name__ == "__main__":
    main()

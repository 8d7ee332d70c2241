"""Put a generation, and what a member drew, in words."""

from __future__ import annotations

import logging

from autofr.runs.record import Record
from autofr.space.space import SearchSpace

logger = logging.getLogger(__name__)


def drawn_names(drawn: dict[str, str]) -> list[str]:
    """Return what was drawn, by name: losses and backbones name themselves, an elastic backbone's 0.5 does not."""
    return [name if dim in ("loss", "backbone") else f"{dim} {name}" for dim, name in drawn.items()]


def member_problems(record: Record) -> list[str]:
    """Return one line for each member that diverged or failed in the generation of ``record``."""
    return [
        f"member {member + 1} ({', '.join(drawn_names(record.drawn[member]))}) {trouble}"
        for member, trouble in enumerate(record.troubles)
        if trouble is not None
    ]


def log_generation(record: Record, space: SearchSpace) -> None:
    """Log a committed generation: a warning for each member that diverged or failed, then one line on its outcome."""
    for problem in member_problems(record):
        logger.warning(problem)
    for member, (drawn, reward) in enumerate(zip(record.drawn, record.rewards, strict=True)):
        logger.debug(f"member {member + 1}: {', '.join(drawn_names(drawn))}: reward {reward}")
    logger.info(generation_summary(record, space))


def generation_summary(record: Record, space: SearchSpace) -> str:
    """Return one line on a committed generation: its winner's choices and scores, and which options lead in α."""
    score, won = record.achieved, drawn_names(space.describe(record.assignments[record.winner]))
    top = {n: max(range(len(p)), key=p.__getitem__) for n, p in record.alpha.items()}
    flat = all(max(p) - min(p) < 1e-9 for p in record.alpha.values())
    lead = drawn_names({n: space.dimensions[n].names[i] for n, i in top.items()})
    named = ", ".join(f"{option} {record.alpha[n][i]:.2f}" for (n, i), option in zip(top.items(), lead, strict=True))
    leaders = "α still equal" if flat else f"highest α {named}"
    searched = any(len(p) > 1 for p in record.alpha.values())  # a training has one option
    choice = f"  winner {', '.join(won)}  {leaders}" if searched else ""
    mfr = "" if score["mfr"] is None else f"  MFR {score['mfr']:.3f}"
    return f"generation {record.generation + 1:3d}  epoch {record.epoch:5.2f}  SFR {score['sfr']:.3f}{mfr}{choice}"

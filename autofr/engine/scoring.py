"""How members are looked at when a segment is over: what troubles them, and how they score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autofr.engine.member import Member
from autofr.engine.population import Population
from autofr.engine.validation import Scores, Validation

NOT_FINITE = "diverged: its embeddings are not finite"


@dataclass(frozen=True)
class Look:
    """What is seen of a member when it is scored: what disqualifies it, its mean training loss, its scores."""

    trouble: str | None
    loss: float
    score: Scores


def look_at(members: Sequence[Member], population: Population, validation: Validation) -> list[Look]:
    """Score ``members``, and those of the other ranks: every rank hears of all of them, in their order."""
    found = {}
    for member, trouble in zip(members, population.settled(members), strict=True):
        with member.as_scored() as network:
            score = validation.score(network, trouble)
        lost = NOT_FINITE if math.isnan(score.reward) else None
        found[member.index] = Look(trouble or lost, member.mean_loss, score)
    return population.mesh.gathered(found)

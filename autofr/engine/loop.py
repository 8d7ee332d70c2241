"""The search: ask, train, score, tell, sync, commit. One page; everything it calls is named after what it does."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autofr.compute.mesh import Mesh
from autofr.console import Display
from autofr.data.loader import TrainingBatches
from autofr.engine.population import Population
from autofr.engine.scoring import Look, look_at
from autofr.engine.validation import Validation
from autofr.exceptions import DivergedError
from autofr.policies import Policy
from autofr.runs.bank import Place, WeightBank, leader
from autofr.runs.describe import log_generation
from autofr.runs.journal import Journal
from autofr.runs.pareto import Trade
from autofr.runs.record import Record
from autofr.tracking import Tracker
from autofr.training.recipe import Timetable
from autofr.training.segment import train_segment

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """The parts of one search, put together by :func:`autofr.engine.run.run_search`."""

    policy: Policy
    population: Population
    bank: WeightBank
    batches: TrainingBatches
    timetable: Timetable
    validation: Validation
    journal: Journal
    tracker: Tracker
    mesh: Mesh
    display: Display
    seed: int
    trade: Trade
    cost: Callable[[str], float]
    watch: Callable[[Record], None]

    def costs(self, places: Sequence[Place]) -> list[float]:
        """What each member's network costs; nothing where the space has but one."""
        return [self.cost(place.network) for place in places] if self.population.space.architecture else []


class EveryMemberDivergedError(Exception):
    """A generation without a single usable member. It never happened: nothing has changed.

    Args:
        told: what happened.
        steps: how far it came.
    """

    def __init__(self, told: str, steps: int) -> None:
        super().__init__(told)
        self.steps = steps


def search_loop(run: Run) -> None:
    """Run every generation that the journal does not have yet."""
    lr_scale = run.journal.records[-1].lr_scale if run.journal.records else 1.0
    with run.display.bar("searching", run.timetable.total) as advance:
        advance(run.timetable.steps_of(run.journal.next_generation).start)
        while run.journal.next_generation < run.timetable.generations:
            policy_before = run.policy.state()
            try:
                record = run_generation(run, run.journal.next_generation, lr_scale, advance)
            except EveryMemberDivergedError as error:
                if lr_scale < 1:
                    raise DivergedError(
                        f"{error}, also at half the learning rate; start anew with a lower --lr"
                    ) from error
                lr_scale = 0.5
                run.policy.load(policy_before)
                advance(-error.steps)
                logger.warning(f"{error}: the generation is rolled back, the learning rate halved")
            else:
                run.tracker.committed()
                log_generation(record, run.population.space)
                if run.journal.next_generation < run.timetable.generations:
                    run.watch(record)


def run_generation(run: Run, generation: int, lr_scale: float, advance: Display.Advance) -> Record:
    """One generation, from ask to commit.

    Raises:
        EveryMemberDivergedError: every one did.
    """
    started = time.monotonic()
    steps, explored = run.timetable.steps_of(generation), run.timetable.explored(generation)

    assignments = run.mesh.decided(lambda: run.policy.ask(run.population.size))
    members = run.population.take(assignments, run.bank)
    places = run.population.places
    origins = [run.bank.entries[place.key] for place in places]
    before = run.validation.score(members[0].backbone).to_json() if generation == 0 else None

    guide = run.population.guide(run.bank, run.journal.records[-1] if generation else None)
    train_segment(members, run.batches, run.timetable, explored, run.seed, lr_scale, advance, guide)
    found = look_at(members, run.population, run.validation)
    rewards = [look.score.reward for look in found]
    if None not in [look.trouble for look in found]:
        raise EveryMemberDivergedError(f"every member diverged (the first {found[0].trouble})", len(explored))
    alone = go_on_alone(run, leader(rewards), steps[len(explored) :], lr_scale, advance)
    while alone is not None and alone.trouble is not None:  # the next best does
        failed = leader(rewards)
        found[failed], rewards[failed] = replace(found[failed], trouble=f"alone, {alone.trouble}"), math.nan
        advance(len(explored) - len(steps))
        if all(map(math.isnan, rewards)):
            raise EveryMemberDivergedError(f"every member diverged (the last, alone, {alone.trouble})", len(explored))
        alone = go_on_alone(run, leader(rewards), steps[len(explored) :], lr_scale, advance)

    costs = run.mesh.decided(lambda: run.costs(places))
    run.mesh.decided(
        lambda: run.policy.tell(assignments, [*map(run.trade.worth, rewards, costs)] if costs else rewards)
    )
    winner = run.bank.update(places, rewards, generation, run.population.state_of)
    if costs:
        run.bank.offer(places, rewards, costs, generation, run.population.state_of)
    record = Record(
        generation=generation,
        epoch=steps.stop / run.timetable.steps_per_epoch,
        trained=(len(steps) + (len(places) - 1) * len(explored)) / run.timetable.steps_per_epoch,
        assignments=assignments,
        drawn=[run.population.space.describe(assignment) for assignment in assignments],
        keys=[place.key for place in places],
        networks=[place.network for place in places],
        costs=costs,
        parents=[e.member if e.generation == generation - 1 and e.member >= 0 else None for e in origins],
        losses=[look.loss if math.isfinite(look.loss) else None for look in found],
        scores=[look.score.to_json() for look in found],
        rewards=[None if math.isnan(reward) else reward for reward in rewards],
        troubles=[look.trouble for look in found],
        alone=None if alone is None else {**alone.score.to_json(), "reward": alone.score.reward},
        winner=winner,
        alpha={name: p.tolist() for name, p in run.policy.alpha().items()},
        policy=run.policy.state(),
        lr_scale=lr_scale,
        seconds=time.monotonic() - started,
        finished=time.time(),
        before=before,
    )
    return run.journal.commit(record, run.bank)


def go_on_alone(run: Run, winner: int, steps: range, lr_scale: float, advance: Display.Advance) -> Look | None:
    """The winner does what is left of the generation; ``None``: nothing is."""
    if not steps:
        return None
    here = [member for member in run.population.members if member.index == winner]
    if here:
        train_segment(here, run.batches, run.timetable, steps, run.seed, lr_scale, advance)
    else:
        advance(len(steps))
    return look_at(here, run.population, run.validation)[0]

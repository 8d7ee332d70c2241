"""The search: ask, train, score, tell, sync, commit. One page; everything it calls is named after what it does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autofr.data.loader import TrainingBatches
from autofr.distributed import Mesh
from autofr.evaluation.validation import Validation
from autofr.exceptions import AutofrError
from autofr.progress import Display
from autofr.search.bank import WeightBank
from autofr.search.journal import Journal
from autofr.search.member import Place
from autofr.search.pareto import Trade
from autofr.search.policies import Policy
from autofr.search.population import Population
from autofr.search.record import Record
from autofr.tracking import Tracker
from autofr.training.recipe import Timetable
from autofr.training.segment import train_segment

NOT_FINITE = "diverged: its embeddings are not finite"


@dataclass
class Run:
    """The parts of one search, put together by :func:`autofr.search.run.search`."""

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
    """A generation without a single usable member. It never happened: nothing has changed."""


def search_loop(run: Run) -> None:
    """Run every generation that the journal does not have yet."""
    lr_scale = run.journal.records[-1].lr_scale if run.journal.records else 1.0
    with run.display.bar("searching", run.timetable.total) as advance:
        advance(run.timetable.steps_of(run.journal.next_generation)[0])
        while run.journal.next_generation < run.timetable.generations:
            try:
                record = run_generation(run, run.journal.next_generation, lr_scale, advance)
            except EveryMemberDivergedError as error:
                if lr_scale < 1:
                    raise AutofrError(
                        f"{error}, also at half the learning rate; start anew with a lower --lr"
                    ) from error
                lr_scale = 0.5
                run.display.say(f"{error}: the generation is rolled back, the learning rate halved")
            else:
                run.tracker.committed()
                run.display.generation(record, run.population.space)
                if run.journal.next_generation < run.timetable.generations:
                    run.watch(record)


def run_generation(run: Run, generation: int, lr_scale: float, advance: Display.Advance) -> Record:
    """One generation, from ask to commit.

    Raises:
        EveryMemberDivergedError: every one did.
    """
    started = time.monotonic()
    policy_before = run.policy.state()

    assignments = run.mesh.decided(lambda: run.policy.ask(run.population.size))
    members = run.population.take(assignments, run.bank)
    places = run.population.places
    origins = [run.bank.entries[place.key] for place in places]
    before = run.validation.score(members[0].backbone).to_json() if generation == 0 else None

    guide = run.population.guide(run.bank, run.journal.records[-1] if generation else None)
    train_segment(members, run.batches, run.timetable, generation, run.seed, lr_scale, advance, guide)
    run.population.settle()

    scored = [
        (trouble, member.mean_loss, run.validation.score(member.backbone, trouble))
        for member, trouble in zip(members, run.population.troubles(), strict=True)
    ]
    found = run.mesh.gathered({member.index: said for member, said in zip(members, scored, strict=True)})
    scores, rewards = [score for _, _, score in found], [score.reward for _, _, score in found]
    troubles = [t or (NOT_FINITE if math.isnan(score.reward) else None) for t, _, score in found]
    if None not in troubles:
        run.policy.load(policy_before)
        first, last = run.timetable.steps_of(generation)
        advance(first - last)
        raise EveryMemberDivergedError(f"every member diverged (the first {troubles[0]})")

    costs = run.mesh.decided(lambda: run.costs(places))
    run.mesh.decided(
        lambda: run.policy.tell(assignments, [*map(run.trade.worth, rewards, costs)] if costs else rewards)
    )
    winner = run.bank.update(places, rewards, generation, run.population.state_of)
    if costs:
        run.bank.offer(places, rewards, costs, generation, run.population.state_of)
    record = Record(
        generation=generation,
        epoch=run.timetable.steps_of(generation)[1] / run.timetable.steps_per_epoch,
        assignments=assignments,
        drawn=[run.population.space.describe(assignment) for assignment in assignments],
        keys=[place.key for place in places],
        networks=[place.network for place in places],
        costs=costs,
        parents=[e.member if e.generation == generation - 1 and e.member >= 0 else None for e in origins],
        losses=[loss if math.isfinite(loss) else None for _, loss, _ in found],
        scores=[score.to_json() for score in scores],
        rewards=[None if math.isnan(reward) else reward for reward in rewards],
        troubles=troubles,
        winner=winner,
        alpha={name: p.tolist() for name, p in run.policy.alpha().items()},
        policy=run.policy.state(),
        lr_scale=lr_scale,
        seconds=time.monotonic() - started,
        finished=time.time(),
        before=before,
    )
    return run.journal.commit(record, run.bank)

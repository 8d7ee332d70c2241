"""Does a short segment show which margin is best in the end? The trainings and the forks; nothing is judged here.

    python experiments/signal/measure.py --faces FACES --runs RUNS

For every seed (other initial weights, batches, masks and validation identities):

- *lanes*: every margin trained to the end, on the same batches and masks, and one lane that draws another margin of
  the pool each epoch. The lane of margin 0.25 is the trunk; its state is kept at 2, 5 and 8 of 12 epochs.
- *forks*: from each of these states, all nine margins of the pool for 4 epochs, on the same batches and masks, looked
  at after 1/4, 1/2, 1, 2 and 4; and once more for an epoch on other batches and masks.

What is kept is embeddings of the validation identities (plain and masked), from which score.py computes any reward:
of the weights as they are; also of mirrored images; with BatchNorm averages taken anew; of the mean of the weights over
the second half of the segment (BatchNorm taken anew); and under other validation masks. Of finished lanes also those
of the verdict identities, that nobody trains on or is scored on, and the networks.

Every part is a file below RUNS/signal: a stopped experiment goes on where it was. ``--full`` is the full-size setting
(ir50, 112 pixels, 20 epochs), for a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from setting import FULL, MARGINS, POOL, SMALL, Ground, Setting, arguments, ground, read_faces

from autofr.compute.seeding import derive_seed, seeded
from autofr.data import Faces
from autofr.engine.member import Member
from autofr.evaluation.embedding import embed, masked_copies, read_all
from autofr.io.files import write_durably
from autofr.training.averaging import MeanWeights, lent
from autofr.training.batchnorm import BATCHES

TRUNK = 0.25
SHARES = (2 / 12, 5 / 12, 8 / 12)
"""Where in a training forks begin, as shares of it."""
HORIZONS = (0.25, 0.5, 1.0, 2.0, 4.0)
OTHER = 1000
"""Added to a seed for other batches and masks."""
Embedded = dict[str, Tensor]


class Looks:
    """The validation faces, plain and under two sets of masks, and what networks make of them."""

    def __init__(self, at: Ground) -> None:
        self.plain = read_all(at.validation)
        anchors = at.validation.anchors
        assert anchors is not None
        self.masked = masked_copies(anchors, self.plain, at.seed)
        self.others = masked_copies(anchors, self.plain, at.seed + OTHER)

    def both(self, net: nn.Module, name: str) -> Embedded:
        """Embeddings of plain and masked faces, under ``name``."""
        return {f"{name}/plain": small(embed(net, self.plain)), f"{name}/masked": small(embed(net, self.masked))}

    def all(self, member: Member, mean: MeanWeights, images: Sequence[Tensor], horizon: float) -> Embedded:
        """Every candidate of how a member can be scored. Its own weights and averages are as before afterwards."""
        net = member.backbone
        found = self.both(net, "raw")
        found["raw/plain_mirrored"] = small(embed(net, self.plain.flip(-1)))
        found["raw/masked_mirrored"] = small(embed(net, self.masked.flip(-1)))
        if horizon == 1:
            found["raw/masked_again"] = small(embed(net, self.others))
        for name, weights in (("recalibrated", MeanWeights(net)), ("mean", mean)):
            with lent(net, weights.settled(images)):
                found |= self.both(net, name)
        return found


def small(embeddings: Tensor) -> Tensor:
    """Half the bytes; scores differ by less than 1e-3."""
    return embeddings.half().cpu()


def lanes(at: Ground, path: Path) -> None:
    """Every margin to the end, and the lane of random ones (the last)."""
    members = [at.member(margin) for margin in (*MARGINS, TRUNK)]
    drawn = torch.Generator().manual_seed(derive_seed(at.seed, "random lane"))
    looks, timetable = Looks(at), at.timetable
    marks = {round(share * timetable.recipe.epochs) * timetable.steps_per_epoch for share in SHARES}
    curve: dict[int, list[Embedded]] = {}
    trunk: dict[int, Any] = {}
    for step, batch in enumerate(at.batches().batches(0, timetable.total)):
        if step % timetable.steps_per_epoch == 0:
            margin = POOL[int(torch.randint(len(POOL), (), generator=drawn))]
            members[-1].begin(MARGINS.index(margin))
        for member in members:
            with seeded(at.seed, "member", step, member.index, 0):
                member.step(batch, timetable.lr(step), timetable.ramp(step))
        epoch, rest = divmod(step + 1, timetable.steps_per_epoch)
        if rest == 0:
            curve[epoch] = [looks.both(member.backbone, "raw") for member in members]
            print(f"seed {at.seed}: {epoch} of {timetable.recipe.epochs} epochs", flush=True)
        if step + 1 in marks:
            trunk[epoch] = members[MARGINS.index(TRUNK)].state()
    assert not any(member.trouble() for member in members)
    plain, masked = verdict_images(at.verdict, at.seed)
    verdict = [{"plain": small(embed(m.backbone, plain)), "masked": small(embed(m.backbone, masked))} for m in members]
    nets = [member.backbone.state_dict() for member in members]
    done = {"curve": curve, "verdict": verdict, "trunk": trunk, "nets": nets}
    write_durably(path, lambda part: torch.save(done, part))


def verdict_images(faces: Faces, seed: int) -> tuple[Tensor, Tensor]:
    """The verdict's faces, plain and masked."""
    assert faces.anchors is not None
    plain = read_all(faces)
    return plain, masked_copies(faces.anchors, plain, seed)


def forks(at: Ground, epoch: int, again: bool, trunk: Any, path: Path) -> None:
    """All margins of the pool from the trunk's state after ``epoch`` epochs; ``again``: on other batches, for one."""
    members = [at.member(margin) for margin in POOL]
    for member, margin in zip(members, POOL, strict=True):
        member.load(trunk)
        member.begin(MARGINS.index(margin))
    looks, timetable = Looks(at), at.timetable
    means = [MeanWeights(member.backbone) for member in members]
    for mean in means:
        mean.start()
    first = epoch * timetable.steps_per_epoch
    marks = {round(horizon * timetable.steps_per_epoch): horizon for horizon in HORIZONS if not again or horizon <= 1}
    halves = {round(horizon * timetable.steps_per_epoch / 2) for horizon in HORIZONS}
    met: list[Tensor] = []
    found: dict[float, list[Embedded]] = {}
    batches = at.batches(at.seed + OTHER if again else None).batches(first, first + max(marks))
    for done, batch in enumerate(batches, start=1):
        step = first + done - 1
        for member, mean in zip(members, means, strict=True):
            with seeded(at.seed, "member", step, member.index, 0):
                member.step(batch, timetable.lr(step), timetable.ramp(step))
            mean.add()
        met = [*met, batch.images][-BATCHES:]
        if done in marks:
            horizon = marks[done]
            found[horizon] = [looks.all(m, mean, met, horizon) for m, mean in zip(members, means, strict=True)]
            print(f"seed {at.seed}: {horizon} epochs after {epoch}{', again' if again else ''}", flush=True)
        if done in halves:
            for mean in means:
                mean.start()
    assert not any(member.trouble() for member in members)
    write_durably(path, lambda part: torch.save({"found": found}, part))


Job = tuple[Setting, Path, Path, int, int, bool]
"""Setting, faces, folder, seed, epoch of the fork (-1: the lanes), again."""


def path_of(folder: Path, seed: int, epoch: int, again: bool) -> Path:
    """Where a job leaves what it found."""
    return folder / (f"lanes{seed}.pt" if epoch < 0 else f"forks{seed}_{epoch}{'_again' if again else ''}.pt")


def work(job: Job) -> None:
    """Do a job, unless it is done."""
    setting, faces, folder, seed, epoch, again = job
    path = path_of(folder, seed, epoch, again)
    if path.exists():
        return
    torch.set_num_threads(1)
    at = ground(read_faces(faces, setting), setting, seed)
    if epoch < 0:
        lanes(at, path)
    else:
        trunk = torch.load(path_of(folder, seed, -1, False), weights_only=True)["trunk"][epoch]
        forks(at, epoch, again, trunk, path)


def main() -> None:
    """Do every job: first all lanes, which the forks need."""
    asked = arguments(__doc__)
    setting = FULL if asked.full else SMALL
    folder = asked.runs / ("signal_full" if asked.full else "signal")
    folder.mkdir(parents=True, exist_ok=True)
    points = [round(share * setting.epochs) for share in SHARES]
    with get_context("spawn").Pool(asked.processes, maxtasksperchild=1) as pool:
        first: list[Job] = [(setting, asked.faces, folder, seed, -1, False) for seed in asked.seeds]
        rest: list[Job] = [
            (setting, asked.faces, folder, seed, epoch, again)
            for seed in asked.seeds
            for epoch in points
            for again in (False, True)
        ]
        lanes_done = [pool.apply_async(work, (job,)) for job in first]
        forks_done = []
        for job in rest:
            lanes_done[asked.seeds.index(job[3])].get()
            forks_done.append(pool.apply_async(work, (job,)))
        for result in forks_done:
            result.get()


if __name__ == "__main__":
    main()

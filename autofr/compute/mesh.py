"""The mesh: which process trains which members, and on which part of each batch. PyTorch's own parts: ``torchrun``,
``DeviceMesh``, ``DistributedDataParallel``.

Ranks stand in a grid of (member, data). Partners along ``data`` are neighbours: they share members, each with a part of
every batch and of the class centres. Along ``member`` stand groups with other members. One process is the mesh of
one rank, :data:`ALONE`.
"""

from __future__ import annotations

import itertools
import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.rendezvous import rendezvous

from autofr.exceptions import AgreedError, AutofrError, LostContactError, RankError
from autofr.system.torchrun import launched

T = TypeVar("T")

PATIENCE = timedelta(hours=3)
"""How long a rank waits for the others: one that reads may take its time, one that died is noticed at once."""


@dataclass(frozen=True)
class Shape:
    """What ``--mesh`` asks for.

    Attributes:
        member: members of the population, spread over groups of ranks; ``None``: as many as it has.
        data: ranks that share a member.
    """

    member: int | None = None
    data: int = 1

    @classmethod
    def parse(cls, text: str) -> Shape:
        """The shape that ``member=M,data=D`` names; either may be left out.

        Raises:
            AutofrError: it names none.
        """
        parts = re.findall(r"(?:^|,)(member|data)=(\d{1,6})(?=,|$)", text)
        found = {name: int(count) for name, count in parts}
        if ",".join(f"{name}={count}" for name, count in parts) != text or not text or len(found) < len(parts):
            raise AutofrError(f"a mesh is member=M,data=D with whole numbers, got {text!r}")
        if 0 in found.values():
            raise AutofrError(f"a mesh has 1 rank or more along each side, got {text!r}")
        return cls(**found)

    def groups(self, population: int, ranks: int) -> int:
        """Groups of ranks among which so many ``ranks`` share out the population.

        Raises:
            AutofrError: the ranks do not fit.
        """
        if self.member not in (None, population):
            raise AutofrError(
                f"the mesh has member={self.member}, and the population {population} members: leave member out, "
                f"or say member={population}"
            )
        fitting = [self.data * g for g in range(1, population + 1) if population % g == 0]
        if ranks not in fitting:
            raise AutofrError(
                f"{ranks} processes do not fit a mesh of member={population},data={self.data}: "
                f"start {', '.join(map(str, fitting))} (torchrun --nproc-per-node, --nnodes)"
            )
        return ranks // self.data


@dataclass(frozen=True)
class Mesh:
    """Where this process stands in the grid, and how it hears of the others.

    Attributes:
        groups, group: groups of members, and which one this is.
        data, part: ranks in a group, and which one this is.
        members, partners: process groups along the two sides; ``None`` in a mesh of one rank.
    """

    groups: int = 1
    group: int = 0
    data: int = 1
    part: int = 0
    members: dist.ProcessGroup | None = None
    partners: dist.ProcessGroup | None = None

    @property
    def lead(self) -> bool:
        """Whether this rank decides, writes and speaks."""
        return self.group == 0 and self.part == 0

    @property
    def rank(self) -> int:
        """Its number among all processes."""
        return self.group * self.data + self.part

    @property
    def several(self) -> bool:
        """Whether there are other ranks."""
        return self.members is not None

    def holds(self, member: int) -> bool:
        """Whether the member of that index trains here."""
        return member % self.groups == self.group

    def own(self, count: int) -> range:
        """This rank's part of ``count`` things that the partners share, in order; the first ones have one more."""
        return parts(count, self.data)[self.part]

    def said(self, value: T) -> T:
        """The lead's ``value``, on every rank."""
        if not self.several:
            return value
        told: list[Any] = [value]
        with contact():
            dist.broadcast_object_list(told, src=0)
        heard: T = told[0]
        return heard

    def decided(self, work: Callable[[], T]) -> T:
        """What ``work`` gives on the lead, on every rank; the others do not do it."""
        return self.said(work()) if self.lead else self.said(cast(T, None))

    def gathered(self, mine: Mapping[int, T]) -> list[T]:
        """What every group says of its members, in their order, on every rank. Partners say the same."""
        if not self.several:
            return [mine[index] for index in sorted(mine)]
        told: list[Any] = [None] * self.groups
        with contact():
            dist.all_gather_object(told, dict(mine), group=self.members)
        found = {index: value for group in told for index, value in group.items()}
        # The lead's, to the last bit: partners may compute on other chips.
        return self.said([found[index] for index in sorted(found)])

    def first_said(self, values: Sequence[T | None]) -> list[T | None]:
        """By place, the first of the partners' values that is not ``None``."""
        told = self.of_partners([*values])
        return [next((value for value in row if value is not None), None) for row in zip(*told, strict=True)]

    def of_partners(self, value: T) -> list[T]:
        """Every partner's ``value``, in their order."""
        told: list[Any] = [value] * self.data
        if self.data > 1:
            with contact():
                dist.all_gather_object(told, value, group=self.partners)
        return told

    def spread(self, member: int, state: Callable[[], dict[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
        """The ``state`` of a member, from the group that holds it, on every rank (each part of it on its partners)."""
        if self.groups == 1:
            return state()
        owner = member % self.groups
        mine = state() if owner == self.group else None
        told: list[Any] = [None if mine is None else {n: (t.shape, t.dtype, t.is_cuda) for n, t in mine.items()}]
        with contact():
            dist.broadcast_object_list(told, group=self.members, group_src=owner)
            found = mine or {
                name: torch.empty(shape, dtype=dtype, device=device if cuda else "cpu")
                for name, (shape, dtype, cuda) in told[0].items()
            }
            sent = [dist.broadcast(t, group=self.members, group_src=owner, async_op=True) for t in found.values()]
            for work in sent:
                if work is not None:
                    work.wait()
        return found

    def wait(self) -> None:
        """Until every rank is here."""
        if self.several:
            with contact():
                dist.barrier()

    def agreed(self, work: Callable[[], T]) -> T:
        """What ``work`` returns here, once it has succeeded everywhere.

        Raises:
            AutofrError: it failed somewhere; the lowest such rank's error, on every rank.
        """
        error: Exception | None = None
        try:
            done = work()
        except (AutofrError, OSError) as found:
            if not self.several:
                raise
            error = found
        if self.several:
            told: list[Any] = [None] * dist.get_world_size()
            with contact():
                dist.all_gather_object(told, None if error is None else str(error))
            first = next((rank for rank, said in enumerate(told) if said is not None), None)
            if first is not None:
                everywhere = all(said == told[first] for said in told)
                raise AgreedError(told[first] if everywhere else f"rank {first}: {told[first]}") from error
        return done


ALONE = Mesh()
"""The mesh of one process."""


def parts(count: int, ranks: int) -> list[range]:
    """``count`` things in as many runs as there are ``ranks``, as even as can be."""
    ends = [(rank * count + ranks - 1) // ranks for rank in range(ranks + 1)]
    return [range(first, last) for first, last in itertools.pairwise(ends)]


def local_device(name: str) -> str:
    """The device of this rank: ``auto`` and ``cuda`` mean the accelerator of its number on its machine.

    Raises:
        AutofrError: ranks are told to share one device by name.
    """
    if not launched():
        return name
    if name.startswith("cuda:"):
        raise AutofrError(
            f"--device {name} would put every rank on one device; take --device cuda, and each has its own"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" else name


@contextmanager
def contact() -> Iterator[None]:
    """Raise :class:`LostContactError` where a collective operation in the block fails: another process is gone.

    The backends raise RuntimeError for that, or a subclass of their own, from within torch. An error that arose in
    anybody else's code (the backward pass of a user's loss, say) is that code's, and passes.
    """
    try:
        yield
    except dist.DistError as error:
        raise LostContactError((str(error).splitlines() or [""])[0]) from error
    except RuntimeError as error:
        if type(error) is not RuntimeError or not _within_torch(error):  # out of memory, say, or of a user's code
            raise
        raise LostContactError((str(error).splitlines() or [""])[0]) from error


def _within_torch(error: Exception) -> bool:
    """Return whether no code but torch's lies between the block of :func:`contact` and where ``error`` arose."""
    _, _, *called = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    return all(name.partition(".")[0] == "torch" for name in called)


@contextmanager
def joined(shape: Shape, population: int, device: torch.device) -> Iterator[Mesh]:
    """Take this process's place among those that ``torchrun`` started, until the block ends.

    Args:
        shape: what the user asked for.
        population: members.
        device: of this rank.

    Raises:
        AutofrError: the ranks do not fit, the devices differ, or the accelerators cannot speak to each other.
    """
    ranks, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    groups = shape.groups(population, ranks)
    backend = "gloo"
    if device.type == "cuda":
        if not dist.is_nccl_available():
            raise AutofrError("this PyTorch has no NCCL, by which GPUs speak to each other; take --device cpu")
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        # torchrun keeps one store for all attempts: without a prefix, addresses of processes that are gone are found in
        # it, and called for (PyTorch 2.14).
        attempt = f"autofr/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{ranks}"
        kinds: list[Any] = [None] * ranks
        with contact():
            store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
            dist.init_process_group(
                backend,
                store=dist.distributed_c10d.PrefixStore(attempt, store),
                rank=rank,
                world_size=ranks,
                timeout=PATIENCE,
            )
            dist.all_gather_object(kinds, device.type)
        if len(set(kinds)) > 1:
            other = next(r for r in range(ranks) if kinds[r] != kinds[0])
            raise AutofrError(f"rank 0 is on {kinds[0]} and rank {other} on {kinds[other]}; name one with --device")
        with contact():
            grid = init_device_mesh(device.type, (groups, shape.data), mesh_dim_names=("member", "data"))
        group, part = divmod(rank, shape.data)
        yield Mesh(groups, group, shape.data, part, grid.get_group("member"), grid.get_group("data"))
        with contact():
            dist.barrier()  # one that left early would take the others' connections with it
    except AgreedError:
        raise
    except LostContactError as error:
        raise RankError(f"rank {rank} lost the others: {error}; torchrun's --max-restarts starts all again") from error
    except AutofrError as error:
        raise RankError(f"rank {rank}: {error}") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()

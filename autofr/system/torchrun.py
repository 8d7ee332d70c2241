"""What ``torchrun`` tells the processes that it starts. No torch: the command line asks, and has to answer at once."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def launched() -> bool:
    """Whether this process was started by ``torchrun``."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def speaks() -> bool:
    """Whether this process is the one that prints."""
    return not launched() or os.environ["RANK"] == "0"


def processes_here() -> int:
    """How many processes of the job share this machine's memory."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if launched() else 1


def cores() -> int:
    """How many cores this process has: of those that it may run on, its share beside the job's other processes."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // processes_here())


def torchrun_command() -> list[str]:
    """How as many processes are started again."""
    here, all_of_them = os.environ["LOCAL_WORLD_SIZE"], os.environ["WORLD_SIZE"]
    nodes = [] if here == all_of_them else ["--nnodes", str(int(all_of_them) // int(here))]
    return ["torchrun", *nodes, "--nproc-per-node", here]


def job(mesh: str | None) -> dict[str, str]:
    """What a run notes of the job that began it; nothing without ``torchrun``."""
    return {"job": os.environ["TORCHELASTIC_RUN_ID"], "mesh": mesh or ""} if launched() else {}


def is_this_job(run: Mapping[str, Any]) -> bool:
    """Whether what a run noted is of this job. Jobs without a name of their own are all called ``none``: of these it
    has to have begun after the ``torchrun`` that started this process."""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    return run.get("job") == name and (name != "none" or float(run.get("started", 0)) >= _agent_started())


def _agent_started() -> float:
    """When this process's parent was started, Unix time; infinity where the system does not say."""
    try:
        ticks = float(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[19])
        lines = Path("/proc/stat").read_text().splitlines()
        booted = next(float(line.split()[1]) for line in lines if line.startswith("btime"))
    except (OSError, StopIteration, ValueError, IndexError):
        return math.inf
    return booted + ticks / os.sysconf("SC_CLK_TCK") - 1  # the boot is noted in whole seconds

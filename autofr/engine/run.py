"""Run a search from the first check to the last picture."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

from autofr.compute.device import pick_device
from autofr.compute.mesh import ALONE, Mesh, Shape, joined, local_device
from autofr.console import Display, attached, printed
from autofr.data import Faces
from autofr.engine.data import scan_call
from autofr.engine.loop import Run, search_loop
from autofr.engine.prepare import Prepared, check_run_dir, check_settings, prepare
from autofr.engine.request import described, refuse_other_settings, resume_command
from autofr.evaluation.mask_sheet import mask_sheet
from autofr.exceptions import AutofrError, DivergedError, RankError
from autofr.io.files import write_durably, write_json
from autofr.runs.journal import Journal
from autofr.runs.log import RunLog
from autofr.runs.network import best_embedder
from autofr.runs.pick import save_pareto
from autofr.runs.record import Record
from autofr.runs.result import ENDED, SearchResult, read_config
from autofr.space.space import SearchSpace
from autofr.system.lock import locked
from autofr.system.signals import stoppable
from autofr.system.torchrun import is_this_job, job, launched, speaks
from autofr.tracking import Tracker

logger = logging.getLogger(__name__)


class Pruned(Exception):  # noqa: N818  (it is no error)
    """What a ``watch`` raises to end a search that is not worth going on with."""


def run_search(
    space: SearchSpace,
    call: dict[str, Any],
    run_dir: Path,
    resume: bool,
    tracking: bool,
    progress: bool,
    watch: Callable[[Record], None] | None,
    shape: str | None,
) -> SearchResult:
    """Run a search, or go on with one. Everything that can be wrong is found before the run directory is made."""
    if launched():
        call = call | {"device": _own_device(call["device"])}
    with stoppable(), ExitStack() as until_done:
        mesh, log = ALONE, RunLog()
        until_done.enter_context(_shown(progress))
        if launched():
            asked = Shape() if shape is None else Shape.parse(shape)
            mesh = until_done.enter_context(joined(asked, call["population"], pick_device(call["device"])))
        if mesh.lead:
            until_done.callback(log.close)
            until_done.enter_context(attached(log))
        display = Display(progress and speaks())
        resume = mesh.decided(lambda: resume or _began(run_dir))
        mesh.agreed(lambda: check_run_dir(run_dir, resume))
        if resume:
            mesh.agreed(lambda: until_done.enter_context(_alone(run_dir)) if mesh.lead else None)
        prepared = _prepare(space, call, display, read_config(run_dir) if resume else None, mesh)
        config = prepared.config
        if resume:
            mesh.agreed(lambda: refuse_other_settings(run_dir, config))
        if mesh.lead:
            if resume:
                (run_dir / ENDED).unlink(missing_ok=True)
            else:
                run_dir.mkdir(parents=True, exist_ok=True)
                until_done.enter_context(_alone(run_dir))
                check_run_dir(run_dir, resume)  # again: reading the faces may have taken a while
                about = {"id": uuid.uuid4().hex, "started": time.time(), **job(shape)}
                write_json(run_dir / "config.json", config | {"run": about})
            log.open(run_dir)
        mesh.wait()
        config = read_config(run_dir)
        journal = Journal(run_dir, mesh)
        bank = journal.recover()
        for note in journal.notes if mesh.lead else ():
            logger.warning(note)
        run = prepared.run(
            journal, bank, lambda: Tracker(run_dir, tracking and mesh.lead), display, watch or _nothing, mesh
        )
        if journal.records:
            finished = journal.next_generation >= run.timetable.generations
            where = "has all its generations" if finished else f"goes on at generation {journal.next_generation + 1}"
            logger.info(f"resuming: {run_dir} {where}")
        try:
            search_loop(run)
            return _write_down(run, run_dir, prepared.shown) if mesh.lead else SearchResult(run_dir)
        except BaseException as error:
            logger.debug(f"ended by {type(error).__name__}: {error}")
            if not isinstance(error, Pruned | DivergedError):  # of one that diverged: it would again
                logger.warning(_where_it_stands(run, run_dir, config))
            status = "KILLED" if isinstance(error, KeyboardInterrupt | Pruned) else "FAILED"
            with suppress(OSError):  # the disk may be what it is about
                if mesh.lead:
                    write_json(run_dir / ENDED, {"status": status})
            run.tracker.abandon(status)
            raise


def _nothing(record: Record) -> None:
    """Watch no generation."""


def _shown(progress: bool) -> AbstractContextManager[None]:
    """Print what is logged, for a block: on the rank that prints; on others what they alone know, of their images."""
    if speaks():
        return printed(progress)
    return printed(progress, logging.WARNING, f"rank {os.environ['RANK']}: %(message)s", "autofr.data")


def _prepare(
    space: SearchSpace, call: dict[str, Any], display: Display, stored: dict[str, Any] | None, mesh: Mesh
) -> Prepared:
    """As :func:`prepare`, on every rank, of the same faces and with the same architectures."""
    if space.constraints and mesh.several and stored is None:  # timings differ: the lead's hold
        found = mesh.agreed(lambda: check_settings(space, call, scan_call(call), display)[0] if mesh.lead else None)
        stored = {"space": mesh.said({} if found is None else described(found))}
    done = mesh.agreed(lambda: prepare(space, call, display, stored, mesh))
    if mesh.several:
        lead = mesh.said(done.config["data"]["fingerprint"])
        mesh.agreed(lambda: _same_faces(done.config["data"]["fingerprint"], lead))
    return done


def _own_device(name: str) -> str:
    try:
        return str(pick_device(local_device(name)))
    except AutofrError as error:  # a machine with fewer GPUs than the others has to say so itself
        raise RankError(f"rank {os.environ['RANK']}: {error}") from error


def _same_faces(here: str, lead: str) -> None:
    if here != lead:
        raise AutofrError("it finds other faces in --data than rank 0; give all machines the same")


def _began(run_dir: Path) -> bool:
    """Whether this very job began the run in ``run_dir``: torchrun has started it again."""
    return launched() and (run_dir / "config.json").is_file() and is_this_job(read_config(run_dir).get("run", {}))


def _alone(run_dir: Path) -> AbstractContextManager[None]:
    told = f"another process is at work in {run_dir} (it holds {run_dir / 'lock'}); wait until it ends, or stop it"
    return locked(run_dir / "lock", told)


def _where_it_stands(run: Run, run_dir: Path, config: dict[str, Any]) -> str:
    done, total = run.journal.next_generation, run.timetable.generations
    rolled_back = ", the one under way is rolled back" if done < total else ""
    return f"{done} of {total} generations are committed{rolled_back}; go on with: {resume_command(run_dir, config)}"


def _write_down(run: Run, run_dir: Path, shown: Faces) -> SearchResult:
    from autofr.runs.plots import plot_alpha, plot_lineage, plot_pareto

    result = SearchResult(run_dir)
    best_embedder(run_dir).save(result.checkpoint)
    if "trade" in result.config:
        save_pareto(result, run.bank)
        seen = [(row["cost"], -row["reward"]) for row in result.lineage if row["reward"] is not None]
        best = [(point.cost, point.error) for point in result.pareto]
        write_durably(
            run_dir / "pareto.png", lambda path: plot_pareto(seen, best, result.config["trade"]["cost"], path)
        )
    logger.info("writing pictures and the best network")
    write_durably(run_dir / "alpha.png", lambda path: plot_alpha(result.alpha, result.options, path))
    dimensions = list(run.population.space)
    write_durably(run_dir / "lineage.png", lambda path: plot_lineage(result.lineage, dimensions, path))
    if shown.landmarks is not None:
        mask_sheet(shown, run_dir / "masks.png", run.seed)
    write_json(run_dir / "report.json", result.report())  # last: with it the run is complete
    run.tracker.finish()
    return result

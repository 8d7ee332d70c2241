"""Searches in processes of their own, to be killed: what is committed must be there, and what follows the same bits.

Children come from a server process that has imported autofr already, so that one starts in milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autofr.io.files import sha256
from autofr.runs.result import SearchResult

Search = Callable[[Path, bool], None]
"""What a child runs: a search in a run directory, resumed or not. A function of a module that can be imported."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["autofr.engine.api", "autofr.evaluation.plots", "autofr.evaluation.mask_sheet", "autofr.testing"]
)


def start(search: Search, run_dir: Path, instant: int | None = None) -> Any:
    """Start ``search`` in a process, which goes on where an earlier one in ``run_dir`` was killed.

    Args:
        search: what to run.
        run_dir: where.
        instant: which instant of :func:`instants` it kills itself at, counted from 0; ``None``: none.

    Returns:
        A ``multiprocessing`` process, started.
    """
    process = _CONTEXT.Process(target=_child, args=(search, run_dir, instant, None))
    process.start()
    return process


def instants(search: Search, run_dir: Path) -> list[str]:
    """What the commits of a whole ``search`` do to the disk, in order: each is an instant to be killed at."""
    heard = run_dir.with_name(f"{run_dir.name}.instants.json")
    process = _CONTEXT.Process(target=_child, args=(search, run_dir, None, heard))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the search ended with {process.exitcode}")
    return [str(name) for name in json.loads(heard.read_text())]


def _child(search: Search, run_dir: Path, instant: int | None, heard: Path | None) -> None:
    watch = _Watch(instant)
    if instant is not None or heard is not None:
        watch.begin()
    resume = (run_dir / "config.json").exists()
    search(run_dir, resume)
    if heard is not None:
        heard.write_text(json.dumps(watch.heard))


class _Watch:
    """Hears of every step of a commit: before and after each of what it does, and amid each write."""

    def __init__(self, instant: int | None) -> None:
        self.instant, self.committing = instant, False
        self.heard: list[str] = []

    def at(self, name: str) -> None:
        """An instant. It may be the last."""
        if self.committing:
            if len(self.heard) == self.instant:
                os.kill(os.getpid(), signal.SIGKILL)
            self.heard.append(name)

    def begin(self) -> None:
        """From now on, hear of what commits do."""
        from autofr.runs import journal

        self._around(os, "fsync", "fsync")
        self._around(os, "replace", "rename")
        self._around(Path, "unlink", "unlink")
        self._around(journal, "sha256", "hash")
        self._amid_tensors()
        self._amid_append(journal)
        commit = journal.Journal.commit

        def watched(*arguments: Any) -> Any:
            self.committing = True
            try:
                self.at("commit begins")
                return commit(*arguments)
            finally:
                self.at("commit ends")
                self.committing = False

        journal.Journal.commit = watched  # type: ignore[method-assign, assignment]

    def _around(self, owner: Any, attribute: str, name: str) -> None:
        original = getattr(owner, attribute)

        def watched(*arguments: Any, **settings: Any) -> Any:
            self.at(f"before {name}")
            found = original(*arguments, **settings)
            self.at(f"after {name}")
            return found

        setattr(owner, attribute, watched)

    def _amid_tensors(self) -> None:
        import safetensors.torch

        save = safetensors.torch.save_file

        def watched(tensors: Any, path: Path, **settings: Any) -> None:
            self.at("before checkpoint")
            save(tensors, path, **settings)
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            its_own = path.with_name(".tmpAbCdEf")  # what safetensors writes first
            its_own.write_bytes(whole[: len(whole) // 2])
            self.at("amid checkpoint")
            its_own.unlink()
            path.write_bytes(whole)
            self.at("after checkpoint")

        safetensors.torch.save_file = watched

    def _amid_append(self, journal: Any) -> None:
        append = journal.append_durably

        def watched(path: Path, data: bytes) -> None:
            self.at("before record")
            if self.committing and len(self.heard) == self.instant:
                with open(path, "ab") as file:
                    file.write(data[: len(data) // 2])
            self.at("amid record")
            append(path, data)
            self.at("after record")

        journal.append_durably = watched


def small_search(run_dir: Path, resume: bool, tracking: bool = False) -> None:
    """A search of a second: three margins on drawn faces, four generations."""
    import autofr
    from autofr.data import synthetic_faces
    from autofr.losses import ArcFace

    autofr.search(
        autofr.SearchSpace(loss=autofr.Choice(ArcFace(m) for m in (0.1, 0.3, 0.5))),
        synthetic_faces(12, 4, 32, seed=5),
        run_dir=run_dir,
        resume=resume,
        epochs=4,
        batch_size=8,
        backbone="ir_mini-w0.25",
        embedding_dim=16,
        validation_identities=4,
        fmr=0.1,
        device="cpu",
        tracking=tracking,
        progress=False,
    )


def elastic_search(run_dir: Path, resume: bool) -> None:
    """A search over the shape of a network, within a budget."""
    import autofr
    from autofr.data import synthetic_faces
    from autofr.losses import ArcFace

    autofr.search(
        autofr.SearchSpace(
            loss=autofr.Choice(ArcFace(m) for m in (0.1, 0.3)),
            backbone=autofr.Elastic("iresnet:widths=32-64,stem=2", depth=("1-1", "1-2"), width=(0.5, 1.0)),
            constraints=[autofr.MaxFLOPs(6e6)],
        ),
        synthetic_faces(12, 4, 32, seed=5),
        run_dir=run_dir,
        resume=resume,
        epochs=4,
        batch_size=8,
        embedding_dim=16,
        validation_identities=4,
        fmr=0.1,
        device="cpu",
        tracking=False,
        progress=False,
    )


def tracked_search(run_dir: Path, resume: bool) -> None:
    """The same, written to MLflow."""
    small_search(run_dir, resume, tracking=True)


class KillContract:
    """A search that is killed and resumed ends like one that was not, to the bit. Inherit it to try one with a policy,
    a loss or a source of your own::

        class TestMySearch(KillContract):
            search = staticmethod(my_module.my_search)

    Attributes:
        search: what to run.
        commit: which of its commits is taken apart, counted from 0; one that cleans up.
        kills: how many random instants it is killed at.
    """

    search: Search = staticmethod(small_search)
    commit = 2
    kills = 30

    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
        """A run that nobody kills, and how long it takes, seconds."""
        start(self.search, tmp_path_factory.mktemp("warm") / "up").join()
        run_dir, started = tmp_path_factory.mktemp("whole") / "run", time.monotonic()
        finish(self.search, run_dir)
        return run_dir, time.monotonic() - started

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    def test_killed_at_every_step_of_a_commit(self, whole: tuple[Path, float], tmp_path: Path) -> None:
        """Before, amid and after what a commit writes, syncs, renames and deletes."""
        heard = instants(self.search, tmp_path / "heard")
        begins = [place for place, name in enumerate(heard) if name == "commit begins"]
        steps = range(begins[self.commit], begins[self.commit + 1])
        assert {"amid checkpoint", "amid record", "after unlink"} <= {heard[instant] for instant in steps}
        for instant in steps:
            run_dir = tmp_path / f"{instant}"
            killed = start(self.search, run_dir, instant)
            killed.join()
            assert killed.exitcode == -signal.SIGKILL, heard[instant]
            finish(self.search, run_dir)
            check_same(whole[0], run_dir, heard[instant])

    @pytest.mark.slow
    @pytest.mark.timeout(1800)
    def test_killed_at_random_instants(self, whole: tuple[Path, float], tmp_path: Path) -> None:
        """From the first instant of the process to the last."""
        draw = random.Random(7)
        for kill in range(self.kills):
            run_dir = tmp_path / f"{kill}"
            killed = start(self.search, run_dir)
            killed.join(draw.uniform(0, whole[1]))
            killed.kill()
            killed.join()
            finish(self.search, run_dir)
            check_same(whole[0], run_dir, f"kill {kill}")


def finish(search: Search, run_dir: Path) -> None:
    """Run ``search`` to its end, from wherever it got."""
    process = start(search, run_dir)
    process.join()
    assert process.exitcode == 0


def check_same(one: Path, other: Path, told: str) -> None:
    """Both runs have the same α, rewards and lineage, to the digit, the same checkpoints and the same network, to the
    bit."""
    one_lines, other_lines = (journal_lines(run_dir) for run_dir in (one, other))
    assert one_lines == other_lines, told
    assert _hashes(one) == _hashes(other), told
    assert SearchResult(one).lineage == SearchResult(other).lineage, told


def journal_lines(run_dir: Path) -> list[dict[str, Any]]:
    """The journal of a run, without what hangs on the clock."""
    lines = (run_dir / "journal.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "finished", "crc32")} for line in lines]


def _hashes(run_dir: Path) -> dict[str, str]:
    files = [*(run_dir / "checkpoints").iterdir(), run_dir / "model" / "model.safetensors"]
    return {file.name: sha256(file) for file in files}

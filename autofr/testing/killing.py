"""Searches in processes of their own, to be killed: what is committed must be there, and what follows the same bits.

Children come from a server process that has imported autofr already, so that one starts in milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from autofr.io.files import sha256
from autofr.runs.result import SearchResult

Search = Callable[[Path, bool], None]
"""What a child runs: a search in a run directory, resumed or not. A function of a module that can be imported."""

SERVER = multiprocessing.get_context("forkserver")
"""What children come from. ``torch._dynamo``, pyplot and kornia are imported by the first step, picture and mask."""
SERVER.set_forkserver_preload(
    [
        "autofr.cli",
        "autofr.engine.api",
        "autofr.evaluation.evaluate",
        "autofr.evaluation.mask_sheet",
        "autofr.evaluation.plots",
        "autofr.runs.plots",
        "autofr.studies.run",
        "autofr.testing",
        "kornia.augmentation",
        "matplotlib.pyplot",
        "optuna",
        "torch._dynamo",
    ]
)


def soaks() -> bool:
    """Return whether everything is tried (``AUTOFR_SOAK=1``), not a part that differs from commit to commit."""
    return os.environ.get("AUTOFR_SOAK", "0") not in ("", "0")


def drawn(among: Sequence[str], count: int) -> list[str]:
    """Draw ``count`` of ``among``: others for another commit of the Git repository that the tests run in."""
    git = ["git", "rev-parse", "HEAD"]
    try:
        seed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        seed = "no repository"
    return random.Random(seed).sample(list(among), min(count, len(among)))


def start(search: Search, run_dir: Path, kill_at: str | None = None) -> Any:
    """Start ``search`` in a process, which goes on where an earlier one in ``run_dir`` was killed.

    Args:
        search: what to run.
        run_dir: where.
        kill_at: which instant of :func:`instants` it kills itself at; ``None``: none.

    Returns:
        A ``multiprocessing`` process, started.
    """
    process = SERVER.Process(target=_child, args=(search, run_dir, dict(os.environ), kill_at, None))
    process.start()
    return process


def instants(search: Search, run_dir: Path) -> list[str]:
    """Run a whole ``search``; return the names of its instants, in order: each is one to be killed at.

    They are its training steps (``step 7``), and before, amid and after each of what it does to the disk: in a commit,
    counted from 0 (``commit 2: amid checkpoint``, ``commit 2: after fsync 3``), and elsewhere (``before rename``).
    """
    heard = run_dir.with_name(f"{run_dir.name}.instants.json")
    process = SERVER.Process(target=_child, args=(search, run_dir, dict(os.environ), None, heard))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the search ended with {process.exitcode}")
    return [str(name) for name in json.loads(heard.read_text())]


def _child(search: Search, run_dir: Path, environment: dict[str, str], kill_at: str | None, heard: Path | None) -> None:
    os.environ.clear()  # the server's is of when it was started
    os.environ.update(environment)
    watch = _Watch(kill_at)
    if kill_at is not None or heard is not None:
        watch.begin()
    watch.at("begin")
    search(run_dir, (run_dir / "config.json").exists())
    watch.at("end")
    if heard is not None:
        heard.write_text(json.dumps(watch.heard))


class _Watch:
    """Hears of every instant, gives it a name, and kills the process at the one that is asked for."""

    def __init__(self, kill_at: str | None) -> None:
        self.kill_at, self.commits, self.committing = kill_at, 0, False
        self.heard: list[str] = []
        self._counts: Counter[str] = Counter()

    def at(self, what: str) -> None:
        """An instant. It may be the last."""
        if self.is_next(what):
            os.kill(os.getpid(), signal.SIGKILL)
        self.heard.append(self._name(what))
        self._counts[self._place(what)] += 1

    def is_next(self, what: str) -> bool:
        """Whether the process is killed at the next instant of this kind."""
        return self._name(what) == self.kill_at

    def _place(self, what: str) -> str:
        return f"commit {self.commits}: {what}" if self.committing else what

    def _name(self, what: str) -> str:
        place = self._place(what)
        times = self._counts[place] + 1
        return place if times == 1 else f"{place} {times}"

    def begin(self) -> None:
        """From now on, hear of training steps and of what is done to the disk."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        from autofr.runs import journal

        register_optimizer_step_post_hook(lambda optimizer, arguments, settings: self.at("step"))
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
                self.at("begins")
                found = commit(*arguments)
                self.at("ends")
                return found
            finally:
                self.committing = False
                self.commits += 1

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
            if self.is_next("amid checkpoint"):
                whole = Path(path).read_bytes()
                Path(path).write_bytes(whole[: len(whole) // 2])
                its_own = Path(path).with_name(".tmpAbCdEf")  # what safetensors writes first
                its_own.write_bytes(whole[: len(whole) // 2])
            self.at("amid checkpoint")
            self.at("after checkpoint")

        safetensors.torch.save_file = watched

    def _amid_append(self, journal: Any) -> None:
        append = journal.append_durably

        def watched(path: Path, data: bytes) -> None:
            self.at("before record")
            if self.is_next("amid record"):
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

    Each kill takes as long as the search and a resume. By default there are six: amid the checkpoint of a commit, amid
    its record, in its clean-up, and at ``drawn`` more instants of it; then at a training step and at some other
    instant. Those are drawn from the hash of the Git commit that is checked out, so that other ones are tried on other
    days. The commit that is taken apart is the first that removes a checkpoint: a search of four generations has one.
    With ``AUTOFR_SOAK=1`` in the environment it is killed at every instant of that commit, and at ``kills`` instants of
    its whole life.

    Attributes:
        search: what to run.
        drawn: at how many instants of that commit it is killed beside the three that always are.
        kills: at how many instants of its whole life it is killed with ``AUTOFR_SOAK=1``.
    """

    search: Search = staticmethod(small_search)
    drawn = 1
    kills = 30

    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
        """A run that nobody kills, and its instants."""
        run_dir = tmp_path_factory.mktemp("whole") / "run"
        return run_dir, instants(self.search, run_dir)

    @pytest.mark.slow
    @pytest.mark.kill
    @pytest.mark.timeout(7200)
    def test_killed_at_steps_of_a_commit(self, whole: tuple[Path, list[str]], tmp_path: Path) -> None:
        """Before, amid and after what a commit writes, syncs, renames and deletes."""
        run_dir, heard = whole
        commit = next(name.partition(": ")[0] for name in heard if name.endswith(": after unlink"))
        steps = [name for name in heard if name.startswith(f"{commit}: ")]
        always = [f"{commit}: {what}" for what in ("amid checkpoint", "amid record", "after unlink")]
        assert set(always) <= set(steps)
        others = [name for name in steps if name not in always]
        for name in steps if soaks() else [*always, *drawn(others, self.drawn)]:
            check_kill(self.search, name, run_dir, tmp_path)

    @pytest.mark.slow
    @pytest.mark.kill
    @pytest.mark.timeout(7200)
    def test_killed_at_any_instant(self, whole: tuple[Path, list[str]], tmp_path: Path) -> None:
        """From the first instant of the process to the last."""
        run_dir, heard = whole
        training = [name for name in heard if name.startswith("step")]
        others = [name for name in heard if not name.startswith("step")]
        for name in drawn(heard, self.kills) if soaks() else [*drawn(training, 1), *drawn(others, 1)]:
            check_kill(self.search, name, run_dir, tmp_path)


def check_kill(search: Search, name: str, whole: Path, folder: Path) -> None:
    """Kill ``search`` at an instant, resume it, and compare it with the run in ``whole``; all that in ``folder``."""
    run_dir = folder / name.replace(" ", "-").replace(":", "")
    killed = start(search, run_dir, name)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, name
    finish(search, run_dir)
    check_same(whole, run_dir, name)


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

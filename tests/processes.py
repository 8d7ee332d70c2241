"""The command line in processes that start in milliseconds: children of a server that has imported autofr already.

Where the interpreter's own start is what is tested, a test runs ``python -m autofr`` itself.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from autofr.testing.killing import SERVER

PATIENCE = 600.0
"""Seconds after which something that should have happened has not: only a test that fails waits so long."""

NO_TRAINING = "AUTOFR_TESTS_WITHOUT_TRAINING"
"""Variable of the environment in which a search of a :class:`Process` raises."""


class Process:
    """A function in a process of its own, with the interface of :class:`subprocess.Popen`.

    Its standard output and error go to files, which :meth:`communicate` returns.

    Args:
        target: a function of a module. What it returns, a number, is the exit status.
        arguments: its arguments.
        cwd: the working directory; ``None``: this process's.
        environment: what is changed in the environment; ``None``: a variable is removed.
        new_session: whether the process and its children are a group of their own.
        ignored: signals that it ignores, as what a script starts in the background does Ctrl-C.

    Attributes:
        pid: the process's number.
    """

    def __init__(
        self,
        target: Callable[..., Any],
        *arguments: Any,
        cwd: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
        new_session: bool = False,
        ignored: tuple[signal.Signals, ...] = (),
    ) -> None:
        self.args = arguments
        self._folder = Path(tempfile.mkdtemp(prefix="process-"))
        wanted = {**os.environ, **(environment or {})}
        kept = {name: value for name, value in wanted.items() if value is not None}
        how = (self._folder, Path.cwd() if cwd is None else cwd, kept, new_session, ignored)
        self._process = SERVER.Process(target=_child, args=(how, target, arguments))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        _started.append(self)

    @property
    def returncode(self) -> int | None:
        """The exit status, minus a signal's number; ``None``: it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit status; ``None``: it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end; return the exit status.

        Raises:
            subprocess.TimeoutExpired: it takes longer.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(list(map(str, self.args)), timeout)
        return self._process.exitcode

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Wait for the end; return what it wrote to standard output and to standard error."""
        self.wait(timeout)
        return self.output, (self._folder / "err").read_text()

    @property
    def output(self) -> str:
        """What it has written to standard output so far."""
        path = self._folder / "out"
        return path.read_text() if path.exists() else ""

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing, if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it runs, stopped or not, and remove its files."""
        self.kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


_started: list[Process] = []


def close_all() -> None:
    """Close every process that was started: what a failed test left behind too."""
    while _started:
        _started.pop().close()


def autofr_process(*arguments: str | Path, stop_after: int | None = None, **how: Any) -> Process:
    """Start ``autofr ARGUMENTS``.

    Args:
        arguments: of the command line.
        stop_after: commits after which it stops itself, in the next training step, as SIGSTOP does: see
            :func:`until_stopped`; ``None``: it does not.
        how: as for :class:`Process`.
    """
    return Process(command_line, [str(argument) for argument in arguments], stop_after, **how)


def run_autofr(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run ``autofr ARGUMENTS`` to its end; ``how`` as for :class:`Process`."""
    with autofr_process(*arguments, **how) as process:
        out, err = process.communicate()
        status = process.wait()
        return subprocess.CompletedProcess(["autofr", *map(str, arguments)], status, out, err)


def run_ranks(count: int, target: Callable[..., Any], *arguments: Any) -> list[subprocess.CompletedProcess[str]]:
    """Run a function on so many ranks, which find what ``torchrun`` tells its processes, to their end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    told |= {"TORCHELASTIC_RUN_ID": uuid.uuid4().hex, "OMP_NUM_THREADS": 1}
    with contextlib.ExitStack() as until_done:
        processes = []
        for rank in range(count):
            environment = {name: str(value) for name, value in (told | {"RANK": rank, "LOCAL_RANK": rank}).items()}
            processes.append(until_done.enter_context(Process(target, *arguments, environment=environment)))
        ended = [process.communicate() for process in processes]
        return [
            subprocess.CompletedProcess(arguments, process.wait(), out, err)
            for process, (out, err) in zip(processes, ended, strict=True)
        ]


def wait_until(happened: Callable[[], bool]) -> None:
    """Return once it has happened; on no account too early, and on a busy machine late."""
    give_up = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < give_up, "it does not happen"
        time.sleep(0.01)


def until_stopped(process: Process | subprocess.Popen[str]) -> None:
    """Wait until a process that was started with ``stop_after`` has come so far; SIGCONT lets it go on."""
    wait_until(lambda: process.poll() is not None or _state(process.pid) == "T")
    assert process.poll() is None


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def at_a_step(commits: int, act: Callable[[], None]) -> None:
    """From now on, in this process: call ``act`` in the first training step after so many commits, once."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from autofr.runs.journal import Journal

    done = 0
    commit = Journal.commit

    def counted(*arguments: Any) -> Any:
        nonlocal done
        found = commit(*arguments)
        done += 1
        return found

    def step(optimizer: Any, arguments: Any, settings: Any) -> None:
        if done == commits:
            hook.remove()
            act()

    Journal.commit = counted  # type: ignore[method-assign]
    hook = register_optimizer_step_post_hook(step)


def forbid_training(patch: Callable[[str, object], object]) -> None:
    """Have every search of this process raise, by ``patch``, which replaces what a name means."""
    patch("autofr.engine.run.search_loop", _no_search)


def _no_search(run: object) -> None:
    raise AssertionError("a unit test trains: mark it with search, distributed or kill")


def command_line(arguments: list[str], stop_after: int | None = None) -> int:
    """Be ``autofr ARGUMENTS``: see :func:`autofr_process`."""
    from autofr.cli import main

    if stop_after is not None:
        at_a_step(stop_after, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    if NO_TRAINING in os.environ:
        forbid_training(pytest.MonkeyPatch().setattr)
    sys.argv = ["autofr", *arguments]
    return main(arguments)


def script(path: Path, *arguments: str) -> None:
    """Be ``python PATH ARGUMENTS``."""
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def _child(
    how: tuple[Path, Path, dict[str, str], bool, tuple[signal.Signals, ...]],
    target: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    folder, cwd, environment, new_session, ignored = how
    if new_session:
        os.setsid()
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, signal.SIG_IGN if number in ignored else usual)
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:  # the server's torch has its own
        import torch

        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    os.chdir(cwd)
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    status: object = 1
    try:
        status = target(*arguments)
    except SystemExit as stopped:
        status = stopped.code
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        atexit._run_exitfuncs()  # multiprocessing ends without
    sys.exit(status)  # type: ignore[arg-type]


if __name__ == "__main__":  # python -m tests.processes COMMITS ARGUMENTS, where it has to be started by another program
    sys.exit(command_line(sys.argv[2:], int(sys.argv[1])))

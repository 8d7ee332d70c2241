"""A process of its own that works beside this one, where threads would wait for each other. It imports no more than its
work needs, and ends with the process that started it, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import select
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import IO, Any

from autofr.system.subprocesses import environment, module_command

ROOM = 2**20
"""Bytes that a pipe holds: by a smaller one the two processes wait for each other many times a call."""


class WorkerDiedError(RuntimeError):
    """The process ended: killed for memory, say, or by a library that crashed."""


class Worker:
    """An object in another process. One call at a time.

    Args:
        make: makes the object there: a class or a function of a module.
        arguments: for ``make``. They are pickled, as are a call's arguments and what it returns or raises.
        files: descriptors that the other process is to have too.
    """

    def __init__(self, make: Callable[..., object], *arguments: Any, files: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            module_command("autofr.system.remote_object"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            pass_fds=files,
            start_new_session=True,  # a Ctrl-C is for this process, which then ends that one
        )
        self.pid = self._process.pid
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
                with contextlib.suppress(OSError):  # the user has too many
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, ROOM)
        weakref.finalize(self, _end, self._process, os.getpid())
        self._send((make, arguments))

    def call(self, method: str, *arguments: Any, patience: float | None = None) -> Any:
        """Call a method of the object.

        Args:
            method: its name.
            arguments: its arguments.
            patience: seconds that it may take; then the process is ended.

        Raises:
            WorkerDiedError: the process ended.
            TimeoutError: it took longer.
            Exception: what the call raised.
        """
        self._send((method, arguments))
        assert self._process.stdout is not None
        try:
            if patience is not None and not _within(patience, self._process.stdout):
                _end(self._process, os.getpid())
                raise TimeoutError(f"process {self.pid} has not answered for {patience:.0f} s")
            done, found = pickle.load(self._process.stdout)
        except TimeoutError:
            raise
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise self._died() from error
        if not done:
            raise found
        return found

    def _send(self, what: object) -> None:
        assert self._process.stdin is not None
        message = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        try:
            self._process.stdin.write(message)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:  # ValueError: it is closed
            raise self._died() from error

    def _died(self) -> WorkerDiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is ending: wait for how
            self._process.wait(1.0)
        _end(self._process, os.getpid())
        return WorkerDiedError(f"process {self.pid} ended with status {self._process.returncode}")


def _within(seconds: float, pipe: IO[bytes]) -> bool:
    """Whether there is something to read before so many seconds have passed."""
    asked = select.poll()  # which takes descriptors of any number; select does not
    asked.register(pipe, select.POLLIN)
    return bool(asked.poll(1000 * seconds))


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the process that it belongs to
        return
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):  # it may hang in a file system that is gone
        process.wait(1.0)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # of what was not yet sent
                pipe.close()


def main() -> None:
    """What the other process does until this one ends."""
    started_by = os.getppid()

    def watch() -> None:
        # A fork of that process that lives on holds the other end of the pipe too.
        while os.getppid() == started_by:
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    asked, answered = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    try:
        make, arguments = pickle.load(asked)
        there = make(*arguments)
        while True:
            method, arguments = pickle.load(asked)
            try:
                answer: tuple[bool, Any] = True, getattr(there, method)(*arguments)
            except Exception as error:
                answer = False, error
            answered.write(_packed(*answer))
            answered.flush()
    except (EOFError, BrokenPipeError):  # that process ended
        pass


def _packed(done: bool, found: Any) -> bytes:
    """An answer that can be read; what cannot be is told in words."""
    try:
        packed = pickle.dumps((done, found), pickle.HIGHEST_PROTOCOL)
        if not done:
            pickle.loads(packed)  # an exception may be made of other arguments than it keeps
        return packed
    except Exception as error:
        return pickle.dumps((False, RuntimeError(repr(error if done else found))))


if __name__ == "__main__":
    main()

"""Processes that work beside this one: real ones, killed, stopped and left alone."""

import collections
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autofr.system.remote_object import Worker, WorkerDiedError
from tests.processes import wait_until


def gone(pid: int) -> bool:
    """Whether there is no such process, or a dead one that nobody asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_object_lives_in_another_process() -> None:
    worker = Worker(collections.Counter, "abracadabra")
    assert worker.call("total") == 11
    worker.call("update", "aa")
    assert worker.call("most_common", 1) == [("a", 7)]


def test_what_a_call_raises_is_raised_here_and_the_next_is_answered() -> None:
    worker = Worker(list, [1, 2])
    with pytest.raises(ValueError, match="not in list"):
        worker.call("index", 5)
    with pytest.raises(AttributeError, match="nothing"):
        worker.call("nothing")
    assert worker.call("index", 2) == 1


def test_large_arguments_and_answers() -> None:
    worker = Worker(list)
    worker.call("append", bytes(10**7))
    assert len(worker.call("pop")) == 10**7


def test_what_is_printed_there_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    loud = Worker(subprocess.Popen, [sys.executable, "-c", "print('loud', flush=True)"])
    assert loud.call("wait") == 0
    assert "loud" in capfd.readouterr().err


def test_a_process_that_is_killed() -> None:
    worker = Worker(list)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match=f"process {worker.pid} ended with status -9"):
        worker.call("append", bytes(10**7))
    with pytest.raises(WorkerDiedError, match=f"process {worker.pid} ended with status -9"):
        worker.call("pop")


def test_a_process_that_cannot_make_its_object() -> None:
    worker = Worker(int, "no number")
    with pytest.raises(WorkerDiedError, match="ended with status 1"):
        worker.call("bit_length")


def test_a_process_ends_when_it_is_no_longer_needed() -> None:
    worker = Worker(list)
    pid = worker.pid
    del worker
    gc.collect()
    wait_until(lambda: gone(pid))


ENDING = """
import os, signal, sys
from autofr.system.remote_object import Worker
worker = Worker(list)
worker.call("sort")
print(worker.pid, flush=True)
{}
"""


@pytest.mark.parametrize("how", ["pass", "sys.exit(3)", "os._exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_process_ends_with_the_one_that_started_it(how: str) -> None:
    done = subprocess.run([sys.executable, "-c", ENDING.format(how)], capture_output=True, text=True)
    wait_until(lambda: gone(int(done.stdout)))
    assert done.stderr == ""


def test_a_fork_leaves_the_process_alone() -> None:
    worker = Worker(list, [3])
    child = os.fork()
    if not child:  # pragma: no cover
        del worker
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert worker.call("pop") == 3


def test_what_decodes_and_what_reads_shards_does_without_torch() -> None:
    """It would take seconds and hundreds of megabytes, for each core."""
    code = "import sys, autofr.io.decoder, autofr.data.stream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


FORKING = """
import os, signal, time
from autofr.system.remote_object import Worker
worker = Worker(list)
worker.call("sort")
child = os.fork()
if not child:
    time.sleep(600)
    os._exit(0)
print(worker.pid, child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_fork_that_lives_on_does_not_keep_it() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, child = map(int, process.stdout.readline().split())
        wait_until(lambda: gone(pid))
        assert not gone(child)
        os.kill(child, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_a_call_that_takes_too_long() -> None:
    worker = Worker(subprocess.Popen, ["sleep", "30"])
    with pytest.raises(TimeoutError, match="has not answered for 0 s"):
        worker.call("wait", patience=0.3)
    wait_until(lambda: gone(worker.pid))


def test_answers_that_cannot_be_sent() -> None:
    worker = Worker(threading.Thread)
    with pytest.raises(RuntimeError, match="cannot pickle"):
        worker.call("__getattribute__", "_started")
    with pytest.raises(RuntimeError, match="thread"):
        worker.call("join")


def test_arguments_that_cannot_be_sent_leave_it_as_it_was() -> None:
    worker = Worker(list, [1])
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        worker.call("append", threading.Lock())
    assert worker.call("pop") == 1

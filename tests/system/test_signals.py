import os
import signal
import threading

import pytest

from autofr.system.signals import Stopped, held, stoppable

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_the_block_and_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with pytest.raises(Stopped) as stopped, stoppable():
        os.kill(os.getpid(), number)
    assert stopped.value.signal == number
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert [signal.getsignal(n) for n in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_held_block_ends_before_the_signal_counts(number: signal.Signals) -> None:
    done = []

    def block() -> None:
        with stoppable():
            with held():
                os.kill(os.getpid(), number)
                done.append("in the block")
            done.append("after it")

    with pytest.raises(Stopped):
        block()
    assert done == ["in the block"]


def test_without_a_signal_nothing_happens() -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with stoppable():
        stopping = [signal.getsignal(n) for n in SIGNALS]
        with held():
            assert [signal.getsignal(n) for n in SIGNALS] != stopping
        assert [signal.getsignal(n) for n in SIGNALS] == stopping != before
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_what_is_ignored_stays_ignored_and_handlers_of_others_stay() -> None:
    heard: list[int] = []
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    other = signal.signal(signal.SIGTERM, lambda n, frame: heard.append(n))
    try:
        with stoppable(), held():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, ignored)
        signal.signal(signal.SIGTERM, other)


def test_another_thread_has_no_signals() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with stoppable(), held():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures

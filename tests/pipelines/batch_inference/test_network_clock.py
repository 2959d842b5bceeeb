"""The share of time in which the network works, with a clock whose hands the test moves."""

from types import SimpleNamespace

import pytest

from pipelines.batch_inference import network_clock
from pipelines.batch_inference.network_clock import NetworkClock


@pytest.fixture
def at(monkeypatch):
    """A function: the seconds that the next looks at the clock show."""

    def shows(*seconds):
        hands = iter(seconds)
        monkeypatch.setattr(network_clock, "time", SimpleNamespace(perf_counter=lambda: next(hands)))

    return shows


def worked(clock, spans):
    for _ in range(spans):
        with clock.working():
            pass
    return clock.share


def test_work_counts_from_the_first_start_to_the_last_end(at):
    at(10.0, 11.0, 13.0, 14.0, 17.0, 18.0)  # 3 seconds of 8
    assert worked(NetworkClock(), 3) == pytest.approx(3 / 8)


def test_without_a_pause_it_is_all_of_the_time(at):
    at(1.0, 2.0, 2.0, 5.0)
    assert worked(NetworkClock(), 2) == 1


def test_before_any_work_there_is_no_share(at):
    assert NetworkClock().share is None
    at(4.0, 4.0)  # work too short for the clock's hands
    assert worked(NetworkClock(), 1) == 1


def test_work_that_failed_is_not_counted(at):
    at(0.0, 6.0, 7.0)
    clock = NetworkClock()
    with pytest.raises(MemoryError), clock.working():
        raise MemoryError
    assert worked(clock, 1) == 1


def test_a_gpu_is_asked_for_its_own_events(monkeypatch):
    """Started at 0, 2 and 6 ms of the device, each at work for a millisecond: 3 of 7.

    It comes by the first span's end before the second one is handed to it, and by the others when it is waited for.
    """
    torch = pytest.importorskip("torch")
    shown, waited = iter((0.0, 1.0, 2.0, 3.0, 6.0, 7.0)), []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = next(shown)

        def query(self):
            return self.at < 2

        def synchronize(self):
            waited.append(self.at)

        def elapsed_time(self, other):
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = NetworkClock("cuda:1")
    for _ in range(3):
        with clock.working():
            assert waited in ([], [1.0])
    assert waited == [1.0] and len(clock._open) == 2
    assert clock.share == clock.share == pytest.approx(3 / 7)


def test_spans_that_are_over_are_not_kept(at):
    at(*range(2000))
    clock = NetworkClock()
    assert worked(clock, 1000) == pytest.approx(1000 / 1999)
    assert not clock._open

"""Who lives and who does not: counted by hand, and between threads that talk through a real store."""

import threading
from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from pipelines.engine import heartbeat
from pipelines.engine.heartbeat import Heartbeat, Listener, allowed_silence, leave
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError


def test_a_peer_whose_counter_stands_still_is_silent_after_the_allowed_beats():
    """Of three beats that are allowed: heard at 0, silent at 4; the one whose counter moves is not."""
    listener = Listener([1, 2], allowed=3, allowed_at_first=100)
    found = []
    for beat in range(5):
        listener.hear({1: b"1", 2: str(beat).encode()})
        found.append(listener.silent())
        listener.beat()
    assert found == [[], [], [], [], [1]]
    listener.hear({1: b"2"})
    assert listener.silent() == []


def test_those_who_are_yet_to_come_are_given_longer():
    listener = Listener([1], allowed=1, allowed_at_first=5)
    for _ in range(5):
        listener.beat()
    assert listener.silent() == []
    listener.beat()
    assert listener.silent() == [1]


def test_who_has_come_is_given_no_longer_even_if_its_counter_was_never_read():
    """Met at beat 3; of two beats that are allowed from there, silent at 6."""
    listener = Listener([1], allowed=2, allowed_at_first=100)
    found = []
    for beat in range(1, 7):
        listener.beat()
        if beat == 3:
            listener.have_met()
        found.append(listener.silent())
    assert found == [[], [], [], [], [], [1]]


def test_who_does_not_follow_one_that_ended_is_left_after_three_beats():
    """Heard of at beat 2, and again at 3, which changes nothing; left at 6."""
    listener = Listener([1], allowed=100, allowed_at_first=100)
    found = []
    for beat in range(1, 7):
        listener.beat()
        if beat in (2, 3):
            listener.hear_of_an_end()
        found.append(listener.is_left())
    assert found == [False] * 5 + [True] and listener.silent() == []


def test_nothing_is_missed_while_all_are_suspended():
    """No beat of one's own passes meanwhile, however long it takes: nothing but `beat` moves its time."""
    listener = Listener([1], allowed=1, allowed_at_first=1)
    listener.hear({1: b"7"})
    listener.beat()
    assert listener.silent() == []


@pytest.fixture
def meeting():
    """A function: rank of two, what is called when the other is lost -> a heartbeat of a hundred beats a second."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    begun = []

    def connect():
        return TCPStore("127.0.0.1", store.port, is_master=False, timeout=timedelta(seconds=60))

    def begin(rank, lost, connect=connect, silence_s=0.5):
        begun.append(Heartbeat(ProcessRank(rank, 2), connect, silence_s=silence_s, lost=lost, beat_s=0.01))
        begun[-1].start()
        return begun[-1]

    begin.store = store
    yield begin
    for one in begun:
        one.stop()


def test_who_beats_no_more_is_lost(meeting):
    found, told = [], threading.Event()

    def lost(silent):
        found.append(silent)
        told.set()

    other = meeting(1, lambda silent: None)
    meeting(0, lost)
    other.stop()
    assert told.wait(100) and found == [[1]]


def test_the_end_of_another_is_heard_of_in_the_store(meeting):
    found, told = [], threading.Event()

    def lost(silent):
        found.append(silent)
        told.set()

    meeting(1, lost, silence_s=1000)
    meeting.store.compare_set("sim2real/ended/0", "", "0 6")
    assert told.wait(100) and found == [[]]


def test_a_store_that_cannot_be_reached_is_silence(meeting, monkeypatch):
    monkeypatch.setattr(heartbeat, "JOINING_S", 0.5)
    told = threading.Event()

    def nowhere():
        raise RuntimeError("no route to host")

    meeting(0, lambda silent: told.set(), nowhere)
    assert told.wait(100)


def test_one_that_never_began_can_be_stopped():
    found = []
    never_begun = Heartbeat(ProcessRank(0, 2), lambda: None, 30.0, found.append)
    never_begun.stop()
    assert found == [] and not any(thread.is_alive() for thread in never_begun._threads)


@pytest.mark.parametrize(("environment", "seconds"), [({}, 30.0), ({"SIM2REAL_SILENCE_S": "4"}, 4.0)])
def test_how_long_a_peer_may_be_silent(environment, seconds):
    assert allowed_silence(environment) == seconds


@pytest.mark.parametrize("text", ["soon", "", "3.9", "-1", "nan", "inf"])
def test_a_silence_that_is_no_time_or_shorter_than_two_beats_is_refused(text):
    with pytest.raises(UserError, match=r"SIM2REAL_SILENCE_S is .*; expected seconds, 4 or more; left out, it is 30$"):
        allowed_silence({"SIM2REAL_SILENCE_S": text})


@pytest.fixture
def leaving(monkeypatch):
    """Timers that are set and not waited for, and the exit codes that this process would have left with."""
    timers, codes = [], []

    class Timer(threading.Timer):
        def start(self):
            timers.append(self)

    monkeypatch.setattr(threading, "Timer", Timer)
    monkeypatch.setattr(heartbeat.os, "_exit", codes.append)
    return timers, codes


def test_the_last_words_are_one_line_and_the_exit_code_what_all_end_with(leaving, capsys):
    timers, codes = leaving
    leave([1, 3], 30.0)
    timers[0].function()  # too late: all is said
    assert codes == [75, 75]
    said = capsys.readouterr().err
    assert said.startswith("stopped: nothing was heard of processes 1, 3 for 30 s (") and said.count("\n") == 1


def test_who_can_reach_nobody_says_it_alone_in_the_end(leaving, monkeypatch, capsys):
    timers, codes = leaving
    monkeypatch.setattr(heartbeat, "tell_once", lambda tell, code: timers[0].function() or code)
    leave([0], 30.0)
    assert timers[0].interval == 10.0 and codes[0] == 75
    said = capsys.readouterr().err
    assert said.startswith("stopped: nothing was heard of process 0 for 30 s (") and said.count("\n") == 1

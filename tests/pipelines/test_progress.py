"""Progress in a log: a plain line now and then, with a rate and a time that can be believed. The clock is a fake."""

import io

import pytest

from pipelines import progress
from pipelines.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: clock.now = seconds."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_every_ten_seconds_and_one_at_the_end(clock):
    stream = io.StringIO()
    with Progress("train", 100, "step", stream=stream) as shown:
        for second in range(1, 26):
            clock.now += 1
            shown.reach(4 * second, "loss 0.5")
    # On paper: 4 steps a second; after 10 s 40 are done and 60 left, which take 15 s; after 20 s 20 left, 5 s.
    assert stream.getvalue().splitlines() == [
        "train: 40/100, 4.0 step/s, 15 s left, loss 0.5",
        "train: 80/100, 4.0 step/s, 5 s left, loss 0.5",
        "train: 100/100, 4.0 step/s, took 25 s, loss 0.5",
    ]


def test_the_end_is_told_once(clock):
    """However long the last piece took, and what is done after it (a checkpoint, a preview)."""
    stream = io.StringIO()
    with Progress("train", 2, "step", stream=stream) as shown:
        clock.now += 15
        shown.reach(2)
        clock.now += 5
    assert stream.getvalue() == "train: 2/2, 10.0 s/step, took 20 s\n"


def test_short_work_says_nothing(clock):
    stream = io.StringIO()
    with Progress("check", 3, stream=stream) as shown:
        clock.now += 1.9
        shown.reach(3)
    assert stream.getvalue() == ""


def test_work_without_end_is_told_without_the_time_left(clock):
    stream = io.StringIO()
    with Progress("translate", None, "frame", stream=stream) as shown:
        clock.now += 10
        shown.reach(250, "latency 40 ms")
        clock.now += 2
        shown.reach(300)
    # On paper: 250 in 10 s are 25 a second, and so are 300 in 12 s.
    assert stream.getvalue().splitlines() == [
        "translate: 250, 25.0 frame/s, in 10 s, latency 40 ms",
        "translate: 300, 25.0 frame/s, in 12 s",
    ]


def test_slow_work_is_told_in_seconds_per_piece(clock):
    stream = io.StringIO()
    with Progress("read", 3, "frame", stream=stream) as shown:
        clock.now += 40
        shown.reach(1)
    assert stream.getvalue().splitlines()[0] == "read: 1/3, 40.0 s/frame, 1 min 20 s left"


def test_a_resumed_run_is_not_credited_with_what_was_done_before(clock):
    stream = io.StringIO()
    with Progress("train", 1000, "step", done=900, stream=stream) as shown:
        clock.now += 10
        shown.reach(910)
    assert stream.getvalue().splitlines()[0] == "train: 910/1000, 1.0 step/s, 1 min 30 s left"


def test_work_that_got_nowhere_promises_nothing(clock):
    stream = io.StringIO()
    with pytest.raises(KeyError), Progress("train", 5, "step", stream=stream):
        clock.now += 3
        raise KeyError("x")
    assert stream.getvalue() == "train: 0/5, 0.0 step/s, unknown time left\n"


def test_a_terminal_gets_a_bar_and_an_erased_one(clock):
    stream = Terminal()
    with Progress("train", 5, stream=stream) as shown:
        shown.reach(5, "loss 1")
    assert shown.done == 5 and "\n" not in stream.getvalue()


def test_a_line_of_its_own_is_said_at_once(capsys):
    with Progress("work", 10) as progress:
        progress.say("look here")
    assert capsys.readouterr().err == "look here\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_nothing_known_about_the_time():
    assert duration(float("inf")) == "unknown time"


def test_what_is_known_later_and_was_done_before_is_no_work_of_now(clock):
    """Found 900 of 1000 frames done after 5 s, then one a second: 90 are left after 10 s, and take 90 s."""
    for stream in (io.StringIO(), Terminal()):
        with Progress("predict", 0, "frame", stream=stream) as shown:
            clock.now += 5
            shown.begin("predict", 1000, done=900)
            clock.now += 10
            shown.reach(910)
            bar = str(shown._bar)
        if not stream.isatty():
            assert stream.getvalue().splitlines()[0] == "predict: 910/1000, 1.0 frame/s, 1 min 30 s left"
        else:
            assert "91%" in bar and "910/1000" in bar and shown._bar.initial == 900


def test_one_count_after_the_other(clock):
    stream = io.StringIO()
    with Progress("predict", 0, "frame", stream=stream) as shown:
        clock.now += 5
        shown.begin("check", 20)
        clock.now += 5
        shown.reach(20)
        shown.begin("predict", 30, done=20)
        clock.now += 5
        shown.reach(30)
    assert stream.getvalue().splitlines() == [
        "check: 20/20, 4.0 frame/s, took 5 s",
        "predict: 30/30, 2.0 frame/s, took 5 s",
    ]

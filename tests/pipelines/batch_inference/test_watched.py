"""A watched job: what its control holds, what is shown of it, and what a signal during the last frame means."""

import signal
from types import SimpleNamespace

import pytest
import torch

from pipelines import progress
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.watched import watched
from pipelines.engine.launch import Machine
from pipelines.engine.session import Session
from pipelines.errors import Interrupted

CPU = Machine(torch.device("cpu"), "fp32")


def test_the_control_is_the_session_s():
    part = Part(1, 3)
    with watched("predict", Session(CPU, workers=3, restart=True), part) as control:
        assert (control.workers, control.part, control.restart) == (3, part, True)
        assert not control.stop_requested()
    with watched("predict", Session(CPU)) as control:
        assert (control.workers, control.part, control.restart) == (1, None, False)


def test_a_signal_asks_to_stop_and_after_the_last_frame_still_ends_the_command():
    said = "SIGTERM when all frames were done; the same command carries on"
    with pytest.raises(Interrupted, match=said), watched("predict", Session(CPU)) as control:
        signal.raise_signal(signal.SIGTERM)
        assert control.stop_requested()


def test_what_goes_wrong_inside_is_what_is_told():
    with pytest.raises(ValueError, match="cut off"), watched("predict", Session(CPU)):
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("cut off")


@pytest.fixture
def clock(monkeypatch):
    """A list of the one number that progress takes for the time."""
    seconds = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


def test_of_a_launcher_s_processes_one_says_how_far_it_is(monkeypatch, capsys, clock):
    monkeypatch.setenv("WORLD_SIZE", "2")
    shown = []
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        with watched("predict", Session(CPU), Part(rank + 1, 2)) as control:
            control.checked(0, 8)
            clock[0] += 4
            control.checked(8, 8)
            control.progress(8, 10)
        shown.append(capsys.readouterr().err)
    assert shown == ["predict, part 1/2: check what is there: 8/8, 2.0 frame/s, took 4 s\n", ""]


def test_frames_that_were_there_are_no_speed(capsys, clock):
    """Looked at in 20 s; then, of 100,000 frames with 90,000 done before, one a second: 9990 s are left after 10."""
    with watched("predict", Session(CPU)) as control:
        clock[0] = 5
        control.checked(0, 90_000)
        clock[0] = 25
        control.checked(90_000, 90_000)
        control.progress(90_000, 100_000)
        clock[0] = 35
        control.progress(90_010, 100_000)
        shown = capsys.readouterr().err.splitlines()
    assert shown == [
        "predict: check what is there: 90000/90000, 4500.0 frame/s, took 20 s",
        "predict: 90010/100000, 1.0 frame/s, 2 h 46 min left",
    ]

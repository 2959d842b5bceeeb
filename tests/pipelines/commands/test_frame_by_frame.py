"""How a command works its way through frames: as one of several, by itself, or only on paper."""

from dataclasses import replace
from typing import get_args

import pytest

from pipelines.batch_inference.shards import Part
from pipelines.commands import frame_by_frame
from pipelines.commands.frame_by_frame import (
    READERS,
    WorkThrough,
    complain_of_unreadable,
    own_device,
    say_network_share,
)
from pipelines.data.frames import AnyFrameSetSettings
from pipelines.errors import SomeInputsFailedError, UserError

ALONE = WorkThrough("cpu", "fp32", None, False, workers=0, shard=None, restart=True, dry_run=False)


@pytest.fixture(autouse=True)
def without_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_the_part_is_that_of_the_option_or_of_the_launcher(monkeypatch):
    assert ALONE.part is None
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ALONE.part == Part(3, 4)
    assert replace(ALONE, shard="1/2").part == Part(1, 2)
    with pytest.raises(UserError, match="--shard x: expected I/N"):
        _ = replace(ALONE, shard="x").part


def test_the_session_reads_ahead_with_at_least_one_thread():
    session = ALONE.open_session()
    assert (session.machine.device.type, session.workers, session.restart) == ("cpu", 1, True)
    assert replace(ALONE, workers=3).open_session().workers == 3


@pytest.mark.parametrize(
    ("device", "local", "gpus", "expected"),
    [
        ("auto", None, 2, "auto"),
        ("auto", "3", 2, "cuda:1"),
        ("auto", "3", 0, "auto"),
        ("cpu", "3", 2, "cpu"),
    ],
)
def test_each_process_of_a_launcher_takes_its_own_gpu(monkeypatch, device, local, gpus, expected):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    assert own_device(device) == expected


def test_every_data_set_of_files_can_be_named():
    """By --reader; toy world draws its frames, and pseudo-labels need a folder more, the root of their images."""
    known = {option for model in get_args(get_args(AnyFrameSetSettings)[0]) for option in readers_of(model)}
    assert set(READERS) == known - {"toyworld", "pseudo_labelled"}


def readers_of(model):
    return get_args(model.model_fields["reader"].annotation)


def test_of_a_handful_of_frames_no_share_is_told(capsys):
    say_network_share(0.9, frame_by_frame.WORTH_A_LINE - 1)
    say_network_share(None, 1000)
    assert capsys.readouterr().err == ""
    say_network_share(0.9, frame_by_frame.WORTH_A_LINE)
    assert capsys.readouterr().err == "the network was at work 90% of the time\n"


def test_unreadable_frames_are_complained_of():
    complain_of_unreadable([])
    with pytest.raises(SomeInputsFailedError, match="cannot be read: 2"):
        complain_of_unreadable(["a", "b"])

"""Published tensors come out of the process that reads them, or one line says why not; it is a real one here."""

import os
from pathlib import Path

import pytest
import torch

from pipelines.errors import CheckpointError
from pipelines.pretrained.read_published import read_published


@pytest.fixture(scope="module", autouse=True)
def unpickling():
    """Here by the process itself."""


def saved(path, content):
    torch.save(content, path)
    return path


def test_the_process_hands_over_plain_numbers(tmp_path):
    networks = read_published(saved(tmp_path / "x.pth", {"g": {"a.half": torch.ones(2).half(), "n": torch.tensor(3)}}))
    assert list(networks) == ["g"]
    assert networks["g"]["a.half"].dtype == torch.float32 and networks["g"]["n"].dtype == torch.int64


def test_a_process_that_died_is_reported_on_one_line(tmp_path, monkeypatch):
    path = saved(tmp_path / "x.pth", {"model.1.bias": torch.ones(2)})
    monkeypatch.setattr("pipelines.pretrained.read_published.SECONDS", 1)
    with pytest.raises(CheckpointError, match=r"x\.pth: reading it took more than 1 s of computing") as caught:
        read_published(path)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (Path.mkdir, "is a folder, expected a file"),
        (Path.touch, "has 0 bytes"),
        (os.mkfifo, "is a pipe, expected a file"),
    ],
)
def test_what_is_no_file_is_refused_before_any_process(tmp_path, make, message):
    make(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        read_published(tmp_path / "x.pth")

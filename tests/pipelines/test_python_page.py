"""docs/python.md is what it says: its code runs, in order, and does what the words around it promise."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.images import image_size, read_image, write_image
from pipelines.runtimes import open_translator

PAGE = Path(__file__).parents[2] / "docs/python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tiny_run, tmp_path, monkeypatch, cpu):
    """Where somebody follows the page: a finished run and two frames."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(tiny_run)
    for number in range(2):
        frame = np.random.default_rng(number).integers(0, 256, (32, 64, 3), np.uint8)
        write_image(tmp_path / f"frames/{number}.png", frame)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_code_runs_and_does_what_it_says(folder, capsys):
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert [image_size(folder / f"translated/{number}.png") for number in range(2)] == [(64, 32)] * 2
    with open_translator("runs/mine/seed-0/translator") as translate:
        expected = translate(read_image(folder / "frames/1.png"))
    assert np.array_equal(read_image(folder / "translated/1.png"), expected)
    printed = capsys.readouterr().out
    assert printed and f"# {printed.strip()}" in blocks[-1], "the page quotes the message"

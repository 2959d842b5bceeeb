"""The blending that `benchmarks/flicker.py` weighs: a running mean where the source rests, nothing where it changes."""

import math

import pytest
import torch
from click.testing import CliRunner

from benchmarks.flicker import main, sharpness, steadied


def flat(value):
    return torch.full((1, 3, 4, 4), value)


STILL, SEEN = [torch.zeros(1, 2, 4, 4)] * 2, [torch.ones(1, 1, 4, 4, dtype=torch.bool)] * 2


def values(frames):
    return [float(frame[0, 0, 1, 1]) for frame in frames]


def test_a_source_at_rest_has_its_flicker_halved_and_halved_again():
    """0, then half of 1 and half of 0, then half of 0 and half of that."""
    blinking = [flat(0.0), flat(1.0), flat(0.0)]
    assert values(steadied(blinking, [flat(0.2)] * 3, STILL, SEEN, 0.5, 4.0)) == [0, 0.5, 0.25]


def test_where_the_source_changes_the_share_falls():
    """By 4 levels, of which 4 make it 1/e of a half."""
    source = [flat(0.0), flat(4 / 255)]
    found = values(steadied([flat(0.0), flat(1.0)], source, STILL, SEEN, 0.5, 4.0))
    assert found[1] == pytest.approx(1 - 0.5 / math.e, abs=1e-5)


def test_what_was_hidden_is_left_alone():
    hidden = [torch.zeros(1, 1, 4, 4, dtype=torch.bool)]
    assert values(steadied([flat(0.0), flat(1.0)], [flat(0.2)] * 2, STILL, hidden, 0.5, 4.0)) == [0, 1]


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        ((), (), "has 0 images"),
        (("a.png", "notes.txt"), (), "has 1 images"),
        (("a.png", "b.PNG"), ("--first", "1"), "has 1"),
    ],
)
def test_fewer_than_two_frames_are_refused_in_words(tmp_path, names, options, told):
    """.PNG is an image as .png is."""
    for name in names:
        (tmp_path / name).write_bytes(b"")
    ended = CliRunner().invoke(main, ["--translator", "none", "--frames", str(tmp_path), *options])
    assert ended.exit_code == 2 and told in ended.output and "needs 2 or more" in ended.output


def test_a_folder_that_is_not_there_is_named(tmp_path):
    ended = CliRunner().invoke(main, ["--translator", "none", "--frames", str(tmp_path / "nothing")])
    assert ended.exit_code == 2 and "nothing' does not exist" in ended.output


def test_sharpness_by_hand():
    """Neighbours differ by 10, 0 and 20 levels."""
    row = torch.tensor([0.0, 10, 10, 30]) / 255
    assert sharpness(row.expand(1, 3, 2, 4)) == pytest.approx(10)

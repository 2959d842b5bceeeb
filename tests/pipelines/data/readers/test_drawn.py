"""Toy world as a data set: drawn where it is missing, then read like any other."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.data.frames import AnyFrameSetSettings, open_frame_set
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.toyworld.write import DRAWING_VERSION, draw_frame
from pipelines.errors import UserError


def drawn(renderer, **changes):
    return ToyWorldSettings(
        reader="toyworld", renderer=renderer, **{"frames": 2, "size": (32, 16), "seed": 4} | changes
    )


@pytest.mark.parametrize("renderer", ["game", "camera"])
def test_what_is_read_is_what_was_drawn(tmp_path, renderer):
    heard = []
    drawn(renderer).draw(tmp_path, heard.append)
    frames = open_frame_set(drawn(renderer), tmp_path)
    assert heard == [1, 2]
    assert len(frames) == 2 and frames.labelled and frames.name == "toyworld"
    for index in range(2):
        image, label_map = draw_frame(renderer, 4, index, (32, 16))
        assert np.array_equal(frames.read_image(index), image)
        assert np.array_equal(frames.read_label_map(index), label_map)
    assert frames.drives == [frame.name for frame in frames.frames]  # each another street


def test_a_root_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert drawn("game", root="~/toy").folder(Path("/data")) == tmp_path / "toy"
    assert drawn("game", root="toy").folder(Path("/data")) == Path("/data/toy")


def test_only_missing_frames_are_drawn(tmp_path):
    assert not drawn("game", frames=1).is_drawn(tmp_path)
    drawn("game", frames=1).draw(tmp_path)
    assert drawn("game", frames=1).is_drawn(tmp_path) and not drawn("game", frames=3).is_drawn(tmp_path)
    (first,) = tmp_path.rglob("rgb/*.png")
    before = first.stat().st_mtime_ns
    drawn("game", frames=3).draw(tmp_path)
    assert len(list(tmp_path.rglob("rgb/*.png"))) == 3
    assert first.stat().st_mtime_ns == before


def test_a_shorter_set_is_the_beginning_of_a_longer_one(tmp_path):
    drawn("camera", frames=3).draw(tmp_path)
    names = [frame.name for frame in drawn("camera", frames=2).find(tmp_path).frames]
    assert names == ["toyworld/toyworld_000000_000019", "toyworld/toyworld_000001_000019"]


@pytest.mark.parametrize(
    ("renderer", "settings"),
    [
        ("game", {"exclude": ("000001",), "every": 2}),
        ("game", {"exclude": ("rgb/00000[0-2].png",)}),
        ("camera", {"exclude": ("toyworld/toyworld_000003_000019",), "first": 4}),
        ("camera", {"exclude": ("*_000001_*", "*_000004_*"), "frames_per_drive": 1}),
    ],
)
def test_the_number_of_frames_is_known_before_they_are_drawn(tmp_path, renderer, settings):
    one = drawn(renderer, frames=5, **settings)
    foreseen = one.used
    one.draw(tmp_path)
    assert foreseen == len(open_frame_set(one, tmp_path)) < 5


def test_an_excluded_frame_that_will_not_be_drawn_is_refused_before():
    with pytest.raises(UserError, match="exclude: no frame is called or matches '000005'; the likest is"):
        _ = drawn("game", frames=5, exclude=("000005",)).used


def test_sets_that_differ_have_folders_that_differ(tmp_path):
    sets = [drawn("game"), drawn("camera"), drawn("game", seed=5), drawn("game", size=(64, 16))]
    assert len({one.folder(tmp_path) for one in sets}) == 4
    assert drawn("game", root="here").folder(tmp_path) == tmp_path / "here"


def test_a_later_look_is_drawn_beside_an_earlier_one(tmp_path, monkeypatch):
    """A run folder that has frames of the earlier needs nobody to remove them."""
    drawn("game").draw(tmp_path)
    monkeypatch.setattr("pipelines.data.toyworld.write.DRAWING_VERSION", DRAWING_VERSION + 1)
    monkeypatch.setattr("pipelines.data.readers.drawn.DRAWING_VERSION", DRAWING_VERSION + 1)
    drawn("game").draw(tmp_path)
    assert len(list(tmp_path.glob("toyworld-game-32x16-seed4-v*"))) == 2 and len(list(tmp_path.rglob("*.png"))) == 8


def test_settings_are_found_by_their_reader():
    one = TypeAdapter(AnyFrameSetSettings).validate_python({"reader": "toyworld", "renderer": "game", "frames": 1})
    assert one == ToyWorldSettings(reader="toyworld", renderer="game", frames=1)
    with pytest.raises(ValidationError, match="frames"):
        drawn("game", frames=0)


def test_a_folder_given_relative_to_where_one_stands(tmp_path, monkeypatch):
    """`sim2real compare … --run runs/demo` draws below a relative path."""
    monkeypatch.chdir(tmp_path)
    for renderer in ("game", "camera"):
        settings = ToyWorldSettings(reader="toyworld", name="toy", renderer=renderer, frames=1, size=(32, 16))
        settings.draw(Path("runs/demo/frames"))
        assert len(open_frame_set(settings, Path("runs/demo/frames"))) == 1

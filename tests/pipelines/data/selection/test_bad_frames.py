"""Bad frames: every kind is found and named, refused or left out as the set's setting says, and looked for once."""

import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from pipelines.data import frames as frames_module
from pipelines.data.disk.files import sha256_of, storage_errors
from pipelines.data.images import write_image
from pipelines.data.selection.bad_frames import LISTED, GoodFrames, unusable_in_words, without_bad_frames
from pipelines.errors import ImageError, NoInputsError, StorageError
from tests.pipelines.data.readers.every_reader import opened


def make(root, *names):
    """Pairs in CamVid's short layout: a picture and its label map, road throughout."""
    for number, name in enumerate(names):
        write_image(root / f"train/{name}.png", np.full((4, 6, 3), number, np.uint8))
        write_image(root / f"trainannot/{name}.png", np.full((4, 6), 3, np.uint8))


def spoil(root):
    """Of the frames a to f: b's image is cut off, c's label has another size, d's an unknown id, e's is no file."""
    image = root / "train/b.png"
    image.write_bytes(image.read_bytes()[:-20])
    write_image(root / "trainannot/c.png", np.full((4, 5), 3, np.uint8))
    write_image(root / "trainannot/d.png", np.full((4, 6), 200, np.uint8))
    (root / "trainannot/e.png").unlink()
    (root / "trainannot/e.png").symlink_to(root / "nowhere")


@pytest.fixture
def spoilt(tmp_path):
    make(tmp_path, *"abcdef")
    spoil(tmp_path)
    return tmp_path


def good_frames(root):
    return GoodFrames(root / ".good_frames.json", sha256_of)


def test_every_kind_of_trouble_is_found_by_name(spoilt):
    heard = []
    found = good_frames(spoilt).troubles(opened(spoilt, reader="camvid"), heard.append)
    assert list(found) == ["b", "c", "d", "e"] and heard == [1, 2, 3, 4, 5, 6]
    assert "train/b.png: " in found["b"] and "cut off" in found["b"]
    assert "trainannot/c.png: the label map is 5x4, its image" in found["c"]
    assert "trainannot/d.png: " in found["d"] and "unknown ids 200" in found["d"]
    assert "trainannot/e.png: cannot read: No such file" in found["e"]
    assert not any("\n" in trouble for trouble in found.values())


def test_labels_that_are_not_used_do_no_harm(spoilt):
    assert list(good_frames(spoilt).troubles(opened(spoilt, reader="camvid", labels=""))) == ["b"]


def test_refusing_names_the_first_counts_the_others_and_says_what_to_do(spoilt):
    frames = opened(spoilt, reader="camvid")
    found = good_frames(spoilt).troubles(frames)
    with pytest.raises(ImageError) as caught:
        without_bad_frames(frames, found)
    said = str(caught.value)
    assert said.startswith(f"{spoilt / 'train/b.png'}: ") and "(and 3 more of its 6 frames)" in said
    assert said.endswith("""set bad_frames = "leave_out" of data set 'camvid'; `sim2real data check` lists all""")
    with pytest.raises(ImageError, match=r"^b.png is cut off\. Mend it"):
        without_bad_frames(frames, {"b": "b.png is cut off."})


def test_leaving_out_keeps_the_others_and_says_which_are_missing(spoilt):
    frames = opened(spoilt, reader="camvid", bad_frames="leave_out")
    left = without_bad_frames(frames, good_frames(spoilt).troubles(frames))
    assert [frame.name for frame in left.frames] == ["a", "f"] and list(left.unusable) == ["b", "c", "d", "e"]
    lines = unusable_in_words(left)
    assert len(lines) == 4 and lines[1].startswith("camvid: left out, it cannot be used: ") and "5x4" in lines[1]


def test_without_bad_frames_nothing_changes(tmp_path):
    make(tmp_path, "a")
    for setting in ("refuse", "leave_out"):
        frames = opened(tmp_path, reader="camvid", bad_frames=setting)
        assert without_bad_frames(frames, good_frames(tmp_path).troubles(frames)) is frames
        assert unusable_in_words(frames) == []


def test_a_set_of_bad_frames_alone_is_no_input(spoilt):
    frames = opened(spoilt, reader="camvid", bad_frames="leave_out")
    frames = replace(frames, frames=frames.frames[1:3])
    with pytest.raises(NoInputsError, match=r"camvid: none of its 2 frames can be used, the first: .*b\.png"):
        without_bad_frames(frames, good_frames(spoilt).troubles(frames))


def test_many_are_counted_after_the_first(tmp_path):
    make(tmp_path, "a")
    frames = replace(
        opened(tmp_path, reader="camvid"), unusable={str(n): f"{n}.png: cut off" for n in range(LISTED + 3)}
    )
    lines = unusable_in_words(frames)
    assert len(lines) == LISTED + 1 and lines[-1] == "camvid: left out, 3 frames more"


# --- looked for once ---------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded."""
    seen, read = [], frames_module.read_image
    monkeypatch.setattr(frames_module, "read_image", lambda path: seen.append(path.name) or read(path))
    return seen


def test_good_frames_are_decoded_once_and_bad_ones_each_time(spoilt, decoded):
    frames = opened(spoilt, reader="camvid")
    first = good_frames(spoilt)
    found = first.troubles(frames)
    first.save()
    assert sorted(decoded) == ["a.png", "b.png", "c.png", "d.png", "f.png"]  # e's label has no hash
    decoded.clear()
    assert good_frames(spoilt).troubles(frames) == found
    assert sorted(decoded) == ["b.png", "c.png", "d.png"]


def test_a_mended_frame_is_good_and_a_changed_one_is_looked_at(tmp_path, decoded):
    make(tmp_path, "a", "b")
    frames = opened(tmp_path, reader="camvid")
    first = good_frames(tmp_path)
    first.troubles(frames)
    first.save()
    decoded.clear()
    image = tmp_path / "train/a.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:-20])
    assert list(good_frames(tmp_path).troubles(frames)) == ["a"] and decoded == ["a.png"]
    image.write_bytes(whole)
    assert not good_frames(tmp_path).troubles(frames) and decoded == ["a.png"]


def test_how_labels_are_read_counts(tmp_path):
    """Ids of one order are not those of the other: id 12 is in neither, id 11 in both; 32 colours are no ids."""
    make(tmp_path, "a")
    first = good_frames(tmp_path)
    assert not first.troubles(opened(tmp_path, reader="camvid"))
    as_colours = {"encoding": "32", "images": "train/{name}.png", "labels": "trainannot/{name}.png"}
    assert list(first.troubles(opened(tmp_path, reader="camvid", **as_colours))) == ["a"]


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"3", b"\xff\xfe", b"[3, null]"])
def test_a_damaged_memory_is_made_anew(tmp_path, decoded, damage):
    make(tmp_path, "a")
    (tmp_path / ".good_frames.json").write_bytes(damage)
    here = good_frames(tmp_path)
    assert not here.troubles(opened(tmp_path, reader="camvid")) and decoded == ["a.png"]
    here.save()
    assert len(json.loads((tmp_path / ".good_frames.json").read_bytes())) == 1


def test_what_another_process_found_is_taken_over(tmp_path, decoded):
    make(tmp_path, "a")
    frames, waiting, looking = opened(tmp_path, reader="camvid"), good_frames(tmp_path), good_frames(tmp_path)
    looking.troubles(frames)
    looking.save()
    waiting.refresh()
    assert not waiting.troubles(frames) and decoded == ["a.png"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_a_process_out_of_descriptors_has_no_bad_frames(tmp_path, number):
    """Else a set that leaves bad frames out would leave out whole ones, and learn from the rest in silence."""
    make(tmp_path, "a")

    def hash_of(path):
        with storage_errors(path):
            raise OSError(number, os.strerror(number))

    with pytest.raises(StorageError, match=os.strerror(number)):
        GoodFrames(tmp_path / "good.json", hash_of).troubles(opened(tmp_path, reader="camvid"))

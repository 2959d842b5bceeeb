"""Frame sets: settings find their reader, labels are asked for when needed, and real sets are found whole."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.labels import encodings
from pipelines.data.readers.layout import Frame
from pipelines.errors import ImageError, UserError
from tests.pipelines.data.readers.every_reader import SETTINGS, opened

DATA = Path(os.environ.get("SIM2REAL_DATA") or Path(__file__).parents[4] / "shared" / "data")
CARLA_PALETTE = {
    "reader": "carla",
    "version": "0.9.12",
    "encoding": "palette",
    "images": "RGB/{name}_rgbl.png",
    "labels": "semantic_segmentation/{name}_cityscapes.png",
}
CARLA_IN_ONE_FOLDER = {
    "reader": "carla",
    "version": "0.9.14",
    "images": "{name}_img.jpg",
    "labels": "{name}_labelIds.png",
}


def test_an_unknown_reader_is_answered_with_the_valid_ones():
    with pytest.raises(ValidationError, match="'gta5', 'carla', 'synthia'"):
        SETTINGS.validate_python({"reader": "kitti", "root": "."})


TRAIN_IDS = encodings.cityscapes("labelTrainIds")


@pytest.fixture
def frames_of(tmp_path):
    """A set of frames of 6x4 pixels whose label maps are flat, of the values given; None for no label map."""

    def make(*values, shape=(4, 6), encoding=TRAIN_IDS):
        frames = []
        for number, value in enumerate(values):
            image, label = tmp_path / f"{number}.png", tmp_path / f"{number}_label.png"
            write_image(image, np.full((4, 6, 3), 10 * number, np.uint8))
            if value is not None:
                write_image(label, np.full(shape, value, np.uint8))
            labelled = value is not None
            frames.append(Frame(str(number), image, label if labelled else None, encoding if labelled else None))
        return FrameSet("mine", tmp_path, frames, [])

    return make


def test_a_frame_is_read_when_it_is_asked_for(frames_of):
    frames = frames_of(13, 255)
    assert len(frames) == 2 and (frames.read_image(1) == 10).all() and frames.read_image(1).shape == (4, 6, 3)
    assert (frames.read_label_map(0) == 13).all() and frames.read_label_map(0).dtype == np.uint8
    assert frames.labelled and frames.encoding == TRAIN_IDS


def test_a_frames_full_name_tells_sets_apart(frames_of):
    frames = frames_of(0)
    assert frames.full_name(frames.frames[0]) == "mine/0"


def test_a_set_is_labelled_if_all_its_frames_are(frames_of):
    frames = frames_of(0, None)
    assert not frames.labelled and [frames.has_label_map(index) for index in (0, 1)] == [True, False]
    assert [frame.name for frame in frames.only_labelled().frames] == ["0"] and frames.only_labelled().labelled
    assert not frames_of().labelled and frames_of(None).encoding is None
    with pytest.raises(UserError, match=r"1\.png: frame '1' of data set 'mine' has no label map"):
        frames.read_label_map(1)


def test_frames_of_several_encodings_have_no_single_one(frames_of):
    frames = frames_of(0, 0)
    other = encodings.cityscapes()
    mixed = FrameSet("mine", frames.root, [frames.frames[0], replace(frames.frames[1], encoding=other)], [])
    assert mixed.encodings == {TRAIN_IDS, other} and mixed.encoding is None


def test_classes_of_a_group_are_read_as_one(frames_of):
    frames = frames_of(8, None, 2, 255)
    merging = frames.merging([(2, 8)])
    assert [int(merging.read_label_map(index)[0, 0]) for index in (0, 2, 3)] == [2, 2, 255]
    assert not merging.has_label_map(1) and merging.frames[1] is frames.frames[1]
    assert (frames.read_label_map(0) == 8).all()
    assert frames.merging([]) is frames


def test_whether_any_label_counts(frames_of):
    assert frames_of(255, None, 0).shows_a_class()
    assert not frames_of(255, 255).shows_a_class() and not frames_of(None).shows_a_class()


def test_labels_are_read_up_to_the_first_that_counts(frames_of):
    frames = frames_of(0, 0)
    frames.frames[1].label.write_bytes(b"")
    assert frames.shows_a_class()
    with pytest.raises(ImageError, match="the file is empty"):
        frames.read_label_map(1)


def test_a_label_map_of_another_size_is_refused(frames_of):
    with pytest.raises(
        ImageError, match=r"0_label\.png: the label map is 6x8, its image .*0\.png is 6x4; both must be"
    ):
        frames_of(0, shape=(8, 6)).read_label_map(0)


REAL = [
    ({"reader": "camvid", "root": "camvid"}, 300),
    ({"reader": "camvid", "root": "camvid", "split": "val"}, 60),
    ({"reader": "idd_lite", "root": "idd_lite"}, 1189),
    ({"reader": "idd_lite", "root": "idd_lite", "split": "train"}, 949),
    ({"reader": "idd_lite", "root": "idd_lite", "split": "val"}, 100),
    ({"reader": "idd_lite", "root": "idd_lite", "split": "test"}, 140),
    ({"reader": "cityscapes", "root": "cityscapes"}, 5),
    ({"reader": "cityscapes", "root": "cityscapes/small_256x128", "split": "val"}, 1),
    (CARLA_PALETTE | {"root": "carla/town07"}, 10),
    (CARLA_IN_ONE_FOLDER | {"root": "carla/carlascapes"}, 3),
    ({"reader": "gta5", "root": "gta5"}, 13),
    ({"reader": "folder", "root": "carla/photos_only"}, 19),
]


@pytest.mark.skipif(not DATA.is_dir(), reason="no data: set SIM2REAL_DATA to the folder of the real sets")
class TestRealSets:
    @pytest.mark.parametrize(("settings", "frames"), REAL, ids=[str(s["root"]) + s.get("split", "") for s, _ in REAL])
    def test_found_whole(self, settings, frames):
        frame_set = opened(DATA, **settings)
        assert len(frame_set) == frames and frame_set.unpaired_labels == []
        assert frame_set.read_image(0).shape[2] == 3
        assert frame_set.labelled is (settings["reader"] not in ("gta5", "folder"))

    def test_all_listed_labels_hold_known_classes_only(self):
        """But `carla_ground_only`, four colours that serve as images alone."""
        named = {
            "camvid11": encodings.camvid(),
            "carla_palette_v0912": encodings.carla("0.9.12", "palette"),
            "carla_palette_v095": encodings.carla("0.9.5", "palette"),
            "carla_tags_red_channel_v082": encodings.carla("0.8.2"),
            "carla_tags_v0914": encodings.carla("0.9.14"),
            "cityscapes_labelIds": encodings.cityscapes(),
            "idd_lite7": encodings.idd_lite(),
        }
        with open(DATA / "pairs.csv", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["encoding"] != "carla_ground_only"]
        assert len(rows) > 400
        for row in rows:
            label_map = named[row["encoding"]].decode(DATA / row["label"])
            assert label_map.shape == (int(row["height"]), int(row["width"]))
            assert (label_map != 255).any()

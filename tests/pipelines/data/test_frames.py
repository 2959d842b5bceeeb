"""Frame sets: settings find their reader, and real sets are found whole."""

import csv
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.data.labels import encodings
from tests.pipelines.data.readers.every_reader import SETTINGS, opened

DATA = Path(os.environ.get("SIM2REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
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


REAL = [
    ({"reader": "camvid", "root": "camvid"}, 300),
    ({"reader": "camvid", "root": "camvid", "split": "val"}, 60),
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
        """But `carla_ground_only`, four colours that serve as images alone, and IDD-lite's groups, unread so far."""
        named = {
            "camvid11": encodings.camvid(),
            "carla_palette_v0912": encodings.carla("0.9.12", "palette"),
            "carla_palette_v095": encodings.carla("0.9.5", "palette"),
            "carla_tags_red_channel_v082": encodings.carla("0.8.2"),
            "carla_tags_v0914": encodings.carla("0.9.14"),
            "cityscapes_labelIds": encodings.cityscapes(),
        }
        with open(DATA / "pairs.csv", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["encoding"] not in ("carla_ground_only", "idd_lite7")]
        assert len(rows) > 400
        for row in rows:
            label_map = named[row["encoding"]].decode(DATA / row["label"])
            assert label_map.shape == (int(row["height"]), int(row["width"]))
            assert (label_map != 255).any()

"""Frame sets: each reader finds its layout, pairs by name, and says plainly what is missing."""

import csv
import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.data.frames import AnyFrameSetSettings, open_frame_set
from pipelines.data.images import write_image
from pipelines.data.labels import encodings
from pipelines.data.manifest import ManifestEntry, write_manifest
from pipelines.errors import ImageError, NoInputsError, UserError

SETTINGS = TypeAdapter(AnyFrameSetSettings)
DATA = Path(os.environ.get("SIM2REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
HASH = "0" * 64


def opened(data, **settings):
    return open_frame_set(SETTINGS.validate_python({"root": "."} | settings), data)


def draw(root, *paths, value=0, shape=(4, 6)):
    """Write flat pictures of one value."""
    for path in paths:
        write_image(root / path, np.full(shape, value, np.uint8))


def photo(root, *paths):
    draw(root, *paths, value=9, shape=(4, 6, 3))


class EveryReader:
    """What every pattern reader must do; subclasses name the reader and one image and label path of a frame."""

    settings: ClassVar[dict]
    image: str
    label: str
    road: int | tuple = 0

    def label_pixels(self):
        return np.full((4, 6, 3) if isinstance(self.road, tuple) else (4, 6), self.road, np.uint8)

    def make(self, root, *names):
        for name in names:
            photo(root, self.image.format(name=name))
            write_image(root / self.label.format(name=name), self.label_pixels())

    def test_finds_pairs_in_name_order(self, tmp_path):
        self.make(tmp_path, "b", "a", "c")
        frame_set = opened(tmp_path, **self.settings)
        assert [frame.name for frame in frame_set.frames] == ["a", "b", "c"]
        assert frame_set.name == self.settings["reader"] and frame_set.labelled and len(frame_set) == 3
        assert frame_set.read_image(1).shape == (4, 6, 3)
        assert (frame_set.read_label_map(1) == 0).all()
        assert frame_set.encoding is frame_set.frames[0].encoding

    def test_names_may_span_folders_and_hidden_files_are_skipped(self, tmp_path):
        self.make(tmp_path, "town/b", "a", ".hidden", ".folder/c")
        assert [frame.name for frame in opened(tmp_path, **self.settings).frames] == ["a", "town/b"]

    def test_pairs_by_name_not_by_place(self, tmp_path):
        self.make(tmp_path, "a", "b", "c")
        (tmp_path / self.image.format(name="a")).unlink()
        (tmp_path / self.label.format(name="b")).unlink()
        frame_set = opened(tmp_path, **self.settings)
        assert [(frame.name, frame.label is not None) for frame in frame_set.frames] == [("b", False), ("c", True)]
        assert not frame_set.labelled
        assert [frame.name for frame in frame_set.only_labelled().frames] == ["c"]
        assert frame_set.unpaired_labels == [tmp_path / self.label.format(name="a")]
        assert frame_set.frames[1].label == tmp_path / self.label.format(name="c")
        with pytest.raises(UserError, match=r"'b'.*no label map"):
            frame_set.read_label_map(0)

    def test_every_and_first(self, tmp_path):
        self.make(tmp_path, *"abcdefg")
        names = [frame.name for frame in opened(tmp_path, **self.settings, every=3, first=2).frames]
        assert names == ["a", "d"]

    def test_label_of_another_size(self, tmp_path):
        self.make(tmp_path, "a")
        photo(tmp_path, self.image.format(name="a"))
        write_image(tmp_path / self.image.format(name="a"), np.zeros((8, 6, 3), np.uint8))
        with pytest.raises(ImageError, match=r"6x4.*6x8"):
            opened(tmp_path, **self.settings).read_label_map(0)

    def test_without_labels(self, tmp_path):
        photo(tmp_path, self.image.format(name="a"))
        frame_set = opened(tmp_path, **self.settings)
        assert not frame_set.labelled and frame_set.encoding is None and not frame_set.encodings
        assert any("no label matches" in note for note in frame_set.notes)
        assert opened(tmp_path, **self.settings | {"labels": ""}).notes == ()

    def test_missing_folder_and_no_images(self, tmp_path):
        with pytest.raises(UserError, match=r"nowhere.*`root`"):
            opened(tmp_path, **self.settings | {"root": "nowhere"})
        with pytest.raises(NoInputsError, match=r"name}.*`images`"):
            opened(tmp_path, **self.settings)

    def test_unknown_keys_and_bad_values_are_refused(self, tmp_path):
        bad = (
            {"imagse": ""},
            {"images": "x.png"},
            {"images": "/{name}.png"},
            {"labels": "../{name}.png"},
            {"first": 0},
        )
        for wrong in (*bad, {"every": 0}, {"images": ""}, {"images": "{split_}/{name}.png"}):
            with pytest.raises(ValidationError):
                opened(tmp_path, **self.settings | wrong)


class TestGta5(EveryReader):
    settings: ClassVar = {"reader": "gta5"}
    image, label, road = "images/{name}.png", "labels/{name}.png", 7

    def test_known_bad_frames_are_skipped_with_a_note(self, tmp_path):
        self.make(tmp_path, "15187", "15188", "17705")
        frame_set = opened(tmp_path, **self.settings)
        assert [frame.name for frame in frame_set.frames] == ["15187"]
        assert "15188, 17705" in frame_set.notes[0]


class TestCarlaRaw(EveryReader):
    settings: ClassVar = {"reader": "carla", "version": "0.9.14"}
    image, label, road = "rgb/{name}.png", "semantic/{name}.png", (1, 0, 0)

    def test_the_version_is_required_and_known(self):
        with pytest.raises(ValidationError, match="version"):
            SETTINGS.validate_python({"reader": "carla", "root": "."})
        with pytest.raises(ValidationError, match=r"0\.9\.10 to 0\.9\.13"):
            SETTINGS.validate_python({"reader": "carla", "root": ".", "version": "0.9"})


class TestCarlaPalette(EveryReader):
    settings: ClassVar = {
        "reader": "carla",
        "version": "0.9.12",
        "encoding": "palette",
        "images": "RGB/{name}_rgbl.png",
        "labels": "semantic_segmentation/{name}_cityscapes.png",
    }
    image, label, road = "RGB/{name}_rgbl.png", "semantic_segmentation/{name}_cityscapes.png", (157, 234, 50)


class TestCarlaInOneFolder(EveryReader):
    settings: ClassVar = {
        "reader": "carla",
        "version": "0.9.14",
        "images": "{name}_img.jpg",
        "labels": "{name}_labelIds.png",
    }
    image, label, road = "{name}_img.jpg", "{name}_labelIds.png", 24


class TestCityscapes(EveryReader):
    settings: ClassVar = {"reader": "cityscapes"}
    image, label = "leftImg8bit/train/{name}_leftImg8bit.png", "gtFine/train/{name}_gtFine_labelIds.png"
    road = 7

    def test_split_and_kind(self, tmp_path):
        photo(tmp_path, "leftImg8bit/val/x/x_0_leftImg8bit.png")
        draw(tmp_path, "gtFine/val/x/x_0_gtFine_labelTrainIds.png", "gtFine/val/x/x_0_gtFine_labelIds.png", value=255)
        frame_set = opened(tmp_path, **self.settings, split="val", labels_kind="labelTrainIds")
        assert frame_set.frames[0].name == "x/x_0" and (frame_set.read_label_map(0) == 255).all()


class TestCamVid11(EveryReader):
    settings: ClassVar = {"reader": "camvid"}
    image, label, road = "train/{name}.jpg", "trainannot/{name}.png", 3

    def test_merged_classes(self, tmp_path):
        self.make(tmp_path, "a")
        (encoding,) = opened(tmp_path, **self.settings).encodings
        assert encoding.merged == (frozenset({6, 7}), frozenset({12, 18}))

    def test_order_is_a_setting(self, tmp_path):
        self.make(tmp_path, "a")
        frame_set = opened(tmp_path, **self.settings, order="building_first")
        assert (frame_set.read_label_map(0) == 13).all()  # 3 is Car there


class TestCamVid32(EveryReader):
    settings: ClassVar = {"reader": "camvid", "encoding": "32"}
    image, label = "701_StillsRaw_full/{name}.png", "LabeledApproved_full/{name}_L.png"
    road = (128, 0, 192)


class TestSynthia(EveryReader):
    settings: ClassVar = {"reader": "synthia"}
    image, label, road = "RGB/{name}.png", "GT/LABELS/{name}.png", (22, 0, 0)

    def label_pixels(self):
        return super().label_pixels().astype(np.uint16)


class TestFolder:
    def test_every_image_below(self, tmp_path):
        photo(tmp_path, "a.png", "b/c.JPG", "b/d.jpeg")
        (tmp_path / "notes.txt").write_text("")
        frame_set = opened(tmp_path, reader="folder", name="mine")
        assert [frame.name for frame in frame_set.frames] == ["a", "b/c", "b/d"] and frame_set.name == "mine"

    def test_labels_are_refused(self, tmp_path):
        with pytest.raises(ValidationError, match="own reader"):
            opened(tmp_path, reader="folder", labels="{name}.png")

    def test_two_files_of_one_name(self, tmp_path):
        photo(tmp_path, "a.png", "a.jpg")
        (tmp_path / "b").mkdir()
        photo(tmp_path, "b/0.png", "a.png.png")
        names = {frame.name: frame.image.name for frame in opened(tmp_path, reader="folder").frames}
        assert names == {"a.jpg": "a.jpg", "a.png": "a.png", "a.png.png": "a.png.png", "b/0": "0.png"}

    def test_two_images_for_one_label(self, tmp_path):
        photo(tmp_path, "rgb/a.png", "rgb/a.jpg", "semantic/a.png")
        with pytest.raises(
            UserError, match=r"two files for the frame .a., and .*; end the setting `images` with the suffix"
        ):
            opened(tmp_path, reader="carla", version="0.9.14")

    def test_formats_that_are_not_read_are_named(self, tmp_path):
        photo(tmp_path, "a.png", "c.jpe", "d.jfif")
        for name in ("b.ppm", "e.GIF", "Thumbs.db", "f.txt"):
            (tmp_path / name).touch()
        frame_set = opened(tmp_path, reader="folder")
        assert [frame.name for frame in frame_set.frames] == ["a", "c", "d"]
        assert [frame.image.name for frame in frame_set.unread] == ["b.ppm", "e.GIF"]
        assert frame_set.notes == (f"in a format that is not read: {tmp_path / 'b.ppm'} and 1 more; convert to PNG",)
        assert not opened(tmp_path, reader="folder", first=2).unread

    def test_nothing_but_formats_that_are_not_read(self, tmp_path):
        (tmp_path / "b.ppm").touch()
        with pytest.raises(NoInputsError, match=r"no image .*; in a format that is not read: .*b\.ppm; convert to PNG"):
            opened(tmp_path, reader="folder")

    def test_links_to_folders_are_followed_but_not_round_in_circles(self, tmp_path):
        photo(tmp_path, "real/a.png")
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "link").symlink_to(tmp_path / "real")
        (tmp_path / "real" / "loop").symlink_to(tmp_path / "set")
        assert [frame.name for frame in opened(tmp_path, reader="folder", root="set").frames] == ["link/a"]

    def test_a_pipe_is_found_and_refused_when_read(self, tmp_path):
        os.mkfifo(tmp_path / "a.png")
        with pytest.raises(ImageError, match="pipe"):
            opened(tmp_path, reader="folder").read_image(0)

    def test_a_line_break_in_a_name_leaves_the_message_one_line(self, tmp_path):
        (tmp_path / "a\nb.png").write_bytes(b"")
        with pytest.raises(ImageError, match="empty") as caught:
            opened(tmp_path, reader="folder").read_image(0)
        assert "\n" not in str(caught.value) and r"a\nb.png" in str(caught.value)

    def test_odd_names(self, tmp_path):
        names = ["a b", "a.b", "a(1)+[x]", "ü", "line\nbreak"]
        photo(tmp_path, *(f"{name}.png" for name in names))
        frame_set = opened(tmp_path, reader="folder")
        assert [frame.name for frame in frame_set.frames] == sorted(names)
        assert frame_set.read_image(0).shape == (4, 6, 3)


class TestTranslated:
    @staticmethod
    def entry(frame, encoding=None, **changes):
        label = f"labels/{frame}.png" if encoding else None
        values = {
            "frame": frame,
            "image": f"images/{frame}.png",
            "label": label,
            "label_encoding": encoding.to_json() if encoding else None,
            "source": f"{frame}.png",
            "source_sha256": HASH,
            "image_sha256": HASH,
            "label_sha256": HASH if encoding else None,
            "checkpoint_sha256": HASH,
            "width": 6,
            "height": 4,
        }
        return ManifestEntry(**values | changes)

    def test_frames_may_differ_in_encoding(self, tmp_path):
        photo(tmp_path, "images/b.png", "images/a.png", "images/c.png", "images/not_listed.png")
        draw(tmp_path, "labels/a.png", value=7)
        draw(tmp_path, "labels/b.png", value=1)
        carla, city = encodings.carla("0.9.14"), encodings.cityscapes()
        write_manifest(tmp_path / "manifest.jsonl", [self.entry("b", carla), self.entry("a", city), self.entry("c")])
        frame_set = opened(tmp_path, reader="translated")
        assert [(frame.name, frame.encoding) for frame in frame_set.frames] == [("a", city), ("b", carla), ("c", None)]
        assert frame_set.encoding is None and not frame_set.labelled and frame_set.only_labelled().labelled
        assert (frame_set.read_label_map(0) == 0).all() and (frame_set.read_label_map(1) == 0).all()

    def test_missing_empty_or_foreign_manifest(self, tmp_path):
        with pytest.raises(UserError, match="manifest"):
            opened(tmp_path, reader="translated")
        (tmp_path / "manifest.jsonl").write_text("")
        with pytest.raises(NoInputsError, match="no frame"):
            opened(tmp_path, reader="translated")
        (tmp_path / "manifest.jsonl").write_text("{}\n")
        with pytest.raises(UserError, match="manifest"):
            opened(tmp_path, reader="translated")

    def test_a_manifest_cannot_point_outside(self, tmp_path):
        line = json.dumps(self.entry("a").model_dump() | {"image": "../../etc/secret.png"})
        (tmp_path / "manifest.jsonl").write_text(line + "\n")
        with pytest.raises(UserError, match="inside"):
            opened(tmp_path, reader="translated")


def test_an_unknown_reader_is_answered_with_the_valid_ones():
    with pytest.raises(ValidationError, match="'gta5', 'carla', 'synthia'"):
        SETTINGS.validate_python({"reader": "kitti", "root": "."})


REAL = [
    ({"reader": "camvid", "root": "camvid"}, 300),
    ({"reader": "camvid", "root": "camvid", "split": "val"}, 60),
    ({"reader": "cityscapes", "root": "cityscapes"}, 5),
    ({"reader": "cityscapes", "root": "cityscapes/small_256x128", "split": "val"}, 1),
    (TestCarlaPalette.settings | {"root": "carla/town07"}, 10),
    (TestCarlaInOneFolder.settings | {"root": "carla/carlascapes"}, 3),
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

"""The data check: it counts right, goes on past every bad file, and doubts a wrong setting."""

import os
from collections import Counter

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipelines.data.check import check_frame_set, describe_shared_drives, format_report, shared_drives
from pipelines.data.frames import AnyFrameSetSettings, open_frame_set
from pipelines.data.images import write_image

SETTINGS = TypeAdapter(AnyFrameSetSettings)
RNG = np.random.default_rng(0)


def checked(data, **settings):
    return check_frame_set(open_frame_set(SETTINGS.validate_python({"root": "."} | settings), data))


def pair(root, name, label, image_size=None):
    """A Cityscapes-like pair in CamVid's short layout; `label` is an array of CamVid ids."""
    label = np.asarray(label, np.uint8)
    height, width = image_size or label.shape[:2]
    write_image(root / f"train/{name}.png", RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
    write_image(root / f"trainannot/{name}.png", label)


def test_counts_sizes_and_classes(tmp_path):
    pair(tmp_path, "a", [[0, 0, 1, 3]])  # sky, sky, building, road
    pair(tmp_path, "b", [[3, 3, 3, 11], [3, 3, 3, 11]])  # six road, two ignored
    report = checked(tmp_path, reader="camvid")
    assert report.ok and report.frames == 2
    assert report.sizes == Counter({(4, 1): 1, (4, 2): 1})
    # On paper: ten labelled pixels, of which seven road, two sky, one building; two of twelve ignored.
    shares = report.class_shares
    assert shares["road"] == pytest.approx(0.7)
    assert shares["sky"] == pytest.approx(0.2)
    assert shares["building"] == pytest.approx(0.1)
    assert report.ignored_share == pytest.approx(2 / 12)
    text = format_report(report)
    assert "camvid: ok" in text and "road            70.000%" in text and "4x2 (1)" in text


def test_goes_on_past_every_kind_of_trouble(tmp_path):
    good = [[3, 3, 0]]
    for name in "abcdefghi":
        pair(tmp_path, name, good)
    pair(tmp_path, "b", [[12, 200, 3]])
    pair(tmp_path, "c", good, image_size=(5, 7))
    images, labels = tmp_path / "train", tmp_path / "trainannot"
    (images / "d.png").write_bytes((images / "d.png").read_bytes()[:40])
    (labels / "e.png").write_bytes(b"")
    (labels / "f.png").unlink()
    (images / "g.png").unlink()
    (images / "h.png").unlink()
    os.mkfifo(images / "h.png")
    write_image(images / "i.png", np.full((1, 3, 3), 8, np.uint8))
    write_image(labels / "i.png", np.full((1, 3), 11, np.uint8))
    report = checked(tmp_path, reader="camvid")
    assert not report.ok and report.frames == 8
    assert [line.split(": ")[0].rsplit("/")[-1] for line in report.unreadable] == ["d.png", "e.png", "h.png"]
    assert len(report.unknown_values) == 1 and "trainannot/b.png" in report.unknown_values[0]
    assert "unknown ids 12, 200" in report.unknown_values[0]
    assert (
        len(report.size_mismatches) == 1 and "3x1" in report.size_mismatches[0] and "7x5" in report.size_mismatches[0]
    )
    assert report.images_without_labels == ["f"]
    assert report.labels_without_images == [str(labels / "g.png")]
    assert report.single_colour == [str(images / "i.png")] and report.all_ignored == [str(labels / "i.png")]
    text = format_report(report)
    assert "NOT OK" in text and "cannot be read (3)" in text and "unknown ids 12, 200" in text


def test_labels_that_show_no_class_are_not_ok(tmp_path):
    """One label map without a class is reported; a whole set of them is a mistake."""
    pair(tmp_path, "a", [[11, 11]])
    report = checked(tmp_path, reader="camvid")
    assert report.without_class and not report.ok
    assert "camvid: NOT OK" in format_report(report) and "no label map shows a class" in format_report(report)
    pair(tmp_path, "b", [[3, 11]])
    assert checked(tmp_path, reader="camvid").ok
    assert checked(tmp_path, reader="camvid", labels="").ok


def test_a_reader_by_which_labels_show_no_street_is_doubted(tmp_path):
    """Ids of CamVid as Cityscapes' train ids, or in the other order: a wall, or a car, where the road lies."""
    pair(tmp_path, "a", [[0, 1, 5], [3, 3, 3]])
    layout = {"images": "train/{name}.png", "labels": "trainannot/{name}.png"}
    report = checked(tmp_path, reader="cityscapes", labels_kind="labelTrainIds", **layout)
    assert not report.ok and 'with reader = "camvid" they do' in report.reading_doubts[0]
    report = checked(tmp_path, reader="camvid", order="building_first")
    assert not report.ok and "setting in doubt (1)" in format_report(report)
    assert 'with reader = "camvid" they do' in report.reading_doubts[0]
    assert checked(tmp_path, reader="camvid").ok
    # Of no class at all it is told what would show one.
    pair(tmp_path, "a", [[6, 6, 5], [0, 0, 0]])
    text = format_report(checked(tmp_path, reader="cityscapes", **layout))
    assert "no label map shows a class" in text and 'or reader = "idd_lite" they do' in text


def test_cityscapes_test_split_says_why(tmp_path):
    name = "berlin/berlin_000000_000019"
    write_image(tmp_path / f"leftImg8bit/test/{name}_leftImg8bit.png", RNG.integers(0, 256, (2, 4, 3), dtype=np.uint8))
    write_image(tmp_path / f"gtFine/test/{name}_gtFine_labelIds.png", np.zeros((2, 4), np.uint8))
    report = checked(tmp_path, reader="cityscapes", split="test")
    assert not report.ok and "published without classes" in report.notes[0] and "--submission" in report.notes[0]


def test_progress_hears_of_every_frame(tmp_path):
    for name in "abc":
        pair(tmp_path, name, [[3]])
    heard = []
    settings = SETTINGS.validate_python({"reader": "camvid", "root": "."})
    check_frame_set(open_frame_set(settings, tmp_path), heard.append)
    assert heard == [1, 2, 3]


def test_long_lists_are_cut(tmp_path):
    for number in range(30):
        pair(tmp_path, f"{number:02}", [[99]])
    text = format_report(checked(tmp_path, reader="camvid"))
    assert "hold unknown values (30)" in text and "and 10 more" in text


def test_unlabelled_set_is_ok(tmp_path):
    pair(tmp_path, "a", [[3]])
    report = checked(tmp_path, reader="folder", root="train")
    assert report.ok and report.images_without_labels == ["a"]
    assert "0 with labels" in format_report(report) and "without label (" not in format_report(report)


class TestDrives:
    @pytest.fixture
    def opened(self, tmp_path):
        """A function: settings of CamVid's layout -> its set; frames 1 to 4 of drive A and 5 of drive B are there."""
        for name in ("A_1", "A_2", "A_3", "A_4", "B_5"):
            pair(tmp_path, name, [[3]])
        for name in ("A_9", "C_1"):
            write_image(tmp_path / f"val/{name}.png", np.zeros((2, 2, 3), np.uint8))
        return lambda **settings: open_frame_set(
            SETTINGS.validate_python({"reader": "camvid", "root": "."} | settings), tmp_path
        )

    def test_drives_are_counted_and_so_is_what_is_left_out(self, opened):
        text = format_report(check_frame_set(opened(frames_per_drive=1)))
        assert "  frames  2, of which 2 with labels; 3 left out by the settings" in text
        assert "  drives  2\n" in text

    def test_stretches_are_said_to_be_such(self, opened):
        text = format_report(check_frame_set(opened(reader="folder", root="train")))
        assert "  frames  5, of which 0 with labels\n  drives  2 (stretches of consecutive frames)" in text

    def test_a_drive_in_both_sets_is_warned_of(self, opened):
        """A_9 is of drive A, of which the training set has four frames; C_1 is of no drive there."""
        training, validation = opened(name="train"), opened(name="val", split="val")
        assert shared_drives(validation, training) == ["A"]
        assert describe_shared_drives(validation, training, "target") == (
            "WARNING: val shares 1 drive with target train (A): scores on what is learnt from are too high; choose "
            "frames of other drives for one of the two"
        )
        assert describe_shared_drives(opened(split="val", every=2, first=1), opened(every=4), "target") is not None

    def test_the_same_files_in_both_sets_are_warned_of_whoever_reads_them(self, opened):
        as_folder = opened(reader="folder", root="train")
        assert shared_drives(as_folder, opened()) == ["A_1", "A_2", "A_3", "A_4", "B_5"]
        assert "5 drives with source camvid (A_1" in describe_shared_drives(as_folder, opened(), "source")

    def test_links_to_the_same_files_are_warned_of(self, opened, tmp_path):
        (tmp_path / "links").mkdir()
        for name in ("A_1", "B_5"):
            (tmp_path / f"links/other_{name}.png").symlink_to(tmp_path / f"train/{name}.png")
        assert shared_drives(opened(reader="folder", root="links"), opened()) == ["other_A_1", "other_B_5"]

    def test_other_drives_are_not(self, opened, tmp_path):
        (tmp_path / "val/A_9.png").unlink()
        assert describe_shared_drives(opened(split="val"), opened(), "target") is None

    def test_equal_numbers_in_other_folders_mean_nothing(self, opened, tmp_path):
        write_image(tmp_path / "other/A_1.png", np.zeros((2, 2, 3), np.uint8))
        assert shared_drives(opened(reader="folder", root="other"), opened(reader="folder", root="train")) == []


class TestCarlaVersion:
    """Road is tag 7 up to 0.9.13 and tag 1 later; the vehicle tags are 10 and 14."""

    @staticmethod
    def street(root, top, bottom):
        tags = np.full((6, 8, 3), top, np.uint8)
        tags[3:] = bottom
        tags[..., 1:] = 0
        write_image(root / "rgb/a.png", RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        write_image(root / "semantic/a.png", tags)

    def test_right(self, tmp_path):
        self.street(tmp_path, top=11, bottom=1)
        assert checked(tmp_path, reader="carla", version="0.9.14").reading_doubts == []

    def test_old_frames_read_with_the_new_table(self, tmp_path):
        self.street(tmp_path, top=1, bottom=7)
        report = checked(tmp_path, reader="carla", version="0.9.14")
        assert not report.ok
        assert "mostly traffic light" in report.reading_doubts[0]
        assert "road with version 0.8.x or 0.9.0 to 0.9.9 or 0.9.10 to 0.9.13" in report.reading_doubts[0]

    def test_new_frames_read_with_the_old_table(self, tmp_path):
        self.street(tmp_path, top=24, bottom=1)  # 24 exists since 0.9.14 only
        report = checked(tmp_path, reader="carla", version="0.9.12")
        assert "unknown ids 24" in report.unknown_values[0]
        assert "mostly building" in report.reading_doubts[0] and "0.9.14 and later" in report.reading_doubts[0]

    def test_the_own_bonnet_is_remarked_not_refused(self, tmp_path):
        self.street(tmp_path, top=7, bottom=10)
        report = checked(tmp_path, reader="carla", version="0.9.5")
        assert report.ok and "bonnet of the own car (`own_car` would ignore it)" in report.notes[0]
        ignored = checked(tmp_path, reader="carla", version="0.9.5", own_car=0.5)
        assert ignored.ok and "(ignored by own_car = 0.5)" in ignored.notes[0]
        doubted = checked(tmp_path, reader="carla", version="0.9.15")
        assert "mostly terrain" in doubted.reading_doubts[0] and "own bonnet" in doubted.reading_doubts[0]

    def test_palette(self, tmp_path):
        self.street(tmp_path, top=0, bottom=0)
        colours = np.full((6, 8, 3), (100, 40, 40), np.uint8)  # fence, in the colour of 0.9.10
        colours[3:] = (128, 64, 128)
        write_image(tmp_path / "semantic/a.png", colours)
        assert checked(tmp_path, reader="carla", version="0.9.12", encoding="palette").ok
        report = checked(tmp_path, reader="carla", version="0.9.5", encoding="palette")
        assert "(100,40,40)" in report.unknown_values[0] and report.reading_doubts == []

    def test_nothing_known_at_the_bottom(self, tmp_path):
        self.street(tmp_path, top=200, bottom=201)
        report = checked(tmp_path, reader="carla", version="0.9.12")
        assert "of no class" in report.reading_doubts[0] and "would be" not in report.reading_doubts[0]

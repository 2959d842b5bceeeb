"""Translation of frames: what comes out, what is refused, and what a bad file costs."""

import errno
import json
import os
import shutil
import time

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.batch_inference.network import Network
from pipelines.batch_inference.shards import Part
from pipelines.data.files import sha256_of
from pipelines.data.frames import open_frame_set
from pipelines.data.images import encode_png, read_image, read_raw, write_image
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.manifest import read_manifest
from pipelines.data.readers.translated import TranslatedSettings
from pipelines.errors import NoInputsError, NumericalError, UserError
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    NAMES,
    Counting,
    negative,
    paint,
    run,
    run_folder,
    tree,
)
from tests.pipelines.data.test_images import chunk, exif, make_png
from translate.networks import GENERATORS
from translate.translator import ImageTranslator


def small_translator(channels):
    """Of real layers, from source to target."""
    torch.manual_seed(0)
    return ImageTranslator({"source_to_target": GENERATORS["resnet6"](base_channels=channels)}).eval()


# --- one whole run ----------------------------------------------------------------------------------------------------


def test_every_frame_is_translated_and_its_label_carried_along(source, tmp_path):
    before = tree(source)
    summary = run(source, tmp_path / "out")
    assert (summary.made, summary.resumed, summary.failed) == (5, 0, 0)
    assert summary.count_line == "5 frames in = 5 frames out (5 translated, 0 already there)"
    for name in NAMES:
        image, label = f"rgb/{name}.png", f"ids/{name}.png"
        np.testing.assert_array_equal(read_image(tmp_path / "out/toy" / image), 255 - read_image(source / image))
        assert (tmp_path / "out/toy" / label).samefile(source / label)
    expected = {f"toy/{folder}/{name}.png" for folder in ("rgb", "ids") for name in NAMES}
    assert set(tree(tmp_path / "out")) == expected | {"manifest.jsonl", "translation.json"}
    assert tree(source) == before


def test_the_manifest_tells_everything(source, tmp_path):
    run(source, tmp_path / "out")
    entries = read_manifest(tmp_path / "out/manifest.jsonl")
    assert [entry.frame for entry in entries] == [f"toy/{name}" for name in sorted(NAMES)]
    entry = entries[-1]
    assert (entry.width, entry.height, entry.source) == (7, 5, "rgb/ä/ö.png")
    assert entry.source_sha256 == sha256_of(source / "rgb/ä/ö.png")
    assert entry.image_sha256 == sha256_of(tmp_path / "out" / entry.image)
    assert entry.label_sha256 == sha256_of(tmp_path / "out" / entry.label) == sha256_of(source / "ids/ä/ö.png")
    assert entry.checkpoint_sha256 == "c" * 64
    plan = json.loads((tmp_path / "out/translation.json").read_text())
    assert plan == IDENTITY | {"height": None, "format": 1}


def test_stage_two_reads_the_result_as_a_data_set(source, tmp_path):
    run(source, tmp_path / "out")
    frames = open_frame_set(TranslatedSettings(reader="translated", root="out"), tmp_path)
    assert len(frames) == 5 and frames.labelled and frames.encoding == cityscapes()
    assert np.unique(frames.read_label_map(0)) == [0]  # id 7 is road


def test_labels_are_copied_where_they_cannot_be_linked(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    run(source, tmp_path / "linked")
    monkeypatch.setattr(os, "link", refuse)
    run(source, tmp_path / "copied")
    assert tree(tmp_path / "copied") == tree(tmp_path / "linked")
    assert not (tmp_path / "copied/toy/ids/a b.png").samefile(source / "ids/a b.png")


def test_a_plain_folder_needs_no_labels_and_no_pairs(tmp_path):
    write_image(tmp_path / "in/photo.jpg", np.full((16, 16, 3), 200, np.uint8))
    write_image(tmp_path / "in/deep/er/photo.png", paint(1))
    run_folder(tmp_path / "in", tmp_path / "out")
    assert read_image(tmp_path / "out/photo.jpg").mean() == 55
    assert [entry.label for entry in read_manifest(tmp_path / "out/manifest.jsonl")] == [None, None]


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batch_size": 99}, {"workers": 1}, {"workers": 5}])
def test_threads_and_batches_do_not_show_in_the_result(source, tmp_path, options):
    run(source, tmp_path / "one")
    run(source, tmp_path / "other", **options)
    one, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    plan = json.loads(other["translation.json"])
    assert plan.pop("batch", 1) == options.get("batch_size", 1)
    assert plan == json.loads(one.pop("translation.json"))
    assert other.pop("translation.json") and other == one


def test_a_batch_holds_neighbours_of_one_size_and_is_always_full(source, tmp_path):
    """Sums are taken in another order in a smaller batch; a run that was killed would show in the last level."""
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return image

    run(source, tmp_path / "out", translate, batch_size=2)
    assert shapes == [(2, 3, 6, 8), (2, 3, 6, 8), (2, 3, 5, 7)]


def test_a_real_generator_keeps_sizes_that_do_not_divide_by_four(tmp_path):
    method = small_translator(4)
    for size in ((17, 23), (16, 24), (33, 16)):
        write_image(tmp_path / f"in/{size[0]}.png", paint(size[0], *size))
    run_folder(tmp_path / "in", tmp_path / "one", method.translate)
    run_folder(tmp_path / "in", tmp_path / "other", method.translate)
    assert read_image(tmp_path / "one/17.png").shape == (17, 23, 3)
    assert read_image(tmp_path / "one/33.png").shape == (33, 16, 3)
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


def test_the_network_sees_the_height_asked_for_and_the_file_keeps_its_own(tmp_path):
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return negative(image)

    flat = np.full((40, 60, 3), 50, np.uint8)
    flat[:, 30:] = 90
    write_image(tmp_path / "in/a.png", flat)
    run_folder(tmp_path / "in", tmp_path / "out", translate, height=10)
    result = read_image(tmp_path / "out/a.png")
    assert shapes == [(1, 3, 10, 15)]
    assert result.shape == (40, 60, 3)
    assert (result[:, :20] == 205).all() and (result[:, 40:] == 165).all()
    with pytest.raises(UserError, match="height was 10 and is None"):
        run_folder(tmp_path / "in", tmp_path / "out")


def test_a_size_asked_for_and_the_way_back(tmp_path):
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return negative(image)

    write_image(tmp_path / "in/a.png", np.full((40, 60, 3), 50, np.uint8))
    run_folder(tmp_path / "in", tmp_path / "out", translate, size=(32, 16))
    assert shapes == [(1, 3, 16, 32)]
    assert (read_image(tmp_path / "out/a.png") == np.full((40, 60, 3), 205)).all()
    with pytest.raises(UserError, match=r"size was \[32, 16\] and is None"):
        run_folder(tmp_path / "in", tmp_path / "out")


def test_the_quality_is_that_of_jpeg(tmp_path):
    write_image(tmp_path / "in/a.jpg", paint(0, 64, 64))
    sizes = []
    for quality in (20, 95):
        run_folder(tmp_path / "in", tmp_path / f"out{quality}", quality=quality)
        sizes.append((tmp_path / f"out{quality}/a.jpg").stat().st_size)
    assert 2 * sizes[0] < sizes[1]
    with pytest.raises(UserError, match="quality = 101: must be 1 to 100"):
        run_folder(tmp_path / "in", tmp_path / "out", quality=101)


def test_a_reader_may_give_label_maps(source, tmp_path):
    """The network gets int64 (B, H, W), shrunk without mixing ids, and makes images of the frames' own size."""
    seen = []

    def translate(label_map):
        seen.append((label_map.dtype, tuple(label_map.shape), label_map.unique().tolist()))
        return (label_map[:, None].float() / 255).expand(-1, 3, -1, -1)

    def read(frame):
        label_map = read_raw(frame.label)
        label_map[:3] = 255
        return label_map

    run(source, tmp_path / "out", translate, read=read, height=4)
    assert seen[0] == (torch.int64, (1, 4, 5), [7, 255])
    image = read_image(tmp_path / "out/toy/rgb/-rf.png")
    assert image.shape == (6, 8, 3) and (image[0] == 255).all() and (image[-1] == 7).all()


def test_a_turned_image_whose_label_map_is_not_is_refused(source, tmp_path):
    """The translation is written upright, the label map as it was: read together, they would not fit."""
    turned = make_png(paint(0), 8, 2, chunk(b"eXIf", exif(3)))
    (source / "rgb/-rf.png").write_bytes(turned)
    summary = run(source, tmp_path / "out")
    assert summary.failed == 1 and "has EXIF orientation 3, its label map" in summary.failures[0].reason
    label = make_png(np.full((6, 8), 7, np.uint8), 8, 0, chunk(b"eXIf", exif(3)))
    (source / "ids/-rf.png").write_bytes(label)
    assert run(source, tmp_path / "out").failed == 0
    upright = 255 - paint(0)[::-1, ::-1]
    np.testing.assert_array_equal(read_image(tmp_path / "out/toy/rgb/-rf.png"), upright)
    assert (tmp_path / "out/toy/ids/-rf.png").read_bytes() == label


def test_bytes_do_not_depend_on_what_else_there_was_to_do(tmp_path):
    """A real generator, batches of three: killed and resumed, in parts, or at once."""
    method = small_translator(8)
    for number in range(7):
        write_image(tmp_path / f"in/{number}.png", paint(number, 20, 28))
    run_folder(tmp_path / "in", tmp_path / "once", method.translate, batch_size=3)
    for part in (Part(1, 2), Part(2, 2)):
        run_folder(tmp_path / "in", tmp_path / "parts", method.translate, batch_size=3, part=part, workers=3)
    assert tree(tmp_path / "parts") == tree(tmp_path / "once")


def test_the_network_that_never_waits_is_seen_as_busy(tmp_path):
    for index in range(6):
        write_image(tmp_path / f"in/{index}.png", paint(index))

    def slow(image):
        time.sleep(0.05)
        return image

    assert 0.8 < run_folder(tmp_path / "in", tmp_path / "out", slow).network_share <= 1
    assert run_folder(tmp_path / "in", tmp_path / "out", slow).network_share is None


def test_gradients_are_off(source, tmp_path):
    network = nn.Conv2d(3, 3, 1)
    seen = []

    def translate(image):
        seen.append(network(image).requires_grad)
        return image

    run(source, tmp_path / "out", translate)
    assert seen == [False] * 5


def test_progress_ends_at_the_number_of_frames(source, tmp_path):
    reports = []
    run(source, tmp_path / "out", progress=lambda done, total: reports.append((done, total)))
    assert reports == [(done, 5) for done in range(6)]


def test_memory_is_bounded(tmp_path, monkeypatch):
    """With 40 frames and a slow network, no more than a handful may be read ahead."""
    from pipelines.batch_inference import flow as stage

    for index in range(40):
        write_image(tmp_path / f"in/{index:02}.png", paint(index))
    read, translated, ahead = [], [], []
    monkeypatch.setattr(stage, "read_image_and_alpha", lambda path: (read.append(path) or read_image(path), None))

    def translate(image):
        translated.append(1)
        ahead.append(len(read) - len(translated))
        return image

    run_folder(tmp_path / "in", tmp_path / "out", translate)
    assert len(translated) == 40 and max(ahead) <= 4


# --- bad files, bad disks, bad networks -------------------------------------------------------------------------------


def spoil(source):
    """Five good frames and five that are not: cut off, empty, a pipe, a dangling link, a name that is not UTF-8."""
    (source / "rgb/cut.png").write_bytes((source / "rgb/a b.png").read_bytes()[:-20])
    (source / "rgb/empty.png").write_bytes(b"")
    os.mkfifo(source / "rgb/pipe.png")
    (source / "rgb/dangling.png").symlink_to("nowhere.png")
    os.rename(shutil.copy(source / "rgb/a b.png", source / "rgb/x.png"), os.fsencode(source / "rgb") + b"/\xff.png")


def test_unreadable_files_are_listed_and_the_rest_is_done(source, tmp_path):
    spoil(source)
    translate = Counting()
    summary = run_folder(source / "rgb", tmp_path / "out", translate)
    assert (summary.made, summary.failed, translate.calls) == (5, 5, 5)
    assert summary.count_line.startswith("10 frames in, 5 frames out")
    lines = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == ["cut", "dangling", "empty", "pipe", "\udcff"]
    assert all("rgb/" in line["reason"] and "\n" not in line["reason"] for line in lines)
    assert [failure.reason for failure in summary.failures] == [line["reason"] for line in lines]
    assert len(read_manifest(tmp_path / "out/manifest.jsonl")) == 5


def test_a_frame_that_became_unreadable_leaves_nothing_behind(source, tmp_path):
    run(source, tmp_path / "out")
    (source / "rgb/a b.png").write_bytes(b"")
    assert run(source, tmp_path / "out").failed == 1
    assert "toy/a b" not in [entry.frame for entry in read_manifest(tmp_path / "out/manifest.jsonl")]
    assert not (tmp_path / "out/toy/rgb/a b.png").exists() and not (tmp_path / "out/toy/ids/a b.png").exists()


def test_a_label_map_that_cannot_be_carried_along_fails_its_frame(source, tmp_path):
    (source / "ids/a b.png").unlink()
    (source / "ids/a b.png").mkdir()
    summary = run(source, tmp_path / "out")
    assert summary.failed == 1 and "ids/a b.png: cannot read: is a folder" in summary.failures[0].reason
    assert not (tmp_path / "out/toy/rgb/a b.png").exists()


def test_nothing_at_all_could_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"")
    with pytest.raises(NoInputsError, match=r"None of 1 frames could be translated; the first: .*a\.png"):
        run_folder(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out/failures.jsonl").exists() and not (tmp_path / "out/manifest.jsonl").exists()
    with pytest.raises(NoInputsError, match="no frames"):
        translate_frames([], tmp_path / "out", Network(negative), IDENTITY)


def test_a_name_too_long_for_the_disk_costs_one_frame(tmp_path):
    write_image(tmp_path / "in/a.png", paint(0))
    (tmp_path / "in" / ("b" * 251 + ".png")).write_bytes(encode_png(paint(1)))
    summary = run_folder(tmp_path / "in", tmp_path / "out")
    assert summary.made + summary.failed == 2
    assert (tmp_path / "out/a.png").exists()


def test_a_network_that_has_diverged_is_named_and_writes_nothing(source, tmp_path):
    with pytest.raises(NumericalError, match=r"rgb/-rf\.png: .*not numbers"):
        run(source, tmp_path / "out", lambda image: image * float("nan"))
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_network_that_changes_the_size_is_our_mistake(source, tmp_path):
    with pytest.raises(ValueError, match=r"made \(1, 3, 4, 8\) of \(1, 3, 6, 8\)"):
        run(source, tmp_path / "out", lambda image: image[..., :4, :])


def test_memory_that_runs_out_names_the_settings_to_change(source, tmp_path):
    def translate(image):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(
        UserError, match=r"-rf\.png: out of memory for 2 frame\(s\) of 8x6 on cpu; lower the batch size"
    ):
        run(source, tmp_path / "out", translate, batch_size=2)


@pytest.mark.parametrize("option", ["batch_size", "workers", "height"])
def test_numbers_are_checked_before_anything_is_written(source, tmp_path, option):
    with pytest.raises(UserError, match=f"{option} = 0: must be at least 1"):
        run(source, tmp_path / "out", **{option: 0})
    assert not (tmp_path / "out").exists()

"""Translation of frames: what comes out, what is refused, and what a bad file costs."""

import json

import numpy as np
import pytest

from pipelines.batch_inference.shards import Part
from pipelines.data.disk.files import sha256_of
from pipelines.data.disk.manifest import read_manifest
from pipelines.data.frames import open_frame_set
from pipelines.data.images import read_image, write_image
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.translated import TranslatedSettings
from pipelines.errors import UserError
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    NAMES,
    paint,
    run,
    run_folder,
    small_translator,
    tree,
)


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


def test_a_plain_folder_needs_no_labels_and_no_pairs(tmp_path):
    write_image(tmp_path / "in/photo.jpg", np.full((16, 16, 3), 200, np.uint8))
    write_image(tmp_path / "in/deep/er/photo.png", paint(1))
    run_folder(tmp_path / "in", tmp_path / "out")
    assert read_image(tmp_path / "out/photo.jpg").mean() == 55
    assert [entry.label for entry in read_manifest(tmp_path / "out/manifest.jsonl")] == [None, None]


def test_bytes_do_not_depend_on_what_else_there_was_to_do(tmp_path):
    """A real generator, batches of three: killed and resumed, in parts, or at once."""
    method = small_translator(8)
    for number in range(7):
        write_image(tmp_path / f"in/{number}.png", paint(number, 20, 28))
    run_folder(tmp_path / "in", tmp_path / "once", method.translate, batch_size=3)
    for part in (Part(1, 2), Part(2, 2)):
        run_folder(tmp_path / "in", tmp_path / "parts", method.translate, batch_size=3, part=part, workers=3)
    assert tree(tmp_path / "parts") == tree(tmp_path / "once")


@pytest.mark.parametrize("option", ["batch_size", "workers", "height"])
def test_numbers_are_checked_before_anything_is_written(source, tmp_path, option):
    with pytest.raises(UserError, match=f"{option} = 0: must be at least 1"):
        run(source, tmp_path / "out", **{option: 0})
    assert not (tmp_path / "out").exists()

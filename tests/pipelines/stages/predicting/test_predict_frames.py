"""Prediction of frames: every image gets a label map of its own size and name, or a line that says why not.

Killed at any moment, the same command carries on, and the folder ends up byte for byte as if nothing had happened.
"""

import json
import multiprocessing
import os
import signal

import numpy as np
import pytest
from PIL import Image

from pipelines.batch_inference.folder import Intent
from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.shards import Part
from pipelines.data.disk.manifest import Journal, read_manifest
from pipelines.data.images import image_size, read_image, read_raw, write_image
from pipelines.data.labels.label_formats import in_format
from pipelines.errors import Interrupted, NoInputsError, UserError
from pipelines.stages.predicting.predict_frames import overlay, predict_frames, preview_prediction, to_predict
from segment.classes import PALETTE
from tests.pipelines.batch_inference.test_flow import hostile, sorted_by_suffix  # noqa: F401 (a fixture)
from tests.pipelines.batch_inference.translating import forked, in_a_process, killing, tree
from tests.pipelines.stages.predicting.predicting import (
    HEIGHT,
    IDENTITY,
    ByBrightness,
    draw_tree,
    half,
    network_of,
    predict,
)

INTENT = Intent("prediction", {"format": 1, **IDENTITY, "height": HEIGHT, "labels": "train_ids"})
NAMES = ("a", "sub/a", "sub/b c", "ä/ö")


@pytest.fixture
def source(tmp_path):
    return draw_tree(tmp_path / "in")


def test_the_tree_is_mirrored(source, tmp_path):
    outcome = predict(source, tmp_path / "out")
    assert outcome.count_line == "4 frames in = 4 frames out (4 predicted, 0 already there)"
    pictures = {f"labels/{name}.png" for name in NAMES} | {f"overlays/{name}.jpg" for name in NAMES}
    assert tree(tmp_path / "out").keys() == pictures | {"manifest.jsonl", "prediction.json"}
    label_map = read_raw(tmp_path / "out/labels/sub/a.png")
    assert label_map.dtype == np.uint8 and label_map.tolist() == [[0] * 3 + [10] * 4] * 6
    assert image_size(tmp_path / "out/labels/ä/ö.png") == image_size(tmp_path / "out/overlays/ä/ö.jpg") == (16, 12)


def test_the_manifest_tells_what_was_made_of_what(source, tmp_path):
    predict(source, tmp_path / "out")
    entries = read_manifest(tmp_path / "out/manifest.jsonl")
    assert [entry.source for entry in entries] == [f"{name}.png" for name in NAMES]
    assert (entries[1].image, entries[1].overlay) == ("labels/sub/a.png", "overlays/sub/a.jpg")
    plan = json.loads((tmp_path / "out/prediction.json").read_text())
    assert plan == {"format": 1, **IDENTITY, "height": 6, "labels": "train_ids"}


def test_the_network_sees_the_height_asked_for_and_results_keep_the_size(source, tmp_path):
    segmenter = ByBrightness()
    predict(source, tmp_path / "out", segmenter, height=3)
    assert segmenter.heights == [3, 3, 3, 3] and image_size(tmp_path / "out/labels/ä/ö.png") == (16, 12)


@pytest.mark.parametrize(("labels", "dark", "bright"), [("train_ids", 0, 10), ("label_ids", 7, 23)])
def test_label_ids_as_they_are_asked_for(source, tmp_path, labels, dark, bright):
    predict(source, tmp_path / "out", labels=labels)
    assert read_raw(tmp_path / "out/labels/a.png").tolist() == [[dark] * 4 + [bright] * 4] * 6


def test_label_maps_in_colour(source, tmp_path):
    predict(source, tmp_path / "out", labels="colour")
    assert read_image(tmp_path / "out/labels/a.png")[0].tolist() == [list(PALETTE[0])] * 4 + [list(PALETTE[10])] * 4


def test_overlays_only_where_they_are_wanted(source, tmp_path):
    """Frames without an overlay are done again when overlays are wanted; those with one serve either way."""
    predict(source, tmp_path / "out", overlays=False)
    assert not (tmp_path / "out/overlays").exists()
    assert predict(source, tmp_path / "out").made == 4
    assert predict(source, tmp_path / "out", overlays=False).resumed == 4
    assert {entry.overlay for entry in read_manifest(tmp_path / "out/manifest.jsonl")} == {None}


def test_a_bad_file_costs_one_frame(source, tmp_path):
    (source / "broken.png").write_bytes(b"\x89PNG no more")
    outcome = predict(source, tmp_path / "out", overlays=False)
    assert (outcome.made, outcome.failed) == (4, 1)
    (line,) = map(json.loads, (tmp_path / "out/failures.jsonl").read_text().splitlines())
    assert line["source"] == "broken.png" and "broken.png" in line["reason"]


def test_nothing_but_bad_files_is_no_input(source, tmp_path):
    for path in source.rglob("*.png"):
        path.write_bytes(b"\x89PNG no more")
    with pytest.raises(NoInputsError, match=r"None of 4 frames could be predicted; the first: .*a\.png"):
        predict(source, tmp_path / "out")
    with pytest.raises(NoInputsError, match="There are no frames"):
        predict_frames([], tmp_path / "none", network_of(), IDENTITY)


def test_images_that_differ_in_their_suffix_alone_keep_it(source, tmp_path):
    write_image(source / "a.jpg", half(6, 8))
    outcome = predict(source, tmp_path / "out")
    assert outcome.failed == 0
    assert {path.name for path in (tmp_path / "out/labels").iterdir() if path.name.startswith("a.")} == {
        "a.jpg.png",
        "a.png.png",
    }
    (source / "all.txt").write_text("a.jpg\na.png\n")
    planned = to_predict(plan_input(source / "all.txt", tmp_path / "out")[0], overlays=True)
    assert [str(path) for frame in planned for path in (frame.output_image, frame.output_overlay)] == [
        "labels/a.jpg.png", "overlays/a.jpg.jpg", "labels/a.png.png", "overlays/a.png.jpg",
    ]  # fmt: skip


def test_label_maps_whose_names_differ_in_case_alone_are_refused(source, tmp_path):
    """On some disks their label maps would be one file."""
    write_image(source / "A.jpg", half(6, 8))
    with pytest.raises(UserError, match=r"would both be written to labels/[aA]\.png; rename one"):
        predict(source, tmp_path / "out")


@pytest.mark.parametrize("output", ["in", "in/out", "."])
def test_output_and_input_within_each_other_are_refused(source, tmp_path, output):
    """The second run would take the label maps of the first for images; or overwrite what it reads."""
    with pytest.raises(UserError, match="choose an --output beside the input"):
        predict(source, tmp_path / output)
    assert len(list(tmp_path.rglob("*.png"))) == 4


def test_overlay_paints_classes_and_leaves_ignored_pixels():
    image = np.full((1, 2, 3), 100, np.uint8)
    painted = overlay(image, np.array([[13, 255]], np.uint8))
    expected = [round(0.45 * 100 + 0.55 * channel) for channel in PALETTE[13]]
    assert np.abs(painted[0, 0].astype(int) - expected).max() <= 1
    assert painted[0, 1].tolist() == [100, 100, 100]


# --- resumed ----------------------------------------------------------------------------------------------------------


def test_what_is_whole_is_kept_and_what_is_not_is_done_again(source, tmp_path):
    predict(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert predict(source, tmp_path / "out").resumed == 4 and tree(tmp_path / "out") == before
    (tmp_path / "out/labels/a.png").write_bytes(b"spoiled")
    (tmp_path / "out/overlays/sub/a.jpg").unlink()
    segmenter = ByBrightness()
    assert predict(source, tmp_path / "out", segmenter).resumed == 2 and len(segmenter.heights) == 2
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"identity": IDENTITY | {"checkpoint_sha256": "d" * 64}}, "checkpoint was"),
        ({"height": 4}, "height was 6 and is 4"),
        ({"labels": "colour"}, "labels was train_ids and is colour"),
    ],
)
def test_predictions_of_another_kind_are_refused_or_set_aside(source, tmp_path, changed, said):
    predict(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(UserError, match=f"holds another prediction: {said}"):
        predict(source, tmp_path / "out", **changed)
    assert tree(tmp_path / "out") == before
    assert predict(source, tmp_path / "out", restart=True, **changed).made == 4
    assert tree(tmp_path / "out.replaced-1") == before


def test_a_folder_of_something_else_is_refused(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("precious")
    with pytest.raises(UserError, match=r"exists and is no prediction \(it has no prediction.json\)"):
        predict(source, tmp_path / "out", restart=True)


def test_two_processes_in_one_folder(source, tmp_path):
    predict(source, tmp_path / "out")
    with Journal(tmp_path / "out/.journal.jsonl"), pytest.raises(UserError, match="another process is at work in it"):
        predict(source, tmp_path / "out")


def test_asked_to_stop_it_keeps_what_is_done(source, tmp_path):
    seen = []
    with pytest.raises(Interrupted, match=r"stopped at [1-3] of 4 frames; the same command carries on"):
        predict(
            source, tmp_path / "out", workers=1, progress=lambda done, total: seen.append(done),
            stop_requested=lambda: len(seen) > 1,
        )  # fmt: skip
    assert not (tmp_path / "out/manifest.jsonl").exists()
    assert predict(source, tmp_path / "out").resumed >= 1


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_call_to_the_file_system(source, tmp_path, call, after):
    """Every third call, so that the whole thing takes seconds; before or after it acts."""
    predict(source, tmp_path / "undisturbed")
    undisturbed, at, status, kept = tree(tmp_path / "undisturbed"), 1, signal.SIGKILL, set()
    while status == signal.SIGKILL:
        output = tmp_path / f"out-{at}"

        def until_killed():
            setattr(os, call, killing(getattr(os, call), at, after))  # noqa: B023
            predict(source, output, workers=1)  # noqa: B023

        status = in_a_process(until_killed)
        kept.add(predict(source, output).resumed)
        assert tree(output) == undisturbed
        at += 3
    assert status == 0 and len(kept) > 2


# --- several processes ------------------------------------------------------------------------------------------------


class Meeting(ByBrightness):
    """Waits, at its first frame, until the segmenters of all parts are at theirs."""

    def __init__(self, barrier):
        super().__init__()
        self.barrier = barrier

    def label_map(self, image, size):
        if not self.heights:
            self.barrier.wait(30)
        return super().label_map(image, size)


@pytest.fixture
def undisturbed(source, tmp_path):
    """The tree that a single process makes, of four good frames and a bad one."""
    (source / "cut.png").write_bytes(b"\x89PNG no more")
    predict(source, tmp_path / "undisturbed")
    return tree(tmp_path / "undisturbed")


def parts(count):
    return [Part(index, count) for index in range(1, count + 1)]


@pytest.mark.parametrize(("count", "with_work"), [(2, 2), (4, 3)])
def test_parts_at_the_same_time(source, tmp_path, undisturbed, count, with_work):
    """The second of the five frames cannot be read; of four parts, one has no other."""
    barrier = multiprocessing.get_context("fork").Barrier(with_work)

    def do(part):
        predict(source, tmp_path / "out", Meeting(barrier), part=part)

    children = [forked(lambda: do(part)) for part in parts(count)]  # noqa: B023
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * count
    assert tree(tmp_path / "out") == undisturbed


def test_parts_one_after_the_other(source, tmp_path, undisturbed):
    first = predict(source, tmp_path / "out", part=Part(1, 2))
    assert first.count_line.startswith("part 1/2: 3 frames in = 3 frames out (3 predicted, 0 already there)")
    assert not (tmp_path / "out/manifest.jsonl").exists()
    second = predict(source, tmp_path / "out", part=Part(2, 2))
    assert second.count_line.startswith("5 frames in, 4 frames out (1 predicted, 3 already there); 1 failed")
    assert tree(tmp_path / "out") == undisturbed


@pytest.mark.parametrize("call", ["replace", "unlink", "fsync"])
def test_parts_killed_around_every_call_to_the_file_system(source, tmp_path, call):
    """Both parts die at the same call; then two parts in the other order finish what is there."""
    predict(source, tmp_path / "undisturbed")
    undisturbed, at, statuses = tree(tmp_path / "undisturbed"), 0, [signal.SIGKILL]
    while signal.SIGKILL in statuses:
        at, output = at + 1, tmp_path / f"out-{at}"

        def until_killed(part):
            setattr(os, call, killing(getattr(os, call), at))  # noqa: B023
            predict(source, output, workers=1, part=part)  # noqa: B023

        statuses = [in_a_process(lambda: until_killed(part)) for part in parts(2)]  # noqa: B023
        for part in reversed(parts(2)):
            predict(source, output, part=part)
        assert tree(output) == undisturbed
    assert statuses == [0, 0] and at > 2


def test_one_process_finishes_what_parts_began(source, tmp_path, undisturbed):
    predict(source, tmp_path / "out", part=Part(2, 3))
    assert predict(source, tmp_path / "out").resumed == 1
    assert tree(tmp_path / "out") == undisturbed


def test_parts_add_overlays(source, tmp_path, undisturbed):
    predict(source, tmp_path / "out", overlays=False)
    first, second = parts(2)
    predict(source, tmp_path / "out", part=first)
    assert not (tmp_path / "out/manifest.jsonl").exists(), "half of the overlays are missing"
    predict(source, tmp_path / "out", part=second)
    assert tree(tmp_path / "out") == undisturbed


def test_parts_set_another_prediction_aside_once(source, tmp_path, undisturbed):
    predict(source, tmp_path / "out", height=4)
    for part in parts(2):
        predict(source, tmp_path / "out", part=part, restart=True)
    assert tree(tmp_path / "out") == undisturbed and not (tmp_path / "out.replaced-2").exists()


# --- a look before ----------------------------------------------------------------------------------------------------


def test_a_preview_tells_what_is_done_and_where_it_goes(source, tmp_path, undisturbed):
    output = tmp_path / "out"
    predict(source, output, part=Part(1, 2))
    before = tree(tmp_path)
    plan = to_predict(plan_input(source, output)[0], overlays=True)
    lines, found = preview_prediction(plan, output, "the fastest", INTENT)
    assert lines[0] == "5 frames: 5 .png; 3 of them listed as finished"
    assert lines[2] == f"to {output}/labels and {output}/overlays, by the fastest"
    assert lines[-1] == "dry run: nothing was written" and lines[-2].startswith("would fail: ")
    # Left is 6x8 (48 pixels, at 0.04 bytes for the label map and 0.45 for the overlay) and what cannot be read.
    assert found.bytes_needed == pytest.approx(48 * 0.49, abs=1) and len(found.unreadable) == 1
    assert tree(tmp_path) == before


def test_a_preview_of_a_part_without_overlays(source, tmp_path):
    plan = to_predict(plan_input(source, tmp_path / "out")[0], overlays=False)
    lines, _ = preview_prediction(plan, tmp_path / "out", "torch", INTENT, Part(1, 2))
    assert lines[0] == "2 frames in part 1/2: 2 .png; 0 of them listed as finished"
    assert lines[2] == f"to {tmp_path / 'out'}/labels, by torch"
    assert not (tmp_path / "out").exists()


# --- odd and hostile files --------------------------------------------------------------------------------------------


def test_a_stripe_that_would_take_all_memory_costs_one_frame(source, tmp_path):
    write_image(source / "stripe.png", half(1, 9000))
    outcome = predict(source, tmp_path / "out", height=4096)
    assert outcome.failed == 1 and "9000x1 pixels are too long a stripe at height 4096" in outcome.failures[0].reason


def test_an_overlay_that_no_jpeg_can_hold_costs_one_frame(source, tmp_path):
    write_image(source / "long.png", half(1, 66000))
    outcome = predict(source, tmp_path / "out", height=1)
    assert outcome.failed == 1 and "66000x1 pixels do not fit into .jpg" in outcome.failures[0].reason
    assert not (tmp_path / "out/labels/long.png").exists()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_hostile_files(hostile, tmp_path):  # noqa: F811
    """The sixty files of the translation's test: each is predicted right or listed, and the process lives."""
    folder, bad, fine = hostile
    source = sorted_by_suffix(folder, tmp_path / "in")
    bad = {f"{name.rsplit('.')[-1]}/{name}" for name in bad}
    fine = {f"{name.rsplit('.')[-1]}/{name}" for name in fine if "/" not in name}
    outcome = predict(source, tmp_path / "out", height=40)
    lines = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert {line["source"] for line in lines} == bad
    assert all("\n" not in line["reason"] for line in lines)
    entries = read_manifest(tmp_path / "out/manifest.jsonl")
    assert {entry.source for entry in entries} == fine and (outcome.made, outcome.failed) == (len(fine), len(bad))
    for entry in entries:
        image, label_map = read_image(source / entry.source), read_raw(tmp_path / "out" / entry.image)
        assert label_map.shape == image.shape[:2]
        if image.shape[0] == 40:  # the network saw it as it is
            assert (label_map == np.where(image[..., 0] > 127, 10, 0)).all(), entry.source
    assert not [name for name in tree(tmp_path / "out") if name.endswith(".part")]


def test_formats_agree_with_the_palette_that_pillow_sees(source, tmp_path):
    """A label map is grey to every reader; the colour one says the same in RGB."""
    predict(source, tmp_path / "out", labels="label_ids")
    with Image.open(tmp_path / "out/labels/a.png") as written:
        assert (written.mode, written.size) == ("L", (8, 6))
    assert in_format(np.array([[255]], np.uint8), "label_ids").tolist() == [[0]]

"""Predictions from elsewhere: found by name, counted by one process or several, and refused when they do not fit."""

import functools
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipelines.data.disk.json_files import write_json
from pipelines.data.frames import FrameSet
from pipelines.data.images import encode_png
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.errors import BusyError, ImageError, NoInputsError, UserError
from pipelines.stages.evaluation import evaluate_predictions as evaluating
from pipelines.stages.evaluation.evaluate import held_for_evaluation, labelled_frames
from pipelines.stages.evaluation.evaluate_predictions import (
    evaluate_predictions,
    find_predictions,
    folder_of_predictions,
)
from pipelines.stages.evaluation.evaluation_counts import Measures
from tests.pipelines.stages.evaluation.scored import CAR, CITYSCAPES_ID, ROAD, VOID, frame_set

LABELS = [[ROAD, CAR]], [[CAR, CAR]]


@pytest.fixture
def sets(tmp_path):
    return [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, *LABELS)]


def write(path, values, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.array(values, dtype)))
    return path


def predicted(folder, *names):
    """Both frames, in each of which one of two pixels is a car that is not there."""
    write(folder / names[0], [[CAR, CAR]])
    write(folder / names[1], [[CAR, ROAD]])
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_counted_by_hand(sets, tmp_path, workers):
    """Car: 2 hits, one miss, one false alarm; road: none of two."""
    folder = predicted(tmp_path / "p", "city/0.png", "city/1.png")
    evaluation = evaluate_predictions(sets, folder, "train_ids", tmp_path / "out", workers, Measures(boundary=True))
    assert evaluation.names == ["val/city/0", "val/city/1"]
    assert evaluation.iou()[CAR] == 0.5 and evaluation.iou()[ROAD] == 0
    assert (tmp_path / "out/evaluation.json").exists() and (tmp_path / "out/frames.csv").exists()
    assert evaluation.boundaries is not None


def test_processes_that_count_leave_signals_to_the_one_that_asks(sets, tmp_path, monkeypatch, capfd):
    """A terminal's Ctrl-C goes to all of them."""
    count = evaluating.count_predicted

    @functools.wraps(count)  # a process is told its name
    def signalled(task):
        os.kill(os.getpid(), signal.SIGINT)
        return count(task)

    monkeypatch.setattr(evaluating, "count_predicted", signalled)
    folder = predicted(tmp_path / "p", "city/0.png", "city/1.png")
    assert evaluate_predictions(sets, folder, "train_ids", tmp_path / "out", 1).iou()[CAR] == 0.5
    assert capfd.readouterr().err == ""


def test_label_ids(sets, tmp_path):
    """26 is a car, 7 road, 0 nothing."""
    write(tmp_path / "p/city/0.png", [[7, 26]])
    write(tmp_path / "p/city/1.png", [[0, 26]])
    evaluation = evaluate_predictions(sets, tmp_path / "p", "label_ids", tmp_path / "out")
    assert evaluation.iou()[ROAD] == 1 and evaluation.iou()[CAR] == pytest.approx(2 / 3)


def test_ids_of_the_other_kind_are_named(sets, tmp_path):
    """Road and car are 0 and 13 as train ids, 7 and 26 as label ids; all values are valid in both."""
    write(tmp_path / "as_label_ids/0.png", [[7, 26]])
    write(tmp_path / "as_label_ids/1.png", [[26, 26]])
    with pytest.raises(UserError, match=r"read as train_ids, 0\.0% .*label_ids, 100\.0%\. Use --predicted label_ids"):
        evaluate_predictions(sets, tmp_path / "as_label_ids", "train_ids", tmp_path / "out")
    write(tmp_path / "as_train_ids/0.png", [[0, 13]])
    write(tmp_path / "as_train_ids/1.png", [[13, 13]])
    with pytest.raises(UserError, match="Use --predicted train_ids"):
        evaluate_predictions(sets, tmp_path / "as_train_ids", "label_ids", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_net_that_sees_one_class_everywhere_is_scored(sets, tmp_path):
    """26 is a car only as a label id, but a single class can be right by accident."""
    write(tmp_path / "p/0.png", [[26, 26]])
    write(tmp_path / "p/1.png", [[26, 26]])
    assert evaluate_predictions(sets, tmp_path / "p", "train_ids", tmp_path / "out").iou()[CAR] == 0


def test_predictions_with_a_palette_are_read_by_its_colours(sets, tmp_path):
    for name, indices in (("0", [[1, 0]]), ("1", [[0, 0]])):
        image = Image.fromarray(np.array(indices, np.uint8), mode="P")
        image.putpalette([0, 0, 142, 128, 64, 128])  # car, road
        (tmp_path / "p").mkdir(exist_ok=True)
        image.save(tmp_path / f"p/{name}.png")
    for kind in ("train_ids", "label_ids"):
        evaluation = evaluate_predictions(sets, tmp_path / "p", kind, tmp_path / kind)
        assert evaluation.iou()[CAR] == evaluation.iou()[ROAD] == 1


def test_labels_without_a_class_leave_nothing_to_score(tmp_path):
    nothing = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[VOID, VOID]])]
    with pytest.raises(NoInputsError, match="no label map of val has a pixel of a class, so there is nothing to score"):
        labelled_frames(nothing)


@pytest.mark.parametrize("place", ["{}.png", "val/{}.png", "labels/{}.png", "predictions/val/{}.png"])
def test_found_at_their_own_path(sets, tmp_path, place):
    folder = predicted(tmp_path / "p", place.format("city/0"), place.format("city/1"))
    assert [path.name for path in find_predictions(folder, labelled_frames(sets))] == ["0.png", "1.png"]


def test_found_by_their_name_anywhere(sets, tmp_path):
    folder = predicted(tmp_path / "p", "deep/down/0.png", "1.png")
    assert [path.name for path in find_predictions(folder, labelled_frames(sets))] == ["0.png", "1.png"]


def test_what_is_missing_or_ambiguous_is_named(sets, tmp_path):
    folder = predicted(tmp_path / "p", "0.png", "2.png")
    with pytest.raises(UserError, match="no PNG for frame 'city/1'"):
        find_predictions(folder, labelled_frames(sets))
    predicted(tmp_path / "p", "1.png", "other/1.png")
    with pytest.raises(UserError, match="two files for frame 'city/1'"):
        find_predictions(folder, labelled_frames(sets))
    with pytest.raises(UserError, match="no such folder"):
        find_predictions(tmp_path / "gone", labelled_frames(sets))


def test_one_file_is_the_prediction_of_one_frame(tmp_path):
    """Frames of two drives with one name, and the prediction of one of them: the other's is missing, not the same."""
    (tmp_path / "labels").mkdir()
    write(tmp_path / "labels/road.png", [[0]])
    frames = [Frame(name, tmp_path / f"{name}.png", tmp_path / "labels/road.png") for name in ("a/0", "b/0")]
    places = [(FrameSet("val", tmp_path, frames, []), index) for index in range(2)]
    folder = tmp_path / "p"
    write(folder / "a/0.png", [[0]])
    with pytest.raises(UserError, match=r"a/0\.png has the name of two frames, 'a/0' and 'b/0'.* expected a/0"):
        find_predictions(folder, places)
    write(folder / "b/0.png", [[0]])
    assert find_predictions(folder, places) == [folder / "a/0.png", folder / "b/0.png"]


def test_a_folder_that_another_process_evaluates_into_is_left_to_it(sets, tmp_path):
    folder = predicted(tmp_path / "p", "0.png", "1.png")
    with (
        held_for_evaluation(tmp_path / "out"),
        pytest.raises(BusyError, match="out: another process evaluates into it"),
    ):
        evaluate_predictions(sets, folder, "train_ids", tmp_path / "out")


def test_figures_of_before_do_not_outlive_the_counts(sets, tmp_path):
    folder = predicted(tmp_path / "p", "0.png", "1.png")
    evaluate_predictions(sets, folder, "train_ids", tmp_path / "out")
    write(folder / "1.png", [[0, 0, 0]])
    with pytest.raises(ImageError):
        evaluate_predictions(sets, folder, "train_ids", tmp_path / "out")
    assert not (tmp_path / "out/evaluation.json").exists()


def test_the_place_of_an_evaluation_of_a_network_is_not_taken(tmp_path):
    """--output may have put one there."""
    workspace = SimpleNamespace(run=tmp_path / "run", on_part=lambda name: name)
    kept = workspace.run / "evaluation/p"
    assert folder_of_predictions(workspace, tmp_path / "p") == kept
    write_json(kept / "evaluation.json", {"identity": {"checkpoint": "0a1b"}})
    with pytest.raises(UserError, match=r"evaluation/p is the evaluation of a network; say with --output"):
        folder_of_predictions(workspace, tmp_path / "p")


@pytest.mark.parametrize("workers", [0, 1])
def test_another_size_is_refused_and_named(sets, tmp_path, workers):
    predicted(tmp_path / "p", "city/0.png", "city/1.png")
    write(tmp_path / "p/city/1.png", [[0, 0, 0]])
    with pytest.raises(ImageError, match=r"city/1\.png: the prediction is uint8 \(1, 3\), expected uint8 \(1, 2\)"):
        evaluate_predictions(sets, tmp_path / "p", "train_ids", tmp_path / "out", workers)


def test_without_labels_there_is_nothing_to_score(tmp_path):
    with pytest.raises(NoInputsError):
        evaluate_predictions([FrameSet("bare", tmp_path, [], [])], tmp_path, "train_ids", tmp_path / "out")

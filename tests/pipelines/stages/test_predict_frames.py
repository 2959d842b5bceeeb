"""Prediction for folders: every image gets a label map of its own size and name, or a line that says why not."""

import numpy as np
import pytest

from pipelines.data.images import read_image, read_raw, write_image
from pipelines.errors import NoInputsError, UserError
from pipelines.stages.evaluate import predictor
from pipelines.stages.predict_frames import output_places, overlay, predict_folder
from pipelines.stages.train_segmenter import load_segmenter
from segment.classes import PALETTE


def by_brightness(image, size):
    """Class 0 where the image is dark, 10 where it is bright."""
    assert image.shape[:2] == size
    return np.where(image[..., 0] > 127, 10, 0).astype(np.uint8)


def half(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


@pytest.fixture
def source(tmp_path):
    for name, size in (("a", (6, 8)), ("sub/a", (5, 7)), ("sub/b c", (6, 8))):
        write_image(tmp_path / f"in/{name}.png", half(*size))
    (tmp_path / "in/notes.txt").write_text("not an image")
    return tmp_path / "in"


def test_the_tree_is_mirrored(source, tmp_path):
    summary = predict_folder(by_brightness, source, tmp_path / "out", overlays=True)
    assert (summary.predicted, summary.failed) == (3, [])
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert files == [
        f"{kind}/{name}"
        for kind, end in (("labels", "png"), ("overlays", "jpg"))
        for name in (f"a.{end}", f"sub/a.{end}", f"sub/b c.{end}")
    ]
    label_map = read_raw(tmp_path / "out/labels/sub/a.png")
    assert label_map.dtype == np.uint8 and label_map.tolist() == [[0] * 3 + [10] * 4] * 5


def test_no_overlays_where_none_are_wanted(source, tmp_path):
    predict_folder(by_brightness, source, tmp_path / "out", overlays=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels"]


def test_a_bad_file_costs_one_image(source, tmp_path):
    (source / "broken.png").write_bytes(b"\x89PNG no more")
    summary = predict_folder(by_brightness, source, tmp_path / "out", overlays=False)
    assert summary.predicted == 3
    ((path, reason),) = summary.failed
    assert path == source / "broken.png" and "broken.png" in reason and "\n" not in reason


def test_nothing_but_bad_files_is_no_input(source, tmp_path):
    for path in source.rglob("*.png"):
        path.write_bytes(b"\x89PNG no more")
    with pytest.raises(NoInputsError, match=r"None of 3 images could be read; the first: .*a\.png"):
        predict_folder(by_brightness, source, tmp_path / "out", overlays=False)


def test_two_images_of_one_name_are_refused(source):
    write_image(source / "a.jpg", half(6, 8))
    with pytest.raises(UserError, match=r"same output a\.png; rename one"):
        output_places(source)


def test_no_image_and_no_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputsError, match="holds no image"):
        output_places(tmp_path / "empty")
    with pytest.raises(UserError, match="is not a folder"):
        output_places(tmp_path / "missing")


@pytest.mark.parametrize("output", ["in", "in/out", "."])
def test_output_and_input_within_each_other_are_refused(source, tmp_path, output):
    """The second run would take the label maps of the first for images; or overwrite what it reads."""
    with pytest.raises(UserError, match="choose an --output beside the input"):
        predict_folder(by_brightness, source, tmp_path / output, overlays=False)
    assert len(list(tmp_path.rglob("*.png"))) == 3


def test_overlay_paints_classes_and_leaves_ignored_pixels(tmp_path):
    image = np.full((1, 2, 3), 100, np.uint8)
    painted = overlay(image, np.array([[13, 255]], np.uint8))
    expected = [round(0.45 * 100 + 0.55 * channel) for channel in PALETTE[13]]
    assert np.abs(painted[0, 0].astype(int) - expected).max() <= 1
    assert painted[0, 1].tolist() == [100, 100, 100]


def test_predictions_equal_those_of_the_evaluation(tiny_run, make_workspace, tmp_path, cpu):
    frames = make_workspace(run=tiny_run).validation[0]
    for index, frame in enumerate(frames.frames):
        write_image(tmp_path / "in" / f"{frame.name}.png", frames.read_image(index))
    network, settings, _ = load_segmenter(tiny_run / "seed-0/oracle", cpu)
    predict_folder(predictor(network, settings.height, cpu), tmp_path / "in", tmp_path / "out", overlays=False)
    for frame in frames.frames:
        kept = tiny_run / "seed-0/oracle/evaluation/predictions/camera_val" / f"{frame.name}.png"
        assert read_image(tmp_path / "out/labels" / f"{frame.name}.png").tobytes() == read_image(kept).tobytes()

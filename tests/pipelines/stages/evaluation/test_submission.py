"""Predictions as the benchmark wants them: names, ids, sizes, and frames without labels."""

import numpy as np
import pytest

from pipelines.data.frames import FrameSet
from pipelines.data.images import read_raw, write_image
from pipelines.data.readers.layout import Frame
from pipelines.errors import UserError
from pipelines.stages.evaluation.scores import prediction_path
from pipelines.stages.evaluation.submission import frame_code, refuse_other_names, write_submission

ROAD, BICYCLE = 0, 18


def frames_named(folder, *names):
    frames = []
    for name in names:
        write_image(folder / f"{name}.png", np.zeros((2, 3, 3), np.uint8))
        frames.append(Frame(name, folder / f"{name}.png"))
    return [FrameSet("test", folder, frames, [])]


def test_the_official_part_of_a_name():
    assert frame_code("frankfurt_000001_054640_leftImg8bit") == "frankfurt_000001_054640"
    assert frame_code("bad-honnef_000000_000000") == "bad-honnef_000000_000000"
    assert frame_code("0001TP_006690") is None


def test_label_ids_by_official_names(tmp_path):
    """One frame was predicted by the evaluation, the other has no label and is predicted now, at its own size."""
    sets = frames_named(tmp_path, "berlin/berlin_000000_000019", "bonn/bonn_000001_000019")
    write_image(
        prediction_path(tmp_path / "evaluation", "test/berlin/berlin_000000_000019"), np.full((2, 3), ROAD, np.uint8)
    )
    asked = []

    def predict_one(image, size):
        asked.append(size)
        return np.full(size, BICYCLE, np.uint8)

    assert write_submission(sets, tmp_path / "evaluation", predict_one, tmp_path / "out") == 2
    assert asked == [(2, 3)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "berlin_000000_000019_pred_labelIds.png",
        "bonn_000001_000019_pred_labelIds.png",
    ]
    assert (read_raw(tmp_path / "out/berlin_000000_000019_pred_labelIds.png") == 7).all()
    assert (read_raw(tmp_path / "out/bonn_000001_000019_pred_labelIds.png") == 33).all()


def test_other_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="is not named CITY_123456_123456"):
        refuse_other_names(frames_named(tmp_path, "0001TP_006690"))
    with pytest.raises(UserError, match="would be written to one file, a_000000_000000"):
        refuse_other_names(frames_named(tmp_path, "x/a_000000_000000", "y/a_000000_000000"))

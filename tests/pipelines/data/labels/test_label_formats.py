"""Label maps as they are written: what is written is what the readers of such files read back."""

import numpy as np
import pytest

from pipelines.data.images import encode_png
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.labels.label_formats import coloured, in_format
from segment.classes import PALETTE

ALL = np.array([[*range(19), 255]], np.uint8)


@pytest.mark.parametrize(("label_format", "encoding"), [("train_ids", "labelTrainIds"), ("label_ids", "labelIds")])
def test_the_reader_reads_it_back(tmp_path, label_format, encoding):
    (tmp_path / "a.png").write_bytes(encode_png(in_format(ALL, label_format)))
    assert cityscapes(encoding).decode(tmp_path / "a.png").tolist() == ALL.tolist()


def test_some_label_ids_of_the_benchmark():
    """Road 7, sidewalk 8, building 11, sky 23, car 26, bicycle 33; unlabelled 0."""
    ids = in_format(np.array([[0, 1, 2, 10, 13, 18, 255]], np.uint8), "label_ids")
    assert ids.tolist() == [[7, 8, 11, 23, 26, 33, 0]] and ids.dtype == np.uint8


def test_colours_are_those_of_the_palette():
    assert coloured(ALL)[0].tolist() == [list(colour) for colour in PALETTE] + [[0, 0, 0]]
    assert (in_format(ALL, "colour") == coloured(ALL)).all()
    assert coloured(ALL.repeat(3, 0)[:, ::2]).shape == (3, 10, 3)  # not contiguous


def test_train_ids_are_left_alone():
    assert in_format(ALL, "train_ids") is ALL

"""Frames on disk for the tests of single stages."""

import numpy as np
import pytest

from pipelines.data.images import write_image
from tests.pipelines.batch_inference.translating import NAMES, paint


@pytest.fixture
def source(tmp_path):
    """A labelled data set of five frames of two sizes."""
    root = tmp_path / "in"
    for seed, name in enumerate(NAMES):
        size = (6, 8) if seed < 3 else (5, 7)
        write_image(root / "rgb" / f"{name}.png", paint(seed, *size))
        write_image(root / "ids" / f"{name}.png", np.full(size, 7 + seed, np.uint8))
    return root


@pytest.fixture
def photos(tmp_path):
    """Four images in two folders, three of them with an instance map, and a list of two of them."""
    root = tmp_path / "in"
    for number, name in enumerate(("a/0", "a/1", "b/0", "b/1")):
        write_image(root / "rgb" / f"{name}.{'jpg' if number == 3 else 'png'}", paint(number))
        if number < 3:
            write_image(root / "instance" / f"{name}.png", np.full((6, 8), number, np.uint16))
    (root / "some.txt").write_text("rgb/b/0.png\nrgb/a/1.png\n")
    return root

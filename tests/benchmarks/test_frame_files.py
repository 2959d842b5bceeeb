"""The cost of a frame's files is measured on the files themselves."""

import numpy as np

from benchmarks.frame_files import timed
from pipelines.data.images import read_image, write_image


def test_what_is_read_and_written_is_counted(tmp_path):
    frame = tmp_path / "in.png"
    write_image(frame, np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8))
    found = timed(frame, tmp_path)
    assert found["read MB"] == found["written MB"] == frame.stat().st_size / 1e6  # our own encoding again
    assert all(found[name] > 0 for name in ("decode ms", "encode ms", "write ms"))
    assert np.array_equal(read_image(tmp_path / "frame.png"), read_image(frame))

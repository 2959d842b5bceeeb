"""The rows of `benchmarks/live_frames.py`: a frame goes through whole and by tiles, and memory is counted upwards."""

import numpy as np
import torch

from benchmarks.live_frames import drawn_frame, line, measure, opened
from pipelines.engine.launch import choose_machine


def test_a_frame_comes_back_at_its_size_whole_and_by_tiles():
    """...the same but for rounding."""
    frame, machine = drawn_frame(53, 35), choose_machine("cpu")
    assert frame.shape == (35, 53, 3) and frame.dtype == np.uint8
    whole, tiled = (opened("pyramid:4", machine, tile).translated([frame]) for tile in (None, 16))
    assert whole.shape == (1, 3, 35, 53)
    torch.testing.assert_close(tiled, whole, atol=1e-3, rtol=0)


def test_a_row_has_all_figures():
    found = measure("unet_light:2", "40x24", "cpu", torch.get_num_threads(), warmup=0, repeats=1, tile=16)
    assert found["wall_ms"] > 0 and found["peak_mb"] > found["frame_mb"] >= 0
    assert line(found).split()[:5] == ["unet_light:2", "40x24", "tiles", "of", "16"]

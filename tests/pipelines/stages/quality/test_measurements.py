"""What is measured of single frames: the motion between two."""

import numpy as np
import pytest

from pipelines.stages.quality.measurements import optical_flow


def test_a_flow_finds_a_shift():
    blocks = np.random.default_rng(0).integers(40, 200, (8, 12, 3), dtype=np.uint8)
    image = blocks.repeat(8, 0).repeat(8, 1)
    flow = optical_flow(image[:, 4:], image[:, :-4])  # a pixel is 4 further right in the second
    assert float(flow[0, 0, 16:48, 16:72].median()) == pytest.approx(4, abs=0.5)
    assert float(flow[0, 1, 16:48, 16:72].median()) == pytest.approx(0, abs=0.5)

"""Vehicle models: outlines that close, windows within them, wheels on the ground."""

import numpy as np
import pytest

from pipelines.data.toyworld.scenery.stencils import stencil_number
from pipelines.data.toyworld.scenery.vehicles import VEHICLES


@pytest.mark.parametrize("kind", VEHICLES)
def test_the_outline_runs_from_rear_to_front_and_is_covered(kind):
    model = VEHICLES[kind]
    assert model.outline[0] == (0, 0) and model.outline[-1] == (1, 0)
    assert max(y for _, y in model.outline) == 1, "the height is that of the highest corner"
    assert [x for x, _ in model.outline] == sorted(x for x, _ in model.outline)
    assert len(model.pieces) == len(model.outline) - 1
    stencils = {
        f"{kind} windscreen" if look == "windscreen" else look for look in model.pieces if isinstance(look, str)
    }
    assert all(stencil_number(name) >= 0 for name in stencils)


@pytest.mark.parametrize("kind", VEHICLES)
def test_windows_lie_within_the_outline(kind):
    model = VEHICLES[kind]
    across, up = zip(*model.outline, strict=True)
    for x, y in (corner for window in model.windows for corner in window):
        assert y < np.interp(x, across, up), (x, y)


@pytest.mark.parametrize("kind", VEHICLES)
def test_wheels_lie_within_the_length(kind):
    model = VEHICLES[kind]
    reach = model.wheel_m / model.length
    assert min(model.axles) - reach > 0 and max(model.axles) + reach < 1 and 2 * model.wheel_m < model.height


def test_a_row_of_windows_worked_out_by_hand():
    # Seven windows from 0.03 to 0.98 of a bus: a pitch of 0.95 / 7 = 0.135714, nine tenths of it glass.
    first, *_, last = VEHICLES["bus"].windows
    assert len(VEHICLES["bus"].windows) == 7
    assert [x for x, _ in first] == pytest.approx([0.03, 0.03, 0.152143, 0.152143])
    assert [x for x, _ in last] == pytest.approx([0.844286, 0.844286, 0.966429, 0.966429])
    assert [y for _, y in first] == [0.5, 0.84, 0.84, 0.5]

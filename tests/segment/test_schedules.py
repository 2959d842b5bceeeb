"""Learning-rate schedules."""

import pytest

from segment.schedules import cosine_with_warmup, poly_with_warmup, schedule_of


def test_the_rate_rises_to_one_and_falls():
    # Four steps of 1/4 to one, of which the last is the first of the fall; then (1 - k/4) over the remaining four.
    factors = [poly_with_warmup(step, steps=7, warmup_steps=3, power=1.0) for step in range(7)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25])


def test_without_warmup_the_first_step_is_at_full_rate():
    assert poly_with_warmup(0, steps=10, warmup_steps=0) == 1.0
    assert poly_with_warmup(5, steps=10, warmup_steps=0) == pytest.approx(0.5**0.9)


def test_the_last_step_still_learns():
    assert poly_with_warmup(9, steps=10, warmup_steps=2) > 0


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_schedule_is_refused(step):
    with pytest.raises(ValueError, match=f"Step {step} lies outside the schedule of 10 steps"):
        poly_with_warmup(step, steps=10, warmup_steps=0)


@pytest.mark.parametrize("warmup_steps", [-1, 10])
def test_a_warmup_that_does_not_fit_is_refused(warmup_steps):
    with pytest.raises(ValueError, match=f"warmup_steps is {warmup_steps}; .* below steps, which is 10"):
        poly_with_warmup(0, steps=10, warmup_steps=warmup_steps)


def test_the_cosine_falls_slowly_at_both_ends():
    # After the warm-up (1 + cos(pi k / 4)) / 2: 1, 0.854, 0.5, 0.146.
    factors = [cosine_with_warmup(step, steps=7, warmup_steps=3) for step in range(7)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.8536, 0.5, 0.1464], abs=1e-4)


def test_schedules_by_name():
    assert schedule_of("poly", 10, 2, 0.5)(6) == poly_with_warmup(6, 10, 2, 0.5)
    assert schedule_of("cosine", 10, 2)(6) == cosine_with_warmup(6, 10, 2)
    with pytest.raises(ValueError, match="no schedule 'step'; choose one of poly, cosine"):
        schedule_of("step", 10, 2)


@pytest.mark.parametrize("name", ["poly", "cosine"])
def test_a_schedule_that_does_not_fit_is_refused_when_it_is_made(name):
    with pytest.raises(ValueError, match="warmup_steps is 10"):
        schedule_of(name, 10, 10)

"""The learning rate's decay, at the numbers of the paper."""

import pytest

from translate.schedules import SCHEDULES, cosine_decay, linear_decay, step_decay


def rate(epoch):
    """CycleGAN's learning rate in an epoch counted from 1: a hundred at 2e-4, a hundred of decay."""
    return 2e-4 * linear_decay(epoch - 1, constant_steps=100, decay_steps=100)


@pytest.mark.parametrize("epoch", [1, 50, 99, 100])
def test_the_first_hundred_epochs_run_at_the_full_rate(epoch):
    # Stepping the scheduler when an epoch begins would give 1.98e-4 in epoch 100: one early.
    assert rate(epoch) == 2e-4


def test_falls_in_equal_parts():
    differences = [rate(epoch) - rate(epoch + 1) for epoch in range(100, 200)]
    assert differences == pytest.approx([2e-4 / 101] * 100)


def test_the_last_epoch_still_learns():
    assert rate(200) == pytest.approx(2e-4 / 101)


def test_after_the_end_nothing_is_learnt():
    assert rate(201) == 0
    assert rate(1000) == 0


def test_without_decay_the_rate_is_constant():
    assert [linear_decay(step, constant_steps=3, decay_steps=0) for step in range(3)] == [1, 1, 1]


def test_decay_from_the_start():
    assert [linear_decay(step, 0, 3) for step in range(3)] == pytest.approx([0.75, 0.5, 0.25])


@pytest.mark.parametrize("arguments", [(-1, 1, 1), (0, -1, 1), (0, 1, -1)])
def test_refuses_negative_steps(arguments):
    with pytest.raises(ValueError, match="cannot be negative"):
        linear_decay(*arguments)


def test_cosine_by_hand():
    # 1/4, 2/4, 3/4 of the way: (1 + cos) / 2 of 45, 90, 135 degrees
    falling = [cosine_decay(step, 2, 3) for step in range(6)]
    assert falling == pytest.approx([1, 1, 0.853553, 0.5, 0.146447, 0], abs=1e-6)


def test_step_by_hand():
    assert [step_decay(step, 2, 2) for step in range(4)] == [1, 1, 0.1, 0.1]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_full_never_rises_and_learns_to_the_last_step(name):
    rates = [SCHEDULES[name](step, 4, 6) for step in range(10)]
    assert rates[:4] == [1, 1, 1, 1]
    assert rates == sorted(rates, reverse=True) and rates[-1] > 0
    with pytest.raises(ValueError, match="cannot be negative"):
        SCHEDULES[name](-1, 4, 6)

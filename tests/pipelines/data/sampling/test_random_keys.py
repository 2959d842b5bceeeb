"""Keyed random numbers: functions of their key, of all of it, and of nothing else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.sampling.random_keys import key_number, keyed_random

PARTS = st.lists(st.one_of(st.integers(0, 2**40), st.text(max_size=8)), min_size=1, max_size=5)


def test_the_number_of_a_key_never_changes():
    """A run begun with one version of the code is resumed with another: written down, not computed."""
    assert key_number(0, "crop", 12, 3) == 18567838697446353
    assert keyed_random(0, "crop", 12, 3).integers(1000, size=4).tolist() == [81, 682, 287, 927]


@given(PARTS)
@settings(max_examples=50)
def test_equal_keys_draw_equally(key):
    assert 0 <= key_number(*key) < 2**63
    assert np.array_equal(keyed_random(*key).random(4), keyed_random(*key).random(4))


@given(PARTS, PARTS)
@settings(max_examples=100)
def test_different_keys_differ(one, other):
    assert (key_number(*one) == key_number(*other)) == (one == other)


def test_parts_do_not_run_into_each_other():
    assert len({key_number(1, 23), key_number(12, 3), key_number(123), key_number("1", 23), key_number(1, "23")}) == 5


def test_draws_of_neighbouring_steps_are_independent():
    draws = np.array([keyed_random(0, "crop", step).random() for step in range(400)])
    assert abs(draws.mean() - 0.5) < 0.05
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.15


def test_other_draws_leave_ours_alone():
    expected = keyed_random(1, "a").random()
    np.random.default_rng().random(5)
    keyed_random(1, "b").random(100)
    assert keyed_random(1, "a").random() == expected

"""What an experiment can show, by hand and by tables of the t distribution."""

import math

import pytest

from segment.metrics.power import SeedSpread, seed_spread


def test_the_spread_by_hand():
    """Means of methods 2 and 5, of seeds 2.5, 3 and 5, of all 3.5. What is left:

    of method 1 1 - 2 - 2.5 + 3.5 = 0, 1 - 2 - 3 + 3.5 = -0.5, 4 - 2 - 5 + 3.5 = 0.5, of method 2 the opposite; four
    squares of 0.25 over two degrees of freedom.
    """
    spread = seed_spread([[1, 1, 4], [4, 5, 6]])
    assert spread.freedom == 2 and spread.deviation == pytest.approx(math.sqrt(1 / 2))


def test_two_methods_are_the_paired_t_test():
    """Differences 3, 4, 2: their deviation is 1, that of one score 1 / sqrt(2)."""
    assert seed_spread([[1, 1, 4], [4, 5, 6]]).deviation * math.sqrt(2) == pytest.approx(1)


def test_what_a_seed_does_to_all_is_no_spread():
    """The second seed adds 0.2 to all three."""
    spread = seed_spread([[0.1, 0.3], [0.2, 0.4], [0.5, 0.7]])
    assert spread.deviation == pytest.approx(0, abs=1e-12) and spread.freedom == 2


@pytest.mark.parametrize("scores", [[[0.1], [0.2]], [[0.1, 0.2]], []])
def test_one_seed_or_one_method_has_none(scores):
    assert seed_spread(scores) is None


def test_a_score_that_is_missing_is_refused():
    with pytest.raises(ValueError, match="a score of every seed"):
        seed_spread([[0.1, 0.2], [0.3]])


def test_with_many_degrees_of_freedom_it_is_the_normal_distributions():
    """(1.960 + 0.842) * 0.01 * sqrt(2 / 8) = 0.0140."""
    assert SeedSpread(0.01, 10**6).detectable(8) == pytest.approx(0.0140, abs=1e-5)


def test_few_seeds_show_little():
    """Paired t-tests of 3 and 5 differences of deviation 1: 5.65 / sqrt(3) = 3.26 and 3.76 / sqrt(5) = 1.68.

    As tables of power have it: with 5 pairs an effect of 1.68 deviations is found four times in five.
    """
    one = math.sqrt(1 / 2)
    assert SeedSpread(one, 2).detectable(3) == pytest.approx(3.26, abs=0.01)
    assert SeedSpread(one, 4).detectable(5) == pytest.approx(1.68, abs=0.01)
    assert SeedSpread(one, 2).detectable(3, power=0.5) < SeedSpread(one, 2).detectable(3)
    assert SeedSpread(one, 2).detectable(3, level=0.01) > SeedSpread(one, 2).detectable(3)


def test_a_difference_that_large_is_found_four_times_in_five():
    """Two thousand experiments of three seeds and four methods, the first ahead of the second by what was computed."""
    import torch

    generator = torch.Generator().manual_seed(0)
    ahead = SeedSpread(1.0, 6).detectable(3)
    scores = torch.randn(2000, 4, 3, generator=generator, dtype=torch.float64)
    scores[:, 0] += ahead
    found = 0
    for one in scores.tolist():
        difference = sum(one[0]) / 3 - sum(one[1]) / 3
        found += difference > 2.447 * seed_spread(one).deviation * math.sqrt(2 / 3)  # t(0.975) of 6 degrees
    assert found / 2000 == pytest.approx(0.8, abs=0.04)  # 0.04 is 4.5 standard errors

"""Distances between domains: worked by hand, unmoved by what must not matter, and zero where there is nothing."""

import math

import pytest
import torch

from segment.metrics.features import centroid_distance, domain_probe, maximum_mean_discrepancy, median_distance


def normal(count, shift=0.0, dimensions=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) + shift


class TestCentroidDistance:
    def test_by_hand(self):
        """{-1, 1} and {9, 11}: both variances are 2 (n - 1). (10² - 2/2 - 2/2) / 2 = 49, its root 7."""
        assert centroid_distance(torch.tensor([[-1.0], [1.0]]), torch.tensor([[9.0], [11.0]])) == pytest.approx(7)

    def test_spreads_are_averaged(self):
        """{0, 2}: variance 2; {10, 16}: 18. Spread 10; (12² - 1 - 9) / 10 = 13.4."""
        distance = centroid_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [16.0]]))
        assert distance == pytest.approx(math.sqrt(13.4))

    def test_scale_place_and_rotation_do_not_matter(self):
        first, second = normal(50), normal(60, 1.5, seed=1)
        rotation, _ = torch.linalg.qr(normal(8, seed=2))
        moved = [7 * features @ rotation + 100 for features in (first, second)]
        assert centroid_distance(*moved) == pytest.approx(centroid_distance(first, second), rel=1e-4)

    def test_few_draws_of_one_distribution_are_no_shift(self):
        """Without the correction the mean of these would be about sqrt(2 / 5) = 0.63."""
        squares = [centroid_distance(normal(5, seed=2 * i), normal(5, seed=2 * i + 1)) ** 2 for i in range(200)]
        assert sum(squares) / len(squares) < 0.1

    def test_features_without_any_spread(self):
        same, other = torch.ones(3, 2), torch.zeros(3, 2)
        assert centroid_distance(same, same) == 0 and centroid_distance(same, other) == math.inf

    @pytest.mark.parametrize("metric", [centroid_distance, maximum_mean_discrepancy])
    def test_what_is_refused(self, metric):
        with pytest.raises(ValueError, match=r"shapes \(3, 2\) and \(3, 4\)"):
            metric(torch.ones(3, 2), torch.ones(3, 4))
        with pytest.raises(ValueError, match="have 1 and 3 features"):
            metric(torch.ones(1, 2), torch.ones(3, 2))


class TestMaximumMeanDiscrepancy:
    def test_by_hand(self):
        """{0, 1} and {2, 3}, bandwidth 1: e^-1/2 within either; between 2, 3, 1, 2 apart, the mean of four."""
        within = math.exp(-0.5)
        between = (2 * math.exp(-2) + math.exp(-4.5) + math.exp(-0.5)) / 4
        value = maximum_mean_discrepancy(torch.tensor([[0.0], [1]]), torch.tensor([[2.0], [3]]), bandwidth=1.0)
        assert value == pytest.approx(2 * within - 2 * between)

    def test_the_median_heuristic(self):
        """The points 0, 1, 3 have distances 1, 3, 2."""
        assert median_distance(torch.tensor([[0.0], [1], [3]])) == 2
        first, second = normal(30), normal(40, 1.0, seed=1)
        width = median_distance(torch.cat((first, second)))
        assert maximum_mean_discrepancy(first, second) == maximum_mean_discrepancy(first, second, width)

    def test_it_has_no_bias(self):
        values = [maximum_mean_discrepancy(normal(10, seed=2 * i), normal(10, seed=2 * i + 1)) for i in range(100)]
        assert abs(sum(values) / len(values)) < 0.01 and min(values) < 0 < max(values)

    def test_it_grows_with_the_shift(self):
        values = [maximum_mean_discrepancy(normal(80), normal(80, shift, seed=1)) for shift in (0.0, 0.5, 1.0, 3.0)]
        assert values == sorted(values) and values[0] < 0.01 < 0.5 < values[-1] < 2

    def test_many_equal_features(self):
        """Bandwidth 10 is the distance: 2 - 2 e^-1/2. Where most are equal the median is 0, and 1 is taken."""
        features = torch.zeros(6, 1)
        assert maximum_mean_discrepancy(features, features) == pytest.approx(0)
        assert maximum_mean_discrepancy(features, features + 10) == pytest.approx(2 - 2 * math.exp(-0.5))
        assert median_distance(torch.cat((features, features[:2] + 10))) == 0
        assert maximum_mean_discrepancy(features, features[:2] + 10) == pytest.approx(2)


class TestDomainProbe:
    def test_domains_far_apart(self):
        first, second = normal(60, -2.0), normal(60, 2.0, seed=1)
        assert domain_probe((first[:30], second[:30]), (first[30:], second[30:])) == (1.0, 2.0)

    def test_one_distribution_twice(self):
        first, second = normal(800, seed=2), normal(800, seed=3)
        probe = domain_probe((first[:400], second[:400]), (first[400:], second[400:]))
        assert abs(probe.accuracy - 0.5) < 0.06
        assert probe.a_distance == pytest.approx(2 * (1 - 2 * (1 - probe.accuracy)))

    def test_the_figures_by_hand(self):
        """Learnt: below 0 is the first. Of 4 tested ones of it 3 are right, of 2 others 1: (3/4 + 1/2) / 2 = 5/8."""
        train = torch.tensor([[-2.0], [-1]]), torch.tensor([[1.0], [2]])
        test = torch.tensor([[-1.0], [-2], [-3], [5]]), torch.tensor([[4.0], [-4]])
        probe = domain_probe(train, test)
        assert probe.accuracy == pytest.approx(5 / 8) and probe.a_distance == pytest.approx(2 * (1 - 2 * 3 / 8))

    def test_a_larger_domain_does_not_win_by_its_size(self):
        first, second = normal(1000), normal(40, seed=1)
        probe = domain_probe((first[:500], second[:20]), (first[500:], second[20:]))
        assert abs(probe.accuracy - 0.5) < 0.2

    def test_it_is_the_optimum_of_the_convex_loss(self):
        """One feature, at -1 and 1, penalty 0.1: the slope w solves 1 / (1 + e^w) = 0.1 w; found here by bisection."""
        from segment.metrics.features import _logistic_direction

        low, high = 0.0, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if 1 / (1 + math.exp(middle)) > 0.1 * middle else (low, middle)
        direction = _logistic_direction(torch.ones(3, 1).double(), -torch.ones(3, 1).double(), 0.1)
        assert direction[0].item() == pytest.approx(low, abs=1e-4) and abs(direction[1].item()) < 1e-6

    def test_a_feature_that_never_changes_is_no_trouble(self):
        first, second = torch.tensor([[1.0, 5], [2, 5]]), torch.tensor([[-1.0, 5], [-2, 5]])
        assert domain_probe((first, second), (first, second)).accuracy == 1

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match=r"shapes \(2, 3\), \(2, 3\), \(0, 3\), \(2, 3\)"):
            domain_probe((torch.ones(2, 3), torch.ones(2, 3)), (torch.ones(0, 3), torch.ones(2, 3)))

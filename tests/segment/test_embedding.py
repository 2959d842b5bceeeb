"""PCA and t-SNE: against worked numbers, autograd and what a picture must not do, tear clusters or change by itself."""

import math

import pytest
import torch

from segment.embedding import (
    conditional_affinities,
    divergence,
    divergence_gradient,
    neighbour_affinities,
    principal_components,
    tsne,
)


def clusters(per_cluster=40, dimensions=12, seed=0):
    """Three clouds, far apart: features (3 * n, D) and which cloud each is of."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.eye(dimensions)[:3] * 12
    features = centres.repeat_interleave(per_cluster, 0)
    return features + torch.randn(features.shape, generator=generator), torch.arange(3).repeat_interleave(per_cluster)


class TestPrincipalComponents:
    def test_by_hand(self):
        """Four points on a cross, 4 and -4 along one axis, 1 and -1 along the other: squares 32 and 2, of 34."""
        points, shares = principal_components(torch.tensor([[5.0, 11.0], [5.0, 3.0], [6.0, 7.0], [4.0, 7.0]]))
        assert torch.allclose(points, torch.tensor([[4.0, 0], [-4, 0], [0, 1], [0, -1]]).double())
        assert shares.tolist() == pytest.approx([16 / 17, 1 / 17])

    def test_the_sign_is_fixed(self):
        """An axis is mirrored by a hair's breadth in a decomposition, and the picture with it; here it never is."""
        features, _ = clusters()
        shuffled = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))
        again = principal_components(features[shuffled]).points
        assert torch.allclose(again, principal_components(features).points[shuffled], atol=1e-8)

    def test_axes_that_are_not_there_are_zero(self):
        points, shares = principal_components(torch.tensor([[1.0], [3.0]]), dimensions=3)
        assert points.tolist() == [pytest.approx([-1, 0, 0]), pytest.approx([1, 0, 0])] and shares.tolist() == [1, 0, 0]

    def test_equal_features_are_one_point(self):
        points, shares = principal_components(torch.ones(5, 3))
        assert points.tolist() == [[0, 0]] * 5 and shares.tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("features", "message"),
        [(torch.ones(3), "expected \\(N, D\\)"), (torch.ones(1, 3), "N of 2 or more"),
         (torch.tensor([[1.0], [math.nan]]), "not finite")],
    )  # fmt: skip
    def test_what_it_refuses(self, features, message):
        with pytest.raises(ValueError, match=message):
            principal_components(features)


class TestAffinities:
    @pytest.mark.parametrize("perplexity", [2.0, 5.0, 30.0])
    def test_the_perplexity_is_met(self, perplexity):
        features, _ = clusters()
        given = conditional_affinities(torch.cdist(features, features).square().double(), perplexity)
        entropy = -torch.xlogy(given, given).sum(1)
        assert torch.allclose(entropy.exp(), torch.full_like(entropy, perplexity), rtol=2e-4)
        assert torch.allclose(given.sum(1), torch.ones(len(given)).double())
        assert given.diagonal().abs().max() == 0

    def test_they_are_the_symmetric_mean(self):
        """More rows than are worked on at once, so that blocks meet."""
        features, _ = clusters(per_cluster=60)
        features = features.double()
        given = conditional_affinities(torch.cdist(features, features).square(), 10.0)
        affinities = neighbour_affinities(features, 10.0)
        assert torch.allclose(affinities, (given + given.T) / (2 * len(given)), atol=1e-9)
        assert float(affinities.sum()) == pytest.approx(1)

    def test_equal_features_do_no_harm(self):
        affinities = neighbour_affinities(torch.cat((torch.zeros(20, 3), torch.ones(20, 3))), 5.0)
        assert affinities.isfinite().all() and float(affinities.sum()) == pytest.approx(1)
        assert affinities[:20, 20:].max() == 0

    def test_the_scale_of_features_changes_nothing(self):
        features, _ = clusters()
        far = neighbour_affinities(features.double() * 1e6, 10.0)
        assert torch.allclose(far, neighbour_affinities(features.double(), 10.0), atol=1e-7)

    def test_too_many_neighbours_are_refused(self):
        with pytest.raises(ValueError, match="perplexity is 30; expected 1 or more and less than 19 for 20 rows"):
            neighbour_affinities(torch.rand(20, 4), 30.0)


class TestGradient:
    def test_divergence_by_hand(self):
        """Points at 0, 1 and -1: w_12 = w_13 = 1/2, w_23 = 1/5, Z = 2.4; so q = 5/24, 5/24, 1/12 (each twice)."""
        points = torch.tensor([[0.0, 0], [1, 0], [-1, 0]]).double()
        p = torch.tensor([[0, 1, 1], [1, 0, 1], [1, 1, 0]]).double() / 6
        expected = 4 / 6 * math.log((1 / 6) / (5 / 24)) + 2 / 6 * math.log((1 / 6) / (1 / 12))
        assert float(divergence(p, points)) == pytest.approx(expected)

    def test_it_is_that_of_autograd(self):
        features, _ = clusters(per_cluster=50)
        affinities = neighbour_affinities(features.double(), 15.0)
        points = torch.randn(150, 2, generator=torch.Generator().manual_seed(3)).double().requires_grad_()
        (expected,) = torch.autograd.grad(divergence(affinities, points), points)
        assert torch.allclose(divergence_gradient(affinities, points.detach()), expected, atol=1e-12)

    def test_single_precision_is_enough_far_from_the_origin(self):
        affinities = neighbour_affinities(clusters()[0].double(), 15.0)
        points = torch.randn(120, 2, generator=torch.Generator().manual_seed(3)).double() * 50
        exact = divergence_gradient(affinities, points)
        assert (divergence_gradient(affinities.float(), points.float()) - exact).abs().max() < 1e-3 * exact.abs().max()


class TestTsne:
    def test_clusters_stay_together_and_apart(self):
        features, cluster = clusters()
        points = tsne(features, perplexity=15.0, steps=300)
        nearest = torch.cdist(points, points).fill_diagonal_(math.inf).argmin(1)
        assert (cluster[nearest] == cluster).all()
        centres = torch.stack([points[cluster == i].mean(0) for i in range(3)])
        spread = max(float((points[cluster == i] - centres[i]).norm(dim=1).max()) for i in range(3))
        assert float(torch.pdist(centres).min()) > 2 * spread

    def test_neighbours_survive_better_than_under_pca(self):
        features, _ = clusters(dimensions=30)
        affinities = neighbour_affinities(features, 15.0).double()
        flat = principal_components(features).points
        assert divergence(affinities, tsne(features, 15.0, 300).double()) < 0.7 * divergence(affinities, flat)

    def test_the_same_again(self):
        features, _ = clusters()
        before = features.clone()
        assert torch.equal(tsne(features, 15.0, 60), tsne(features, 15.0, 60))
        assert torch.equal(features, before)

    def test_progress_is_told(self):
        told = []
        points = tsne(clusters()[0], 15.0, 20, lambda done, total: told.append((done, total)))
        assert told == [(step, 20) for step in range(1, 21)]
        assert points.shape == (120, 2) and points.mean(0).abs().max() < 1e-4

    def test_equal_features_do_not_explode(self):
        assert tsne(torch.ones(30, 4), 5.0, 60).isfinite().all()

"""One embedding for several networks: turned onto each other without a change within, and a fair choice of points."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from pipelines.stages.features.class_features import ClassFeatures
from pipelines.stages.features.feature_embedding import (
    embed,
    most_perplexity,
    neighbourhoods,
    normalised,
    one_embedding_holds,
    one_thread,
    principal_components,
    rotated_onto,
    shown_cells,
)


def drawn(counts, dimensions=6, seed=0, shift=0.0):
    """Cells of some classes, each class a cloud of its own."""
    generator = torch.Generator().manual_seed(seed)
    classes = np.repeat(list(counts), list(counts.values()))
    values = torch.randn(len(classes), dimensions, generator=generator) + shift
    values[torch.arange(len(classes)), torch.from_numpy(classes) % dimensions] += 9
    return ClassFeatures(values, classes, np.arange(len(classes)) % 4, np.arange(len(classes)))


def test_normalised_features():
    features = normalised(torch.tensor([[1.0, 0], [3, 0], [2, 3], [2, -3]]))
    assert features.mean(0).abs().max() < 1e-12
    assert float(features.square().sum(1).mean()) == pytest.approx(1)
    assert torch.allclose(normalised(features * 50 + 7), features)
    assert normalised(torch.ones(3, 2)).abs().max() == 0


def test_turning_undoes_another_order_of_channels():
    features = normalised(drawn({0: 20, 1: 20}).values)
    renamed = -features[:, [3, 0, 5, 1, 2, 4]]
    assert torch.allclose(rotated_onto(features, renamed), features, atol=1e-9)


def test_turning_changes_no_distance():
    features, others = (normalised(drawn({0: 20, 1: 20}, seed=seed).values) for seed in (0, 1))
    assert torch.allclose(torch.pdist(rotated_onto(features, others)), torch.pdist(others))


def clusters(per_cluster=40, dimensions=12):
    """Three clouds, far apart: features (3 * n, D) and which cloud each is of."""
    generator = torch.Generator().manual_seed(0)
    features = (torch.eye(dimensions)[:3] * 12).repeat_interleave(per_cluster, 0)
    cloud = torch.arange(3).repeat_interleave(per_cluster)
    return features + torch.randn(features.shape, generator=generator), cloud


class TestPrincipalComponents:
    def test_by_hand(self):
        """Four points on a cross, 4 and -4 along one axis, 1 and -1 along the other: squares 32 and 2, of 34."""
        points, shares = principal_components(torch.tensor([[5.0, 11.0], [5.0, 3.0], [6.0, 7.0], [4.0, 7.0]]), 2)
        assert points == pytest.approx(np.array([[4.0, 0], [-4, 0], [0, 1], [0, -1]]), abs=1e-9)
        assert shares == pytest.approx([16 / 17, 1 / 17])

    def test_the_sign_is_fixed(self):
        """An axis is mirrored by a hair's breadth in a decomposition, and the picture with it; here it never is."""
        features, _ = clusters()
        order = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))
        again, _ = principal_components(features[order], 5)
        assert again == pytest.approx(principal_components(features, 5)[0][order], abs=1e-8)

    def test_a_second_axis_that_is_not_there_is_zero(self):
        points, shares = principal_components(torch.tensor([[1.0], [3.0]]), 50)
        assert points == pytest.approx(np.array([[-1.0, 0], [1, 0]])) and shares.tolist() == [1, 0]

    @pytest.mark.filterwarnings("error")
    def test_equal_features_are_one_point(self):
        points, shares = principal_components(torch.ones(5, 3), 2)
        assert points.tolist() == [[0, 0]] * 5 and shares.tolist() == [0, 0]


class TestNeighbourhoods:
    def test_clusters_stay_together_and_apart(self):
        features, cloud = clusters()
        points = torch.from_numpy(neighbourhoods(principal_components(features, 50)[0], 15.0))
        nearest = torch.cdist(points, points).fill_diagonal_(torch.inf).argmin(1)
        assert (cloud[nearest] == cloud).all()
        centres = torch.stack([points[cloud == i].mean(0) for i in range(3)])
        spread = max(float((points[cloud == i] - centres[i]).norm(dim=1).max()) for i in range(3))
        assert float(torch.pdist(centres).min()) > 2 * spread

    def test_the_same_again_with_any_number_of_threads(self):
        components, _ = principal_components(clusters()[0], 50)
        first = neighbourhoods(components, 15.0)
        with threadpool_limits(2):
            assert np.array_equal(first, neighbourhoods(components, 15.0))

    def test_equal_features_do_no_harm(self):
        assert np.isfinite(neighbourhoods(np.zeros((30, 4)), 5.0)).all()


class TestShownCells:
    def test_evenly_over_classes_and_domains(self):
        shown = shown_cells({"source": drawn({0: 50, 1: 50}), "target": drawn({0: 50, 1: 4})}, 64)
        assert {name: one.counts() for name, one in shown.items()} == {
            "source": {0: 20, 1: 20},
            "target": {0: 20, 1: 4},
        }

    def test_all_of_few(self):
        shown = shown_cells({"source": drawn({0: 3}), "target": drawn({0: 5})}, 100)
        assert [len(one) for one in shown.values()] == [3, 5]

    def test_a_class_of_one_domain_alone_is_left_out(self):
        shown = shown_cells({"source": drawn({0: 3, 7: 9}), "target": drawn({0: 5})}, 100)
        assert shown["source"].counts() == {0: 3}


class TestOneEmbedding:
    def test_where_it_holds(self):
        one = {"source": drawn({0: 9}), "target": drawn({0: 9})}
        assert one_embedding_holds({"a": one}) and one_embedding_holds({"a": one, "b": one})
        assert not one_embedding_holds({"a": one, "b": one | {"target": drawn({0: 8})}})
        wider = {name: drawn({0: 9}, dimensions=7) for name in one}
        assert not one_embedding_holds({"a": one, "b": wider})

    def test_two_networks_that_agree_lie_in_the_same_places(self):
        """The second has the channels of the first in another order; turned, every cell is twice in one place."""
        first = {"source": drawn({0: 30, 1: 30}), "target": drawn({0: 30, 1: 30}, seed=1)}
        order = [5, 4, 3, 2, 1, 0]
        second = {
            name: ClassFeatures(one.values[:, order], one.classes, one.frames, one.cells) for name, one in first.items()
        }
        pictures = embed({"a": first, "b": second}, True, 10.0)
        a, b = (np.array(pictures[title][0].tsne) for title in ("a", "b"))
        across = np.linalg.norm(a - b, axis=1).mean()
        assert across < 0.05 * np.linalg.norm(a - a.mean(0), axis=1).mean()
        assert np.abs(np.array(pictures["a"][0].pca) - pictures["b"][0].pca).max() < 1e-3
        assert pictures["a"][0].classes == [0] * 30 + [1] * 30 + [0] * 30 + [1] * 30
        assert pictures["a"][0].domains == ["source"] * 60 + ["target"] * 60
        assert 0 < sum(pictures["a"][1]) <= 1

    def test_each_by_itself(self):
        first = {"source": drawn({0: 20}), "target": drawn({0: 20}, seed=1)}
        alone = embed({"a": first}, True, 5.0)["a"]
        assert embed({"a": first, "b": {name: drawn({0: 30}, 3) for name in first}}, False, 5.0)["a"] == alone

    def test_just_enough_points_for_a_perplexity(self):
        """13 of 40: scikit-learn looks for 3 * 13 + 1 neighbours, and there are 39 others."""
        assert most_perplexity(40) == 13
        embed({"a": {"source": drawn({0: 20}), "target": drawn({0: 20})}}, True, 12.9)


def test_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)

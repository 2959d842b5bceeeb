"""Features by class: pure cells only, the same cells for every network, and the input of the classifier."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.errors import NumericalError
from pipelines.stages.features.class_features import ClassFeatures, cell_classes, class_features, classified_features
from segment.classes import IGNORE_INDEX
from segment.networks import NETWORKS
from segment.networks.multiscale_attention import HierarchicalAttention
from segment.networks.segmenter import Segmenter

SMALL = sorted(name for name in NETWORKS if not any(part in name for part in ("101", "38", "39", "_l")))
"""One of every kind; the large ones differ in width and depth."""


@pytest.fixture
def network():
    torch.manual_seed(0)
    return NETWORKS["ddrnet23_slim"](auxiliary=False).eval()


class TestCellClasses:
    def test_by_hand(self):
        """2x2 cells of 2x2 labels: pure, mixed, with an ignored pixel, all ignored."""
        label_map = torch.tensor([[3, 3, 3, 4], [3, 3, 3, 3], [5, 255, 255, 255], [5, 5, 255, 255]])
        assert cell_classes(label_map, (4, 4), (4, 4), (2, 2)).tolist() == [[3, 255], [255, 255]]

    def test_labels_are_not_shrunk(self):
        """A pole one pixel wide, which a smaller label map would have lost, keeps its cell from counting as sky."""
        label_map = torch.full((64, 64), 10)
        label_map[:, 5] = 5
        assert cell_classes(label_map, (16, 16), (16, 16), (2, 2)).tolist() == [[255, 10], [255, 10]]

    def test_padding_is_no_class(self):
        """20 rows are padded to 24: the last of three rows of cells lies half outside."""
        classes = cell_classes(torch.full((20, 16), 2), (20, 16), (24, 16), (3, 2))
        assert classes.tolist() == [[2, 2], [2, 2], [255, 255]]

    def test_a_map_whose_cells_are_no_whole_pixels(self):
        """DeepLabV2 makes 9 of 65: cells overlap a little rather than leave pixels out."""
        label_map = torch.full((64, 64), 1)
        label_map[30:] = 0
        classes = cell_classes(label_map, (64, 64), (64, 64), (9, 9))
        assert classes[:4].unique().tolist() == [1] and classes[4].unique().tolist() == [255]
        assert classes[5:].unique().tolist() == [0]


class TestClassifiedFeatures:
    def test_they_are_the_input_of_the_classifier(self, network, cpu):
        image = torch.rand(1, 3, 32, 64)
        features = classified_features(network, image, cpu)
        assert features.shape[-2:] == (4, 8)
        assert not network.classifying_module()._forward_pre_hooks, "the hook stays on the network"
        torch.testing.assert_close(network.classifying_module()(features), network.coarse_logits(
            (image - network.image_mean) / network.image_std).main, rtol=1e-4, atol=1e-4)  # fmt: skip

    @pytest.mark.parametrize("name", SMALL)
    def test_every_network_shows_them(self, name, cpu):
        features = classified_features(NETWORKS[name](auxiliary=False).eval(), torch.rand(1, 3, 64, 64), cpu)
        assert features.ndim == 4 and len(features) == 1 and features.shape[-1] >= 2 and features.isfinite().all()


class TestClassFeatures:
    def test_the_draw(self, network, make_workspace, cpu):
        frames = make_workspace().labelled_source[0]
        places = [(frames, i) for i in range(len(frames))]
        features = class_features(network, 32, places, [], cpu, 12, seed=0)
        assert max(features.counts().values()) == 12 and min(features.counts()) >= 0
        assert IGNORE_INDEX not in features.counts() and features.values.dtype == torch.float32
        assert list(features.classes) == sorted(features.classes)
        for train_id, frame, cell in list(zip(features.classes, features.frames, features.cells, strict=True))[::7]:
            row, column = divmod(int(cell), 8)
            patch = frames.read_label_map(int(frame))[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            assert set(np.unique(patch)) == {train_id}

    def test_a_network_that_overflows_is_refused(self, network, make_workspace, cpu):
        """Statistics of an early checkpoint can be small enough for it; the weights are numbers all the same."""
        with torch.no_grad():
            network.conv1[0].weight.fill_(1e38)
        with pytest.raises(NumericalError, match=r"features are no numbers.*train it again with a lower learning rate"):
            class_features(network, 32, [(make_workspace().labelled_source[0], 0)], [], cpu, 12, seed=0)

    def test_it_depends_on_the_seed_alone(self, network, make_workspace, cpu):
        frames = make_workspace().labelled_source[0]
        places = [(frames, i) for i in range(len(frames))]
        first, again = (class_features(network, 32, places, [], cpu, 5, seed=0) for _ in range(2))
        assert first.same_cells(again) and torch.equal(first.values, again.values)
        torch.manual_seed(1)
        other_network = NETWORKS["ddrnet23_slim"](auxiliary=False).eval()
        assert first.same_cells(class_features(other_network, 32, places, [], cpu, 5, seed=0))
        assert not first.same_cells(class_features(network, 32, places, [], cpu, 5, seed=1))

    def test_a_network_around_another_is_looked_at_in_the_same_cells(self, network, make_workspace, cpu, monkeypatch):
        """28 rows are padded to 32 by the network inside: the last of four rows of seven cells lies half outside."""
        frames = make_workspace().labelled_source[0]
        monkeypatch.setattr(type(frames), "read_label_map", lambda self, index: np.full((32, 64), 2, np.uint8))
        around = HierarchicalAttention(network, network.feature_channels(), planes=4, scales=(1.0,)).eval()
        assert around.stride == 1
        inside, outside = (class_features(one, 28, [(frames, 0)], [], cpu, 50, seed=0) for one in (network, around))
        assert len(inside) == 21 and inside.same_cells(outside)

    def test_fewer_is_a_part_of_more(self, network, make_workspace, cpu):
        frames = make_workspace().labelled_source[0]
        places = [(frames, i) for i in range(len(frames))]
        few, many = (class_features(network, 32, places, [], cpu, most, seed=0) for most in (4, 20))
        assert few.same_cells(many.first_of_each(4))

    def test_merged_classes_count_as_one(self, network, make_workspace, cpu):
        frames = make_workspace().labelled_source[0]
        group = [frozenset({0, 1}), frozenset({2, 8, 10})]
        features = class_features(network, 32, [(frames, 0)], group, cpu, 50, seed=0)
        assert not {1, 8, 10} & set(features.counts()) and {0, 2} & set(features.counts())

    def test_frames_without_any_pure_cell(self, network, make_workspace, cpu, monkeypatch):
        frames = make_workspace().labelled_source[0]
        monkeypatch.setattr(type(frames), "read_label_map", lambda self, index: np.full((32, 64), 255, np.uint8))
        features = class_features(network, 32, [(frames, 0)], [], cpu, 5, seed=0)
        assert len(features) == 0 and features.counts() == {} and len(features.first_of_each(3)) == 0


def test_choosing():
    features = ClassFeatures(torch.arange(6.0)[:, None], np.array([0, 0, 0, 4, 4, 7]), np.arange(6), np.arange(6))
    assert features.counts() == {0: 3, 4: 2, 7: 1}
    assert features.of(4).flatten().tolist() == [3, 4]
    assert features.first_of_each(2).cells.tolist() == [0, 1, 3, 4, 5]
    assert features.chosen(features.classes == 0).values.flatten().tolist() == [0, 1, 2]
    assert not features.same_cells(replace(features, cells=features.cells + 1))
    assert not features.same_cells(features.first_of_each(2))


def test_a_network_of_several_scales_shows_the_finest_map(cpu, network):
    class TwoScales(torch.nn.Module):
        stride = 8
        with_features = Segmenter.with_features

        def classifying_module(self):
            return network.classifying_module()

        def forward(self, image):
            network(torch.nn.functional.interpolate(image, scale_factor=2))
            return network(image)

    assert classified_features(TwoScales(), torch.rand(1, 3, 32, 64), cpu).shape[-2:] == (8, 16)

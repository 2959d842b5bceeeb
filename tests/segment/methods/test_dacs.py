"""DACS: what every method must do, the teacher, pseudo-labels and their weight by hand, the mixture."""

import pytest
import torch

from segment.losses import weighted_cross_entropy
from segment.methods.dacs import DACS, DACSSettings
from tests.method_tester import PerformedUpdate, changed, snapshot
from tests.segment.methods.adapting import TRAINING, two_domains
from tests.segment.methods.tester import NUM_CLASSES, SegmenterTrainingTester, TinySegmenter


def dacs(**settings):
    torch.manual_seed(0)
    return DACS(TinySegmenter(), TRAINING, DACSSettings(**{"threshold": 0.4} | settings))


class TestDACS(SegmenterTrainingTester):
    name = "dacs"

    def method(self):
        return dacs()

    def batch(self):
        return two_domains()

    def test_the_teacher_follows_and_learns_nothing_itself(self, small):
        before = small.teacher.network.main.weight.clone()
        small.step(self.batch(), PerformedUpdate(small))
        # At the first update the decay is 1/10.
        expected = 0.1 * before + 0.9 * small.network.main.weight
        torch.testing.assert_close(small.teacher.network.main.weight, expected.detach())
        assert not any(parameter.requires_grad for parameter in small.teacher.parameters())

    def test_the_teachers_batch_statistics_follow_too(self, small):
        """In the authors' code they never do, and the teacher labels by statistics of nobody."""
        before = small.teacher.network.features[1].running_mean.clone()
        small.step(self.batch(), PerformedUpdate(small))
        assert not torch.equal(before, small.teacher.network.features[1].running_mean)

    def test_source_and_mixture_move_the_network_together(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "mixed"}


class TestLater(TestDACS):
    """Before its first step of mixing it is supervised training."""

    def method(self):
        return dacs(start_step=1)

    def test_source_and_mixture_move_the_network_together(self, small):
        keys = []
        for _ in range(2):
            update = PerformedUpdate(small)
            small.step(self.batch(), update)
            keys.append(set(update.calls[0][1]))
        assert keys == [{"main", "auxiliary"}, {"main", "auxiliary", "mixed"}]


class Certain(torch.nn.Module):
    """Class 1 with a probability that rises from left to right: 1/3, 0.6, 0.9 and 0.99."""

    def forward(self, image):
        wanted = torch.tensor([1 / 3, 0.6, 0.9, 0.99])
        rest = (1 - wanted) / (NUM_CLASSES - 1)
        logits = rest.log().view(1, 1, 1, 4).repeat(len(image), NUM_CLASSES, 1, 1)
        logits[:, 1] = wanted.log()
        return logits


@pytest.mark.parametrize(("threshold", "share"), [(0.5, 0.75), (0.95, 0.25), (1.0, 0.0)])
def test_the_weight_is_the_share_of_pixels_that_the_teacher_is_sure_of(threshold, share):
    method = dacs(threshold=threshold)
    method.teacher.network = Certain()
    pseudo_label, weight = method.pseudo_labels(torch.rand(2, 3, 1, 4))
    assert pseudo_label[:, :, 1:].eq(1).all() and pseudo_label.dtype == torch.int64
    assert weight.shape == (2, 1, 4) and weight.eq(share).all()


def test_the_mixed_loss_by_hand():
    """Two pixels of log 3 each, weights 1 and 1/4: log 3 x (1 + 1/4) / 2."""
    logits, label_map = torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 2]]])
    loss = weighted_cross_entropy(logits, label_map, torch.tensor([[[1.0, 0.25]]]))
    assert loss.item() == pytest.approx(1.0986123 * 1.25 / 2)


def test_an_ignored_pixel_costs_nothing_and_counts_in_the_mean():
    logits, label_map = torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 255]]])
    assert weighted_cross_entropy(logits, label_map, torch.ones(1, 1, 2)).item() == pytest.approx(1.0986123 / 2)


def test_without_trust_the_pasted_source_alone_is_learnt():
    """A threshold that nothing reaches: pseudo-labels weigh 0, and other ones would give the same weights."""
    methods = [dacs(threshold=1.0).train() for _ in range(2)]
    methods[1].pseudo_labels = lambda target: (
        torch.ones(len(target), *target.shape[-2:], dtype=torch.int64), torch.zeros(len(target), *target.shape[-2:])
    )  # fmt: skip
    for method in methods:
        torch.manual_seed(3)
        method.step(two_domains(), PerformedUpdate(method))
    assert not changed(snapshot(methods[0]), methods[1])


def test_the_disguise_keeps_range_and_place_and_draws_for_each_image():
    method = dacs(colour_jitter=0.5, blur=1.0)
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16).repeat(2, 1, 1, 1)
    disguised = method.disguised(image)
    assert disguised.shape == image.shape and disguised.min() >= 0 and disguised.max() <= 1
    assert not torch.equal(disguised[0], disguised[1])
    assert torch.equal(dacs(colour_jitter=0, blur=0).disguised(image), image)

"""What DACS and MIC share: when self-training begins, whom the teacher is believed, what keeps features in place."""

import copy
import math

import pytest
import torch

from segment.adaptation.guards import Collapsed
from segment.averaging import MovingAverage
from segment.batches import LabelledBatch
from segment.methods.dacs import DACS, DACSSettings
from segment.peers import ALONE, Peers
from tests.method_tester import PerformedUpdate, changed, snapshot
from tests.segment.methods.adapting import TRAINING, two_domains
from tests.segment.methods.tester import NUM_CLASSES, TinySegmenter


def small(peers=ALONE, encoder_from_imagenet=False, **settings):
    torch.manual_seed(0)
    settings = DACSSettings(**{"threshold": 0.4, "start_step": 0} | settings)
    collaborators = {"peers": peers, "encoder_from_imagenet": encoder_from_imagenet}
    return DACS(TinySegmenter(), TRAINING, settings, **collaborators).train()


class Certain(torch.nn.Module):
    """Class 1 with a probability that rises from left to right: 1/3, 0.6, 0.9 and 0.99."""

    def forward(self, image):
        wanted = torch.tensor([1 / 3, 0.6, 0.9, 0.99])
        rest = (1 - wanted) / (NUM_CLASSES - 1)
        logits = rest.log().view(1, 1, 1, 4).repeat(len(image), NUM_CLASSES, image.shape[-2], 1)
        logits[:, 1] = wanted.log()
        return logits


@pytest.mark.parametrize(("threshold", "share"), [(0.5, 0.75), (0.95, 0.25), (1.0, 0.0)])
def test_the_weight_is_the_share_of_pixels_that_the_teacher_is_sure_of(threshold, share):
    method = small(threshold=threshold)
    method.teacher.network = Certain()
    pseudo_label, weight = method.pseudo_labels(torch.rand(2, 3, 1, 4))
    assert pseudo_label[:, :, 1:].eq(1).all() and pseudo_label.dtype == torch.int64
    assert weight.shape == (2, 1, 4) and weight.eq(share).all()


def test_rows_at_the_edges_weigh_nothing():
    """The first two and the last of 8 rows are left out; the share of sure pixels is of the whole frame."""
    method = small(threshold=0.5, ignored_top=0.25, ignored_bottom=0.125)
    method.teacher.network = Certain()
    _, weight = method.pseudo_labels(torch.rand(1, 3, 8, 4))
    assert weight[0, :, 0].tolist() == [0, 0, 0.75, 0.75, 0.75, 0.75, 0.75, 0]


def test_nothing_left_of_a_frame_is_refused():
    with pytest.raises(ValueError, match="ignored_top and ignored_bottom leave nothing"):
        DACSSettings(ignored_top=0.5, ignored_bottom=0.5)


def logits_of(loss):
    """Two classes and one pixel of class 0, whose cross-entropy is `loss`."""
    other = math.log(math.exp(loss) - 1)
    return torch.tensor([0.0, other]).view(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64)


def test_it_begins_when_the_mean_loss_of_the_source_is_healthy_and_then_goes_on():
    """The mean is 2 at first; a loss of 1.1 moves it by a hundredth of the way: 2 - 0.009 = 1.991."""
    method = small(start_step=1000, healthy_loss=1.995)
    assert not method.teacher_is_ready(*logits_of(2.0))
    assert method.source_loss.item() == pytest.approx(2.0)
    assert method.teacher_is_ready(*logits_of(1.1))
    assert method.source_loss.item() == pytest.approx(1.991)
    assert method.teacher_is_ready(*logits_of(9.0))


def test_it_begins_at_the_latest_step_however_the_source_fares():
    method = small(start_step=2, healthy_loss=0.0)
    keys = []
    for _ in range(3):
        update = PerformedUpdate(method)
        method.step(two_domains(), update)
        keys.append("mixed" in update.calls[0][1])
    assert keys == [False, False, True]


def test_all_processes_begin_together():
    """The other of two processes has a loss of 3: the mean of 1 and 3 counts in both."""

    def sum_of_both(tensor):
        return tensor + torch.tensor([3.0, 1.0])

    method = small(Peers(0, 2, sum_of_both), start_step=1000, healthy_loss=1.5)
    assert not method.teacher_is_ready(*logits_of(1.0))
    assert method.source_loss.item() == pytest.approx(2.0)


def test_processes_count_by_their_labelled_pixels():
    """Three pixels of the other process have a loss of 3 each, one here has 1: the mean is 10 / 4."""
    method = small(Peers(0, 2, lambda own: own + torch.tensor([9.0, 3.0])), start_step=1000, healthy_loss=1.5)
    method.teacher_is_ready(*logits_of(1.0))
    assert method.source_loss.item() == pytest.approx(2.5)


def test_a_batch_without_labels_begins_nothing_and_moves_no_mean():
    method = small(start_step=1000, healthy_loss=1.5)
    unlabelled = torch.zeros(1, 2, 1, 1), torch.full((1, 1, 1), 255)
    assert not method.teacher_is_ready(*unlabelled), "a loss that was not measured is not healthy"
    method.teacher_is_ready(*logits_of(2.0))
    method.teacher_is_ready(*unlabelled)
    assert method.source_loss.item() == pytest.approx(2.0)


def test_a_resumed_self_training_has_begun():
    begun, resumed = small(start_step=1000, healthy_loss=5.0), small(start_step=1000, healthy_loss=5.0)
    assert begun.teacher_is_ready(*logits_of(1.0))
    resumed.load_state_dict(begun.state_dict())
    assert resumed.teacher_is_ready(*logits_of(9.0))
    assert resumed.source_loss == begun.source_loss, "what is not asked any more is not measured any more"


def test_thresholds_of_classes_by_hand():
    """Class 0 begins at the mean of 0.4 and 0.6, class 1 at 0.8, class 2 is not seen: 0.9 times 0.5 / 0.8 is 0.5625.

    Then class 0 moves a hundredth of the way to 0.7, to 0.502, and class 2 begins at 0.6.
    """
    method = small(threshold=0.9, thresholds="per_class")
    thresholds = method.thresholds_of_classes(torch.tensor([[[0.4, 0.6, 0.8]]]), torch.tensor([[[0, 0, 1]]]))
    torch.testing.assert_close(thresholds, torch.tensor([0.5625, 0.9, 0.9]))
    thresholds = method.thresholds_of_classes(torch.tensor([[[0.7, 0.6]]]), torch.tensor([[[0, 2]]]))
    torch.testing.assert_close(thresholds, 0.9 * torch.tensor([0.502, 0.8, 0.6]) / 0.8)


def test_classes_that_never_come_leave_the_others_their_thresholds():
    """The surest of those that were seen has the general one, however many of 19 are missing."""
    method = small(threshold=0.9, thresholds="per_class")
    for _ in range(50):
        thresholds = method.thresholds_of_classes(torch.tensor([[[0.7, 0.5]]]), torch.tensor([[[0, 1]]]))
    torch.testing.assert_close(thresholds, torch.tensor([0.9, 0.9 * 5 / 7, 0.9]))


def test_thresholds_of_classes_are_those_of_all_processes():
    """Here class 0 has a likelihood of 0.4 once, in the other process 0.8 once: their mean is 0.6, and so the state."""
    others = torch.tensor([[0.8, 0.0, 0.0], [1.0, 0.0, 0.0]])
    method = small(Peers(0, 2, lambda tensor: tensor + others), threshold=0.9, thresholds="per_class")
    method.thresholds_of_classes(torch.tensor([[[0.4]]]), torch.tensor([[[0]]]))
    torch.testing.assert_close(method.mean_likelihoods, torch.tensor([0.6, 0.0, 0.0]))


def test_the_teachers_statistics_are_those_of_all_processes():
    """The other process has measured a mean 2 above this one's, in a network that is the same."""
    method = small(Peers(0, 2, lambda own: 2 * own + 2))
    method.network = torch.nn.Sequential(method.network, torch.nn.BatchNorm2d(1)).train()
    method.teacher = MovingAverage(method.network, decay=0.0)
    method.follow()
    assert method.network[1].running_mean.item() == 1 and method.teacher.network[1].running_mean.item() == 1


def test_a_class_that_the_teacher_is_less_sure_of_counts_with_its_own_threshold():
    method = small(threshold=0.95, thresholds="per_class")
    method.teacher.network = Certain()
    image = torch.rand(1, 3, 1, 4)
    _, weight = method.pseudo_labels(image)
    assert weight.tolist() == [[[0, 0, 0, 1]]], "all classes alike at first: only 0.99 is sure"
    method.mean_likelihoods.copy_(torch.tensor([1.0, 0.5, 1.0]))
    _, weight = method.pseudo_labels(image)
    # Class 1's threshold is now near 0.475: 0.6, 0.9 and 0.99 are sure (the first pixel is class 0 at 1/3).
    assert weight.tolist() == [[[0, 1, 1, 1]]], "each pixel by itself: the sure ones do not speak for the first"


def test_pseudo_labels_of_one_class_for_long_stop_the_training():
    method = small()
    logged = {"pseudo_weight": 0.9, "pseudo_share/0": 0.01, "pseudo_share/1": 0.99}
    with pytest.raises(Collapsed, match=r'99\.0% of them are "1"'):
        for _ in range(100):
            method.warnings(logged)


def test_the_disguise_keeps_range_and_place_and_draws_for_each_image():
    method = small(colour_jitter=0.5, blur=1.0)
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16).repeat(2, 1, 1, 1)
    strongly_augmented = method.strongly_augmented(image)
    assert strongly_augmented.shape == image.shape and strongly_augmented.min() >= 0 and strongly_augmented.max() <= 1
    assert not torch.equal(strongly_augmented[0], strongly_augmented[1])
    assert torch.equal(small(colour_jitter=0, blur=0).strongly_augmented(image), image)


def test_bf16_steps_disguise_in_full_precision():
    disguised, image = [], torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    for precise in (True, False):
        method = small(blur=1.0)
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise):
            disguised.append(method.strongly_augmented(image))
    assert disguised[1].dtype == torch.float32 and torch.equal(*disguised)


def test_a_feature_distance_without_imagenets_weights_is_refused():
    with pytest.raises(ValueError, match=r"set segmenter\.encoder_weights, or feature_distance_weight to 0"):
        small(feature_distance_weight=0.005)


def things():
    """All pixels are class 6, a traffic light to the feature distance and out of range for three classes."""
    return LabelledBatch(torch.rand(2, 3, 16, 16), torch.full((2, 16, 16), 6))


def test_features_that_have_not_moved_have_no_distance_and_those_that_have_pay():
    method = small(encoder_from_imagenet=True, feature_distance_weight=2.0).eval()
    method.network.train()
    labelled, method.supervised_losses = things(), lambda output, label_map: {}
    method.imagenet.network.load_state_dict(copy.deepcopy(method.network.state_dict()))
    method.network.features[1].eval()  # by the same statistics as the copy
    losses, _ = method.source_losses(labelled)
    assert losses["feature_distance"].item() == 0
    with torch.no_grad():
        method.network.features[1].bias += 100.0  # of 8 channels, all above zero before and after
        method.imagenet.network.features[1].bias += 99.0
    losses, _ = method.source_losses(labelled)
    # Each of 8 channels differs by 1: sqrt(8), times the weight of 2.
    assert losses["feature_distance"].item() == pytest.approx(2 * math.sqrt(8), rel=1e-4)


def test_imagenets_encoder_is_never_changed_and_belongs_to_the_state():
    method = small(encoder_from_imagenet=True, feature_distance_weight=0.1)
    before = snapshot(method)
    method.step(two_domains(), PerformedUpdate(method))
    assert not any(name.startswith("imagenet.") for name in changed(before, method))
    assert any(name.startswith("imagenet.") for name in before)
    assert not any(parameter.requires_grad for parameter in method.imagenet.parameters())

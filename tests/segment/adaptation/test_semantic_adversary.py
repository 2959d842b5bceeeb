"""Features by class and domain: numbers worked out by hand, absent classes, which way each loss pushes."""

import math

import pytest
import torch

from segment.adaptation.adversarial import SOURCE, TARGET
from segment.adaptation.semantic_adversary import (
    NOTHING,
    answers,
    class_means,
    classes_shown,
    cross_entropy_of_classes,
    cross_entropy_of_locations,
    labels_at,
)
from segment.classes import IGNORE_INDEX


def test_labels_are_those_of_the_nearest_pixel_and_never_a_mean():
    label_map = torch.tensor([[[0, 0, 18, 18], [0, 0, 18, 18], [255, 255, 3, 3], [255, 255, 3, 3]]])
    assert labels_at(label_map, (2, 2)).tolist() == [[[0, 18], [255, 3]]]


def test_a_location_has_the_label_of_its_middle():
    """Of 8 pixels a location stands for 4, and the third or fourth is nearest to its middle, not the first."""
    label_map = torch.tensor([[[1, 1, 2, 2, 3, 3, 4, 4]]])
    assert labels_at(label_map, (1, 2)).tolist() == [[[2, 4]]]


def test_class_means_by_hand():
    """Class 0 has the features 1 and 3, class 2 has 5, class 1 is absent; the ignored 100 is in none."""
    features = torch.tensor([[[[1.0, 3.0], [5.0, 100.0]]]])
    means, labels = class_means(features, torch.tensor([[[0, 0], [2, 255]]]), classes=3)
    assert means[0, 0, :, 0].tolist() == [2.0, 0.0, 5.0]
    assert labels[0, :, 0].tolist() == [0, IGNORE_INDEX, 2]


def test_each_image_has_its_own_means():
    features = torch.stack([torch.full((1, 1, 2), 1.0), torch.full((1, 1, 2), 3.0)])
    means, _ = class_means(features, torch.zeros(2, 1, 2, dtype=torch.int64), classes=1)
    assert means.flatten().tolist() == [1.0, 3.0]


def test_absent_classes_have_neither_value_nor_gradient():
    """0 / 0 in the paper's formula."""
    features = torch.rand(1, 4, 2, 2, requires_grad=True)
    means, labels = class_means(features, torch.full((1, 2, 2), IGNORE_INDEX), classes=3)
    loss = cross_entropy_of_classes(torch.cat([means, means[:, :2]], dim=1), answers(labels, 3, TARGET))
    loss.backward()
    assert loss.item() == 0 and (features.grad == 0).all()


def test_autocast_does_not_round_means():
    features = torch.full((1, 1, 1, 2), 1.001)
    with torch.autocast("cpu", torch.bfloat16):
        means, _ = class_means(features, torch.zeros(1, 1, 2, dtype=torch.int64), classes=1)
    assert means.item() == pytest.approx(1.001, abs=1e-6)


def test_answers_are_first_the_sources_classes_then_the_targets():
    labels = torch.tensor([0, 18, IGNORE_INDEX])
    assert answers(labels, 19, SOURCE).tolist() == [0, 18, NOTHING]
    assert answers(labels, 19, TARGET).tolist() == [19, 37, NOTHING]


def test_an_answer_that_is_255_is_no_ignored_pixel():
    """128 classes: class 127 of the target is answer 255."""
    judged = torch.zeros(1, 256, 1, 1)
    loss = cross_entropy_of_locations(judged, answers(torch.tensor([[[127]]]), 128, TARGET))
    assert loss.item() == pytest.approx(math.log(256))


def test_cross_entropies_by_hand():
    """Four answers alike cost log 4 each. Two images, which show two classes and one: 3 log 4 in all, over 2 images.

    Of the same as places: log 4 on the average over the three that have a class.
    """
    judged = torch.zeros(2, 4, 2, 1)
    labels = torch.tensor([[[0], [1]], [[1], [IGNORE_INDEX]]])
    truth = answers(labels, 2, SOURCE)
    assert cross_entropy_of_classes(judged, truth).item() == pytest.approx(1.5 * math.log(4))
    assert cross_entropy_of_locations(judged, truth).item() == pytest.approx(math.log(4))


def test_classes_shown_by_hand():
    """Two, one and none, however many pixels they have."""
    labels = torch.tensor([[[0, 0, 2]], [[IGNORE_INDEX, 1, 1]], [[IGNORE_INDEX] * 3]])
    assert classes_shown(labels, 3).item() == 1.0


@pytest.mark.parametrize("loss", [cross_entropy_of_classes, cross_entropy_of_locations])
@pytest.mark.parametrize(("domain", "answer"), [(SOURCE, 1), (TARGET, 3)])
def test_descending_raises_the_answer_that_is_wanted_and_no_other(loss, domain, answer):
    judged = torch.zeros(1, 4, 1, 1, requires_grad=True)
    loss(judged, answers(torch.tensor([[[1]]]), 2, domain)).backward()
    gradient = judged.grad.flatten()
    assert gradient[answer] < 0 and (gradient[[i for i in range(4) if i != answer]] > 0).all()


@pytest.mark.parametrize("loss", [cross_entropy_of_classes, cross_entropy_of_locations])
def test_half_precision_is_computed_in_float32(loss):
    assert loss(torch.zeros(1, 4, 1, 1).bfloat16(), torch.zeros(1, 1, 1, dtype=torch.int64)).dtype == torch.float32

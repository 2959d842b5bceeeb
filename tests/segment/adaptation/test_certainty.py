"""Being sure: values and gradients worked out by hand."""

import math

import pytest
import torch

from segment.adaptation.certainty import (
    image_wise_weights,
    maximum_squares,
    normalised_entropy,
    robust_entropy,
    self_produced_labels,
)


def test_maximum_squares_by_hand():
    """Two pixels of two classes: (1/2, 1/2) and (1, 0). Squares 1/4, 1/4, 1, 0: mean 3/8, half of it with a minus."""
    probabilities = torch.tensor([[[[0.5, 1.0]], [[0.5, 0.0]]]])
    assert maximum_squares(probabilities).item() == pytest.approx(-3 / 16)


def test_the_gradient_is_linear_in_the_probability_and_makes_sure_classes_surer():
    """-p over the number of values: what sets it apart from entropy, whose gradient grows without bound."""
    probabilities = torch.tensor([[[[0.8]], [[0.2]]]], requires_grad=True)
    maximum_squares(probabilities).backward()
    torch.testing.assert_close(probabilities.grad, -probabilities.detach() / 2)


def test_image_wise_weights_by_hand():
    """Four pixels, three of class 0 and one of class 1; with power 1: 1/3 and 1, with power 0: 1/4 for all."""
    seen = torch.tensor([[[0, 0], [0, 1]]])
    probabilities = torch.nn.functional.one_hot(seen, 2).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(image_wise_weights(probabilities, 1.0), torch.tensor([[[1 / 3, 1 / 3], [1 / 3, 1.0]]]))
    torch.testing.assert_close(image_wise_weights(probabilities, 0.0), torch.full((1, 2, 2), 0.25))
    expected = 1 / (3**0.2 * 4**0.8)
    assert image_wise_weights(probabilities).flatten()[0].item() == pytest.approx(expected)


def test_image_wise_weights_go_by_the_likeliest_class():
    """Of four pixels two are likeliest of class 0, one of 1, one of 2; the least likely are 2, 1, 1 and 0."""
    rows = [[0.6, 0.3, 0.1], [0.5, 0.1, 0.4], [0.2, 0.1, 0.7], [0.1, 0.5, 0.4]]
    probabilities = torch.tensor(rows).T.view(1, 3, 2, 2)
    torch.testing.assert_close(image_wise_weights(probabilities, 1.0), torch.tensor([[[0.5, 0.5], [1.0, 1.0]]]))


def test_below_zero_frequent_classes_weigh_more():
    """Three pixels of class 0, one of class 1, none of class 2: with power -1, 3 / 16 and 1 / 16."""
    seen = torch.tensor([[[0, 0], [0, 1]]])
    probabilities = torch.nn.functional.one_hot(seen, 3).permute(0, 3, 1, 2).float()
    expected = torch.tensor([[[3.0, 3.0], [3.0, 1.0]]]) / 16
    torch.testing.assert_close(image_wise_weights(probabilities, -1.0), expected)


def test_frames_of_a_batch_are_counted_apart():
    one = torch.rand(1, 3, 4, 4).softmax(1)
    other = torch.rand(1, 3, 4, 4).softmax(1)
    both = image_wise_weights(torch.cat([one, other]))
    torch.testing.assert_close(both, torch.cat([image_wise_weights(one), image_wise_weights(other)]))


def test_weighted_squares_by_hand():
    """One frame, one class sure in both pixels, weights 1/4: (1/4 + 1/4) / (2 x 1 x 2)."""
    probabilities = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    assert maximum_squares(probabilities, torch.full((1, 1, 2), 0.25)).item() == pytest.approx(-0.125)


def test_weighted_squares_are_a_mean_over_frames_and_classes():
    """Two frames as above, three classes: twice (1/4 + 1/4) / (2 x 2 x 3)."""
    probabilities = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]]]).expand(2, 3, 1, 2)
    assert maximum_squares(probabilities, torch.full((2, 1, 2), 0.25)).item() == pytest.approx(-1 / 12)


@pytest.mark.parametrize("classes", [2, 3, 13, 16, 19])
def test_entropy_is_one_where_all_classes_are_alike_however_many_there_are(classes):
    torch.testing.assert_close(normalised_entropy(torch.zeros(1, classes, 2, 3)), torch.ones(1, 2, 3))


def test_entropy_by_hand():
    """(1/2, 1/4, 1/4) has 1/2 x 1 + 2 x 1/4 x 2 = 1.5 bits, of log2(3) at most; a sure pixel has none."""
    probabilities = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)
    assert normalised_entropy(probabilities.log()).item() == pytest.approx(1.5 / math.log2(3))
    sure = torch.tensor([200.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert normalised_entropy(sure).item() == 0
    assert normalised_entropy(sure.bfloat16()).dtype == torch.float32


def test_less_entropy_makes_the_likelier_class_likelier():
    """The gradient with respect to a logit is -p (ln p + H) / ln K, H in nats: (0.8, 0.2) has 0.5004."""
    logits = torch.tensor([0.8, 0.2]).log().view(1, 2, 1, 1).requires_grad_()
    normalised_entropy(logits).sum().backward()
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    expected = [-p * (math.log(p) + entropy) / math.log(2) for p in (0.8, 0.2)]
    assert logits.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert expected[0] < 0 < expected[1], "descent raises the first"


def test_entropy_pulls_hardest_at_pixels_that_are_nearly_decided_and_squares_do_not():
    """Why MaxSquare is there (its figure 1): with respect to the likelier probability, at 0.99 against 0.7."""
    pulls = {}
    for p in (0.7, 0.99):
        logits = torch.tensor([p, 1 - p]).log().view(1, 2, 1, 1)
        for name, loss in {"entropy": normalised_entropy, "squares": lambda x: maximum_squares(x.softmax(1))}.items():
            leaf = logits.clone().requires_grad_()
            loss(leaf).sum().backward()
            pulls[name, p] = leaf.grad.abs().max().item() / (p * (1 - p))  # per probability instead of logit
    assert pulls["entropy", 0.99] / pulls["entropy", 0.7] > 2 * pulls["squares", 0.99] / pulls["squares", 0.7]


def test_robust_entropy_by_hand():
    """Entropies 1 and 1/2, power 2: (1 + 1/16) / 2. Power 1/2 is the plain mean."""
    entropies = torch.tensor([[[1.0, 0.5]]])
    assert robust_entropy(entropies).item() == pytest.approx(17 / 32)
    assert robust_entropy(entropies, 0.5).item() == pytest.approx(0.75)


def test_robust_entropy_pulls_harder_at_undecided_pixels_and_is_smooth_at_sure_ones():
    """4 h (h^2 + 1e-8) over the number of pixels."""
    entropies = torch.tensor([1.0, 0.5, 0.0], requires_grad=True)
    robust_entropy(entropies).backward()
    torch.testing.assert_close(entropies.grad, torch.tensor([4 / 3, 4 * 0.125 / 3, 0.0]), atol=1e-6, rtol=1e-5)


def test_labels_of_two_heads_by_hand():
    """Pixels: both sure of 0; the main one sure of 0 and the other of 1, but less; one sure, one not; neither sure."""
    main = torch.tensor([[[0.97, 0.96, 0.4, 0.9]], [[0.03, 0.04, 0.6, 0.1]]])[None]
    auxiliary = torch.tensor([[[0.99, 0.1, 0.02, 0.8]], [[0.01, 0.9, 0.98, 0.2]]])[None]
    labels = self_produced_labels(main, auxiliary, 0.95)
    assert labels.tolist() == [[[0, 0, 1, 255]]] and labels.dtype == torch.int64

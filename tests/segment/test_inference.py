"""Prediction at the size of the labels."""

import pytest
import torch
from torch import nn

from segment.inference import Ensemble, Flipped, MultiScale, Windowed, predict, predict_logits, window_starts


class Brightness(nn.Module):
    """Logits of class 0 are darkness, of class 1 brightness; they bear a gradient."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, image):
        bright = self.scale * image.mean(1, keepdim=True)
        return torch.cat([1 - bright, bright], 1)


def test_logits_are_interpolated_between_pixel_centres():
    image = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    logits = predict_logits(Brightness().eval(), image, (1, 4))
    # Centres of the four pixels lie at -0.25, 0.25, 0.75 and 1.25 of the two; beyond the outer centres it stays level.
    torch.testing.assert_close(logits[0, 1, 0], torch.tensor([0.0, 0.25, 0.75, 1.0]))
    assert not logits.requires_grad


def test_the_greater_logit_wins_at_the_size_of_the_labels():
    image = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    prediction = predict(Brightness().eval(), image, (2, 4))
    assert prediction.dtype == torch.int64
    assert prediction.tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1]]]


def test_max_finds_what_argmax_finds():
    torch.manual_seed(0)
    logits = torch.randn(2, 19, 16, 16)
    assert torch.equal(logits.max(1).indices, logits.argmax(1))


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"training mode .* Call network.eval\(\)"):
        predict(Brightness().train(), torch.zeros(1, 3, 2, 2), (2, 2))


# ------------------------------------------------------------------------------------------------------- several looks


class Positions(nn.Module):
    """Probability of class 1 is the brightness, but for the first column that it sees: there it is always 1/2."""

    def forward(self, image):
        bright = image.mean(1).clone()
        bright[..., 0] = 0.5
        return torch.stack([1 - bright, bright], 1).log()


def grey(*rows):
    """(1, 3, H, W)."""
    return torch.tensor(rows).expand(1, 3, len(rows), len(rows[0])).contiguous()


def test_flipped_by_hand():
    """The image is dark (0.2) throughout. Seen as it is, its first column gives 0.5, mirrored its last one does."""
    probabilities = Flipped(Positions().eval())(grey([0.2, 0.2, 0.2])).softmax(1)
    torch.testing.assert_close(probabilities[0, 1, 0], torch.tensor([0.35, 0.2, 0.35]))


def test_probabilities_are_averaged_and_not_logits():
    """The mean of 0.5 and 0.02 is 0.26; that of their logits would give 0.125."""
    probabilities = Flipped(Positions().eval())(grey([0.02, 0.02])).softmax(1)
    torch.testing.assert_close(probabilities[0, 1, 0], torch.tensor([0.26, 0.26]))


def test_multi_scale_by_hand():
    """At half the size two pixels are left, whose logits are brought back to four.

    Class 1 has probability 0.2 everywhere, but 0.5 in the first column: at full size in one pixel; at half size, after
    bilinear interpolation of log-probabilities, in the first pixel, and by 3/4 and 1/4 in the next two.
    """
    sure, unsure = torch.tensor([0.8, 0.2]).log(), torch.tensor([0.5, 0.5]).log()
    half = torch.stack([unsure, 0.75 * unsure + 0.25 * sure, 0.25 * unsure + 0.75 * sure, sure]).softmax(1)[:, 1]
    full = torch.tensor([0.5, 0.2, 0.2, 0.2])
    probabilities = MultiScale(Positions().eval(), (1.0, 0.5))(grey([0.2] * 4, [0.2] * 4)).softmax(1)
    torch.testing.assert_close(probabilities[0, 1], ((half + full) / 2).expand(2, 4))


def test_windows_by_hand():
    """Windows of 3 over 5 columns at stride 2 begin at 0 and 2 and overlap in column 2, where one sees 0.2, one 0.5."""
    network = Windowed(Positions().eval(), window=(1, 3), stride=(1, 2))
    probabilities = network(grey([0.2] * 5)).softmax(1)
    torch.testing.assert_close(probabilities[0, 1, 0], torch.tensor([0.5, 0.2, 0.35, 0.2, 0.2]))


def test_windows_cover_all_and_reach_nowhere_beyond():
    assert window_starts(5, 3, 2) == [0, 2]
    assert window_starts(6, 3, 2) == [0, 2, 3]
    assert window_starts(3, 3, 2) == [0]


@pytest.mark.parametrize("size", [(7, 9), (2, 3), (8, 16)])
def test_a_network_that_looks_at_single_pixels_sees_the_same_through_windows(size):
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size)
    alone, network = Brightness().eval(), Windowed(Brightness().eval(), (4, 5), (3, 2))
    torch.testing.assert_close(network(image).softmax(1), alone(image).softmax(1))


def test_looks_can_be_put_into_each_other():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 10)
    network = MultiScale(Windowed(Flipped(Brightness().eval()), (4, 4), (2, 2)), (0.5, 1.0))
    logits = predict_logits(network, image, (16, 20))
    assert logits.shape == (1, 2, 16, 20) and logits.isfinite().all()
    torch.testing.assert_close(network(image).exp().sum(1), torch.ones(1, 8, 10))
    assert predict(network, image, (16, 20)).shape == (1, 16, 20)


def test_looks_keep_the_mode_of_their_network():
    with pytest.raises(ValueError, match="training mode"):
        predict(Flipped(Brightness().train()), torch.zeros(1, 3, 2, 2), (2, 2))


def test_impossible_looks_are_refused():
    with pytest.raises(ValueError, match="Scales are"):
        MultiScale(Brightness(), ())
    with pytest.raises(ValueError, match="Scales are"):
        MultiScale(Brightness(), (1.0, 0.0))
    with pytest.raises(ValueError, match="no gaps"):
        Windowed(Brightness(), (4, 4), (4, 5))


class Constant(nn.Module):
    """Class 0 with a given probability everywhere."""

    def __init__(self, probability):
        super().__init__()
        self.probability = probability
        self.eval()

    def forward(self, image):
        first = torch.full_like(image[:, :1], self.probability)
        return torch.cat([first, 1 - first], 1).log()


def test_an_ensemble_is_the_weighted_mean_of_probabilities():
    """0.7 x 0.9 + 0.3 x 0.2 = 0.69; a mean of logits would give another number."""
    network = Ensemble([Constant(0.9), Constant(0.2)], (7, 3))
    logits = network(torch.rand(2, 3, 4, 6))
    assert logits.shape == (2, 2, 4, 6)
    torch.testing.assert_close(logits.softmax(1)[:, 0], torch.full((2, 4, 6), 0.69))
    assert not network.training


def test_alone_or_with_itself_a_network_is_what_it_was():
    image = torch.rand(1, 3, 4, 6)
    alone = Constant(0.8)(image).softmax(1)
    for count in (1, 3):
        torch.testing.assert_close(Ensemble([Constant(0.8)] * count)(image).softmax(1), alone)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, -1.0)])
def test_weights_that_are_not_one_above_zero_for_each_are_refused(weights):
    with pytest.raises(ValueError, match="expected one above 0 for each of 2 networks"):
        Ensemble([Constant(0.5), Constant(0.5)], weights)

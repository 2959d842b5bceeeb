"""Prediction at the size of the labels."""

import pytest
import torch
from torch import nn

from segment.inference import predict, predict_logits


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

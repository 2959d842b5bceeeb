"""Every loss on numbers that can be checked on paper."""

import pytest
import torch

from translate.losses import cycle_consistency, identity, least_squares_discriminator, least_squares_gan


def test_least_squares_of_real():
    # ((0.5 - 1)^2 + (2 - 1)^2) / 2 = (0.25 + 1) / 2
    assert least_squares_gan(torch.tensor([0.5, 2.0]), real=True).item() == pytest.approx(0.625)


def test_least_squares_of_fake():
    # (0.5^2 + 2^2) / 2
    assert least_squares_gan(torch.tensor([0.5, 2.0]), real=False).item() == pytest.approx(2.125)


def test_least_squares_gradient():
    judgement = torch.tensor([0.5, 2.0], requires_grad=True)
    least_squares_gan(judgement, real=True).backward()
    # d/dx (x - 1)^2 / 2 = x - 1
    assert judgement.grad.tolist() == pytest.approx([-0.5, 1.0])


def test_discriminator_pays_half_of_both():
    # 0.5 * ((0.8 - 1)^2 + 0.4^2) = 0.5 * (0.04 + 0.16)
    real, fake = torch.full((1, 1, 2, 2), 0.8), torch.full((1, 1, 3, 3), 0.4)
    assert least_squares_discriminator(real, fake).item() == pytest.approx(0.1)


@pytest.mark.parametrize("loss", [cycle_consistency, identity])
class TestMeanAbsoluteDifference:
    def test_value(self, loss):
        image = torch.tensor([-1.0, 0.0, 1.0, 0.5]).view(1, 1, 2, 2)
        original = torch.tensor([1.0, 0.0, 0.5, 0.0]).view(1, 1, 2, 2)
        # (2 + 0 + 0.5 + 0.5) / 4
        assert loss(image, original).item() == pytest.approx(0.75)

    def test_gradient(self, loss):
        image = torch.tensor([-1.0, 1.0], requires_grad=True)
        loss(image, torch.zeros(2)).backward()
        assert image.grad.tolist() == pytest.approx([-0.5, 0.5])

    def test_refuses_to_broadcast(self, loss):
        with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and \(1, 3, 4, 4\); they must be equal"):
            loss(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))


def test_values_keep_their_precision_in_bfloat16():
    # 1 + 2^-7 is the bfloat16 after 1; the mean of 255 ones and one such value would be rounded to 1 in bfloat16.
    judgement = torch.ones(256, dtype=torch.bfloat16)
    judgement[0] = 1 + 2**-7
    loss = least_squares_gan(judgement, real=False)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1 + (2 * 2**-7 + 2**-14) / 256, rel=1e-7)

"""Every loss on numbers that can be checked on paper."""

import pytest
import torch

from translate.losses import (
    GAN_LOSSES,
    cycle_consistency,
    hinge_discriminator,
    hinge_generator,
    identity,
    least_squares_discriminator,
    least_squares_gan,
    reconstruction,
    vanilla_discriminator,
    vanilla_gan,
)


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


def test_vanilla_of_undecided():
    # -log(1/2) either way
    for real in (True, False):
        assert vanilla_gan(torch.zeros(2, 1, 3, 3), real).item() == pytest.approx(0.693147, abs=1e-6)


def test_vanilla_by_hand():
    # A logit of log 3 is a probability of 3/4: -log(3/4) as real, -log(1/4) as fake.
    judgement = torch.full((1, 1, 2, 2), 3.0).log()
    assert vanilla_gan(judgement, real=True).item() == pytest.approx(0.287682, abs=1e-6)
    assert vanilla_gan(judgement, real=False).item() == pytest.approx(1.386294, abs=1e-6)
    # 0.5 * (0.287682 + 1.386294)
    assert vanilla_discriminator(judgement, judgement).item() == pytest.approx(0.836988, abs=1e-6)


@pytest.mark.parametrize("real", [True, False])
def test_vanilla_is_the_cross_entropy_with_logits(real):
    judgement = torch.linspace(-6, 6, 24).view(2, 1, 3, 4)
    expected = torch.nn.BCEWithLogitsLoss()(judgement, torch.full_like(judgement, float(real)))
    assert vanilla_gan(judgement, real).item() == pytest.approx(expected.item(), rel=1e-6)


def test_vanilla_survives_large_logits():
    assert vanilla_gan(torch.tensor([200.0]), real=False).item() == pytest.approx(200)


def test_hinge_by_hand():
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([-2.0, 0.0])
    # lacking: (0.5 + 0) / 2; exceeding: (0 + 1) / 2; half of their sum
    assert hinge_discriminator(real, fake).item() == pytest.approx(0.5 * (0.25 + 0.5))
    assert hinge_generator(fake).item() == pytest.approx(1.0)


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_gan_losses_pull_the_right_way(name):
    generator, discriminator = GAN_LOSSES[name]
    real, fake = (torch.full((1, 1, 2, 2), 0.5, requires_grad=True) for _ in range(2))
    discriminator(real, fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()  # descent raises the real, lowers the fake
    fake.grad = None
    generator(fake).backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", GAN_LOSSES)
def test_gan_losses_are_computed_in_single_precision(name):
    judgement = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)
    assert GAN_LOSSES[name].generator(judgement).dtype == torch.float32
    assert GAN_LOSSES[name].discriminator(judgement, judgement).dtype == torch.float32


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


def test_reconstruction_by_hand():
    # Distances 0.5 and 1.5 on halves of the image.
    fake = torch.tensor([0.5, -0.5]).view(1, 1, 1, 2)
    assert reconstruction(fake, torch.tensor([1.0, 1.0]).view(1, 1, 1, 2)).item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="must be equal"):
        reconstruction(torch.zeros(1, 3, 4, 4), torch.zeros(2, 3, 4, 4))

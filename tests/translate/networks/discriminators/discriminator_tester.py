"""What every discriminator must do. A new one's test subclasses `DiscriminatorTester` and states its figures."""

import pytest
import torch

from translate.networks import DISCRIMINATORS


class DiscriminatorTester:
    name: str
    settings: dict = {}  # noqa: RUF012 (read only)
    parameters: int
    names: set[str]
    judgements: tuple[int, int]
    """Height and width of what it says of an image of 256x256."""

    def tiny(self):
        torch.manual_seed(0)
        return DISCRIMINATORS[self.name](base_channels=4, **self.settings)

    def image(self, images=1):
        """Twice as large as it must be: in the last norm of the smallest, one value is all there is."""
        channels, side = self.settings.get("in_channels", 3), 2 * self.tiny().smallest_side
        return torch.rand(images, channels, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def test_has_the_authors_number_of_parameters_and_names(self):
        with torch.device("meta"):
            discriminator = DISCRIMINATORS[self.name](**self.settings)
        assert sum(parameter.numel() for parameter in discriminator.parameters()) == self.parameters
        assert set(discriminator.state_dict()) == self.names

    def test_gives_one_judgement_per_place(self):
        image = torch.zeros(2, self.settings.get("in_channels", 3), 256, 256)
        assert self.tiny()(image).shape == (2, 1, *self.judgements)

    def test_judgements_are_not_bounded(self):
        discriminator = self.tiny()
        last = [parameter for parameter in discriminator.parameters() if parameter.ndim == 4][-1]
        with torch.no_grad():
            last.mul_(1000)
        assert discriminator(self.image()).abs().max() > 2

    def test_an_image_is_judged_alike_in_any_batch(self):
        discriminator = self.tiny().eval()
        first, second = self.image(2).split(1)
        together = discriminator(torch.cat([first, second]))
        torch.testing.assert_close(together, torch.cat([discriminator(first), discriminator(second)]))

    def test_gradient_reaches_image_and_weights(self):
        discriminator = self.tiny()
        image = self.image().requires_grad_()
        discriminator(image).square().sum().backward()
        assert image.grad.abs().sum() > 0
        for name, parameter in discriminator.named_parameters():
            assert not name.endswith("weight") or parameter.grad.abs().sum() > 0, name

    def test_refuses_images_that_are_too_small(self):
        discriminator = self.tiny()
        small = discriminator.smallest_side - 1
        with pytest.raises(ValueError, match=rf"{small}x64.*at least {small + 1}\. Use larger crops"):
            discriminator(torch.zeros(1, self.settings.get("in_channels", 3), 64, small))

    def test_refuses_unknown_choices(self):
        for choice in ("norm", "initialisation"):
            with pytest.raises(ValueError, match=r"no .* 'layer'; the valid ones are"):
                DISCRIMINATORS[self.name](base_channels=1, **{**self.settings, choice: "layer"})

    def test_equal_seeds_start_equal(self):
        first, second = self.tiny().state_dict(), self.tiny().state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)

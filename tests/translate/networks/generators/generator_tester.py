"""What every generator must do. A new generator's test subclasses `GeneratorTester` and states its figures."""

import pytest
import torch

from translate.networks import GENERATORS


class GeneratorTester:
    name: str
    settings: dict = {}  # noqa: RUF012 (read only)
    parameters: int
    tensors: int
    depends_on_batch = False
    """Batch normalisation in training mode looks at the whole batch, and differs from evaluation mode."""

    def tiny(self):
        torch.manual_seed(0)
        return GENERATORS[self.name](base_channels=4, **self.settings)

    def image(self, images=1):
        """Random images of the smallest square that is sure to work."""
        side = max(16, 2 * self.tiny().side_multiple)
        return torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def test_has_the_authors_number_of_parameters(self):
        with torch.device("meta"):
            generator = GENERATORS[self.name](base_channels=64, **self.settings)
        assert sum(parameter.numel() for parameter in generator.parameters()) == self.parameters
        assert len(generator.state_dict()) == self.tensors

    @pytest.mark.parametrize("sides", [(2, 2), (4, 9), (10, 3)])
    def test_keeps_batch_and_size(self, sides):
        multiple, smallest = self.tiny().side_multiple, self.tiny().smallest_side
        if multiple > 4:
            sides = [(side + 3) // 4 for side in sides]
        image = torch.rand(2, 3, *(max(side * multiple, smallest) for side in sides)) * 2 - 1
        assert self.tiny()(image).shape == image.shape

    def test_stays_between_minus_one_and_one(self):
        generator = self.tiny()
        with torch.no_grad():
            for parameter in generator.parameters():
                parameter.mul_(50)
        translated = generator(self.image())
        assert translated.min() < -0.5 and translated.max() > 0.5
        assert translated.abs().max() <= 1

    def test_an_image_does_not_depend_on_its_batch(self):
        """CycleGAN puts two domains into one pass, which is only right while this holds."""
        generator = self.tiny()
        if self.depends_on_batch:
            generator.eval()
        first, second = self.image(2).split(1)
        together = generator(torch.cat([first, second]))
        torch.testing.assert_close(together, torch.cat([generator(first), generator(second)]))

    def test_training_and_evaluation_agree(self):
        generator, image = self.tiny(), self.image()
        agree = torch.equal(generator.train()(image), generator.eval()(image))
        assert agree is not self.depends_on_batch

    def test_gradient_reaches_the_image_and_every_weight(self):
        generator = self.tiny()
        image = self.image().requires_grad_()
        generator(image).square().sum().backward()
        assert image.grad.abs().sum() > 0
        for name, parameter in generator.named_parameters():
            assert parameter.grad is not None, name
            # An instance norm removes the bias of the convolution before it, so only weights are sure to count.
            assert not name.endswith("weight") or parameter.grad.abs().sum() > 0, name

    def test_refuses_sizes_it_would_not_give_back(self):
        generator = self.tiny()
        multiple, smallest = generator.side_multiple, generator.smallest_side
        right = 4 * max(multiple, smallest)
        for height, width in ((right + multiple // 2, right), (right, right - 1), (smallest // 2, right)):
            with pytest.raises(ValueError, match=rf"{width}x{height}.*divide by {multiple}.*at least {smallest}.*Pad"):
                generator(torch.zeros(1, 3, height, width))

    def test_takes_and_gives_other_channels(self):
        generator = GENERATORS[self.name](base_channels=2, in_channels=4, out_channels=1, **self.settings)
        side = self.image().shape[-1]
        assert generator(torch.zeros(1, 4, side, side)).shape == (1, 1, side, side)

    @pytest.mark.parametrize("initialisation", ["xavier", "kaiming", "orthogonal"])
    def test_starts_as_it_is_told(self, initialisation):
        torch.manual_seed(0)
        told = GENERATORS[self.name](base_channels=2, initialisation=initialisation, **self.settings)
        torch.manual_seed(0)
        usual = GENERATORS[self.name](base_channels=2, **self.settings)
        assert any(not torch.equal(a, b) for a, b in zip(told.parameters(), usual.parameters(), strict=True))

    def test_refuses_unknown_choices(self):
        for choice in ("norm", "initialisation"):
            with pytest.raises(ValueError, match=r"no .* 'layer'; the valid ones are"):
                GENERATORS[self.name](base_channels=1, **{**self.settings, choice: "layer"})

    def test_equal_seeds_start_equal(self):
        first, second = self.tiny().state_dict(), self.tiny().state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)

"""What every generator must do. A new generator's test subclasses `GeneratorTester` and states its figures."""

import pytest
import torch

from translate.networks import GENERATORS


class GeneratorTester:
    name: str
    parameters: int
    tensors: int

    def tiny(self):
        torch.manual_seed(0)
        return GENERATORS[self.name](base_channels=4)

    def test_has_the_authors_number_of_parameters(self):
        with torch.device("meta"):
            state = GENERATORS[self.name](base_channels=64).state_dict()
        assert sum(tensor.numel() for tensor in state.values()) == self.parameters
        assert len(state) == self.tensors

    @pytest.mark.parametrize("size", [(8, 8), (16, 36), (40, 12)])
    def test_keeps_batch_and_size(self, size):
        image = torch.rand(2, 3, *size) * 2 - 1
        assert self.tiny()(image).shape == image.shape

    def test_stays_between_minus_one_and_one(self):
        generator = self.tiny()
        with torch.no_grad():
            for parameter in generator.parameters():
                parameter.mul_(50)
        translated = generator(torch.rand(1, 3, 16, 16) * 2 - 1)
        assert translated.min() < -0.5 and translated.max() > 0.5
        assert translated.abs().max() <= 1

    def test_an_image_does_not_depend_on_its_batch(self):
        """CycleGAN puts two domains into one pass, which is only right while this holds."""
        generator = self.tiny()
        first, second = torch.rand(2, 1, 3, 16, 16)
        together = generator(torch.cat([first, second]))
        torch.testing.assert_close(together, torch.cat([generator(first), generator(second)]))

    def test_training_and_evaluation_agree(self):
        generator, image = self.tiny(), torch.rand(1, 3, 16, 16)
        assert torch.equal(generator.train()(image), generator.eval()(image))

    def test_gradient_reaches_the_image_and_every_weight(self):
        generator = self.tiny()
        image = torch.rand(1, 3, 16, 16, requires_grad=True)
        generator(image).square().sum().backward()
        assert image.grad.abs().sum() > 0
        for name, parameter in generator.named_parameters():
            assert parameter.grad is not None, name
            # An instance norm removes the bias of the convolution before it, so only weights are sure to count.
            assert not name.endswith("weight") or parameter.grad.abs().sum() > 0, name

    @pytest.mark.parametrize("size", [(66, 64), (64, 34), (4, 16)])
    def test_refuses_sizes_it_would_not_give_back(self, size):
        with pytest.raises(ValueError, match=rf"{size[1]}x{size[0]}.*divide by 4.*at least 8.*Pad"):
            self.tiny()(torch.zeros(1, 3, *size))

    def test_equal_seeds_start_equal(self):
        first, second = self.tiny().state_dict(), self.tiny().state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)

"""What every segmentation network must do; the test of a new one subclasses `NetworkTester` in a few lines.

Sizes of the published network are checked on the meta device, behaviour on a narrow form of it, so that all is quick.
"""

import pytest
import torch

from segment.classes import IGNORE_INDEX
from segment.complexity import count_flops, count_parameters
from segment.losses import LOSSES
from segment.networks import NETWORKS

NUM_CLASSES = 5


class NetworkTester:
    """A subclass names the network and its exact size, and builds the narrow form."""

    name: str
    """Key of NETWORKS."""
    parameters: tuple[int, int]
    """With the heads that only training uses, and without."""
    state_dict_keys: tuple[int, int]
    """With the heads that only training uses, and without."""
    gigaflops: tuple[float, float]
    """At 512x1024 and at 1024x2048, two per multiply-add."""
    auxiliary_heads: int = 1
    has_boundary_head: bool = False
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Red, green and blue in [0, 1] that the network sees as zero."""
    white: tuple[float, float, float] = (0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225)
    """What it sees of white: 1 less the mean, over the deviation."""

    def narrow(self, auxiliary=True):
        """The network's architecture for NUM_CLASSES classes, a few channels wide."""
        raise TypeError("Build a narrow form of the network here.")

    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return self.narrow()

    def published(self, auxiliary):
        with torch.device("meta"):
            return NETWORKS[self.name](num_classes=19, auxiliary=auxiliary)

    @pytest.mark.parametrize("auxiliary", [True, False])
    def test_it_has_the_published_size(self, auxiliary):
        network = self.published(auxiliary)
        assert count_parameters(network) == self.parameters[0 if auxiliary else 1]
        assert len(network.state_dict()) == self.state_dict_keys[0 if auxiliary else 1]

    def test_it_takes_the_published_arithmetic(self):
        network = self.published(auxiliary=True)
        flops = [count_flops(network, size) / 1e9 for size in [(512, 1024), (1024, 2048)]]
        assert flops == pytest.approx(self.gigaflops, abs=5e-4)

    @pytest.mark.parametrize("size", [(64, 64), (100, 150), (513, 1025), (1, 1)])
    def test_logits_have_the_size_of_the_image(self, network, size):
        with torch.no_grad():
            logits = network.eval()(torch.rand(1, 3, *size))
        assert logits.shape == (1, NUM_CLASSES, *size)
        assert logits.isfinite().all()

    def test_in_training_mode_every_head_answers_at_the_size_of_the_image(self, network):
        output = network.train()(torch.rand(2, 3, 70, 90))
        assert output.main.shape == (2, NUM_CLASSES, 70, 90)
        assert len(output.auxiliary) == self.auxiliary_heads
        assert all(logits.shape == output.main.shape for logits in output.auxiliary)
        assert (output.boundary is not None) == self.has_boundary_head
        assert output.boundary is None or output.boundary.shape == (2, 1, 70, 90)

    def test_without_auxiliary_head_there_is_no_auxiliary_answer(self):
        output = self.narrow(auxiliary=False).train()(torch.rand(2, 3, 64, 64))
        assert output.main.shape == (2, NUM_CLASSES, 64, 64)
        assert output.auxiliary == () and output.boundary is None

    def test_the_auxiliary_head_is_of_no_consequence_in_evaluation(self, network):
        lean = self.narrow(auxiliary=False)
        difference = lean.load_state_dict(network.state_dict(), strict=False)
        image = torch.rand(1, 3, 64, 64)
        assert not difference.missing_keys
        torch.testing.assert_close(lean.eval()(image), network.eval()(image))

    def test_a_gradient_reaches_every_parameter(self, network):
        output = network.train()(torch.rand(2, 3, 128, 128))
        answers = [output.main, *output.auxiliary, *([] if output.boundary is None else [output.boundary])]
        sum(logits.square().sum() for logits in answers).backward()
        trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        without = [name for name, parameter in trained.items() if parameter.grad is None]
        # A bias in front of a batch normalisation has no effect, so only weights must have a gradient above zero.
        still = [name for name, p in trained.items() if p.ndim > 1 and p.grad.abs().max() == 0]
        assert (without, still) == ([], [])

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_batch_of_ignored_pixels_costs_zero(self, network, loss):
        output = network.train()(torch.rand(2, 3, 64, 64))
        value = LOSSES[loss](output.main, torch.full((2, 64, 64), IGNORE_INDEX))
        value.backward()
        assert value.item() == 0
        assert all(p.grad.abs().max() == 0 for p in network.parameters() if p.grad is not None)

    def test_a_batch_of_one_trains_or_is_told_what_to_do(self, network):
        try:
            output = network.train()(torch.rand(1, 3, 64, 64))
        except ValueError as refusal:
            assert "Raise the batch size to 2 or more" in str(refusal)
        else:
            assert output.main.isfinite().all()

    def test_the_image_is_normalised_as_its_weights_expect_without_leaving_keys(self, network):
        seen = []
        first_conv = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
        first_conv.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        for colour, expected in ((self.mean, (0.0, 0.0, 0.0)), ((1.0, 1.0, 1.0), self.white)):
            network.eval()(torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 64, 64))
            # The first convolution may pad by itself, so the rim is left out.
            torch.testing.assert_close(seen[-1][0, :, 32, 32], torch.tensor(expected), atol=1e-6, rtol=0)
        assert not {"image_mean", "image_std"} & set(network.state_dict())

    def test_it_names_its_deepest_features_and_its_classifier(self, network):
        seen = {}
        network.get_submodule(network.encoder).register_forward_hook(
            lambda module, inputs, output: seen.update(encoder=output)
        )
        network.classifying_module().register_forward_pre_hook(lambda module, inputs: seen.update(classifier=inputs[0]))
        with torch.no_grad():
            network.eval()(torch.rand(1, 3, 128, 128))
        assert seen["encoder"].ndim == seen["classifier"].ndim == 4
        assert seen["encoder"].shape[-1] <= seen["classifier"].shape[-1] < 128

    def test_own_losses_of_ignored_pixels_are_finite(self, network):
        output = network.train()(torch.rand(2, 3, 64, 64))
        losses = network.own_losses(output, torch.full((2, 64, 64), IGNORE_INDEX))
        assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())

    def test_memory_format_does_not_change_the_answer(self, network):
        image = torch.rand(1, 3, 72, 64)
        expected = network.eval()(image)
        actual = network.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
        # Deep networks with fresh weights answer in thousands; kernels differ in the last digits of what adds up to it.
        largest = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4 * largest)

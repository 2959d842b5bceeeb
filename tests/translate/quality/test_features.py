"""Feature extractors: what is pooled, and that weights are loaded whole or not at all."""

import pytest
import torch
from torch import nn

from segment.networks import NETWORKS
from segment.networks.encoders.encoder import Encoder
from translate.quality.features import InceptionFeatures, PooledEncoder, PooledStage


class Tiny(nn.Module):
    """Twice the image in its middle, nothing at its end."""

    def __init__(self):
        super().__init__()
        self.middle = nn.Conv2d(3, 3, 1, bias=False)
        self.middle.weight.data = 2 * torch.eye(3)[:, :, None, None]

    def forward(self, image):
        return self.middle(image).sum()


def test_the_stage_is_pooled():
    image = torch.rand(2, 3, 4, 5)
    pooled = PooledStage(Tiny(), "middle")(image)
    assert torch.allclose(pooled, 2 * image.mean((2, 3))) and not pooled.requires_grad


def test_the_network_is_left_as_it_was():
    """It outlives whoever pools: each that comes would leave a hook that keeps the last map of every later pass."""
    network = Tiny()
    PooledStage(network, "middle")(torch.rand(1, 3, 4, 5))
    assert not network.middle._forward_hooks


def test_the_deepest_stage_of_our_segmenter():
    extractor = PooledStage(NETWORKS["ddrnet23_slim"](), "layer5")
    assert not extractor.network.training
    assert extractor(torch.rand(1, 3, 64, 128)).shape == (1, 512)


class Doubling(Encoder):
    """Its deepest map is twice the normalised image."""

    mean, std, deepest = (0.5, 0.5, 0.5), (0.25, 0.5, 1.0), "none"

    def forward(self, normalised):
        return (normalised,) * 4 + (2 * normalised,)


def test_an_encoder_is_pooled_after_its_own_normalisation():
    """A mean of 0.75 in each channel: 2 (0.75 - 0.5) / 0.25, / 0.5, / 1; in float32 though around it is bf16."""
    image = torch.tensor([0.5, 1.0]).expand(1, 3, 1, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = PooledEncoder(Doubling().train())(image)
    assert pooled.tolist() == [[2.0, 1.0, 0.5]] and pooled.dtype == torch.float32 and not pooled.requires_grad


def test_an_unknown_stage_is_refused():
    with pytest.raises(AttributeError, match="layer9"):
        PooledStage(Tiny(), "layer9")


def test_inception_takes_torchvisions_file_and_gives_2048_features():
    from torchvision.models import inception_v3

    state = inception_v3(weights=None, aux_logits=False, init_weights=False).state_dict()
    extractor = InceptionFeatures(state | {"AuxLogits.fc.weight": torch.zeros(1)})
    seen = []
    extractor.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert extractor(torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 40, 60)).shape == (2, 2048)
    assert torch.equal(seen[0], torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 3, 299, 299))
    with pytest.raises(RuntimeError, match="Missing key"):
        InceptionFeatures({"fc.weight": torch.zeros(1)})

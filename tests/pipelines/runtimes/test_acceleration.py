"""Faster layers compute what the layers that they stand for compute."""

import copy
import ctypes
import importlib.util
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipelines.errors import UserError
from pipelines.runtimes.acceleration import (
    NarrowConv2d,
    QuickInstanceNorm2d,
    accelerated,
    keep_freed_memory,
)
from translate.fast.doubling import NarrowConvTranspose2d
from translate.fast.pointwise import PointwiseStrips
from translate.fast.winograd import WinogradConv2d
from translate.networks import GENERATORS
from translate.networks.features.style_encoders import ENCODERS
from translate.networks.generators.adain import AdaINGenerator
from translate.tiling import chain, translate_tiled

pytestmark = pytest.mark.runtimes

LEVEL = 2 / 255


@pytest.fixture(autouse=True)
def _small_networks_are_worthwhile(monkeypatch):
    """So that the networks here can have few channels."""
    monkeypatch.setattr("pipelines.runtimes.acceleration.WORTHWHILE_CHANNELS", 64)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return GENERATORS["resnet6"](base_channels=16).requires_grad_(False)


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(1)
    coarse = torch.rand(2, 3, 8, 12)
    return nn.functional.interpolate(coarse, (60, 92), mode="bicubic").clamp(0, 1) * 2 - 1


def deviation(network, generator, image):
    """Mean and largest, in levels of 255."""
    with torch.no_grad():
        difference = (network(image) - generator(image)).abs() / LEVEL
    return difference.mean().item(), difference.max().item()


def test_exact_is_the_same_network(generator, image):
    network = accelerated(generator, "exact")
    assert sum(isinstance(module, WinogradConv2d) for module in network.modules()) == 12
    norms = [module for module in network.modules() if isinstance(module, nn.InstanceNorm2d)]
    assert len(norms) == 17 and all(isinstance(norm, QuickInstanceNorm2d) for norm in norms)
    mean, largest = deviation(network, generator, image)
    assert mean < 0.002 and largest < 0.05


def test_fast_is_near(generator, image):
    network = accelerated(generator, "fast")
    with torch.no_grad():
        assert network(image).dtype == torch.float32
    mean, _ = deviation(network, generator, image)
    assert 0 < mean <= 1.5


@pytest.mark.parametrize("antialias", [True, "halving", "doubling"])
def test_fast_takes_layers_that_do_not_alias(image, antialias):
    torch.manual_seed(0)
    generator = GENERATORS["resnet6"](base_channels=8, antialias=antialias).requires_grad_(False).eval()
    mean, _ = deviation(accelerated(generator, "fast"), generator, image)
    assert 0 < mean <= 1.5


@pytest.mark.parametrize("encoder", ENCODERS)
def test_fast_takes_every_encoder_of_styles(encoder):
    """EfficientNet-Lite pads for its convolutions, whatever stands in for them."""
    torch.manual_seed(0)
    generator = AdaINGenerator(ENCODERS[encoder](None), 8, skip_connections=True).requires_grad_(False).eval()
    image = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        expected, found = generator(image), accelerated(generator, "fast")(image)
    assert found.dtype == torch.float32 and (found - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_fast_begins_carefully(generator):
    """18 convolutions in ResNet-6, rounding: 4 of them in float32."""
    network = accelerated(generator, "fast")
    names = ("filters", "columns", "weight")
    dtypes = [value.dtype for name, value in network.state_dict().items() if name.rsplit(".", 1)[-1] in names]
    assert dtypes == [torch.float32] * 4 + [torch.bfloat16] * 14


def test_leaves_the_generator_alone(generator, image):
    before = copy.deepcopy(generator.state_dict())
    layers = list(generator.modules())
    accelerated(generator, "fast")
    assert list(generator.modules()) == layers
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())


def test_takes_the_same_sizes(generator):
    network = accelerated(generator)
    assert (network.side_multiple, network.smallest_side) == (generator.side_multiple, generator.smallest_side)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 8, 12)).shape == (1, 3, 8, 12)


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_can_be_tiled(generator, image, mode):
    network = accelerated(generator, mode)
    assert len(chain(network)) == len(chain(generator)) + 2
    with torch.no_grad():
        difference = (translate_tiled(network, image, 32) - network(image)).abs().mean() / LEVEL
    assert difference < {"exact": 0.002, "fast": 1}[mode]


def test_keeps_the_bias_that_no_normalisation_takes_away(image):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 3, 1))
    generator.requires_grad_(False)[1].bias.fill_(0.5)
    assert deviation(accelerated(generator), generator, image)[1] < 0.01


def test_mirrors_only_where_the_network_does(image):
    """A padding of another size, or a stride, is none of ours."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Conv2d(3, 64, 1), nn.ReflectionPad2d(2), nn.Conv2d(64, 64, 3), nn.ReflectionPad2d(1),
        nn.Conv2d(64, 64, 3, stride=2), nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"), nn.Conv2d(64, 3, 1),
    ).requires_grad_(False)  # fmt: skip
    network = accelerated(generator)
    assert sum(isinstance(module, WinogradConv2d) for module in network.modules()) == 1
    assert deviation(network, generator, image)[1] < 0.01


@pytest.mark.parametrize(
    ("name", "exchanged"),
    [("unet_light", {WinogradConv2d: 8, NarrowConvTranspose2d: 1}), ("pyramid", {PointwiseStrips: 2})],
)
def test_light_generators_are_the_same_networks(name, exchanged):
    """`unet_light` of 16 channels has 4 blocks of two convolutions of 64; a pyramid two masks of single pixels."""
    torch.manual_seed(0)
    generator = GENERATORS[name](base_channels=16).requires_grad_(False)
    shown = torch.rand(2, 3, 40, 56) * 2 - 1
    network = accelerated(generator, "exact")
    for kind, count in exchanged.items():
        assert sum(isinstance(module, kind) for module in network.modules()) == count
    mean, largest = deviation(network, generator, shown)
    assert mean < 0.002 and largest < 0.05
    with torch.no_grad():
        tiled, expected = (translate_tiled(one, shown, 24, overlap=16) for one in (network, generator))
    assert (tiled - expected).abs().max() < 0.05 * LEVEL


def test_doublings_of_another_kind_stay(image):
    """Many outputs, a larger kernel, an output padding, groups: torch's own."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1),
        nn.ConvTranspose2d(8, 3, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1, groups=3), nn.ConvTranspose2d(3, 3, 4, stride=4),
    ).requires_grad_(False)  # fmt: skip
    network = accelerated(generator)
    assert not any(isinstance(module, NarrowConvTranspose2d) for module in network.modules())
    assert deviation(network, generator, image[..., :8, :12])[1] < 0.01


@pytest.mark.parametrize("affine", [False, True])
def test_quick_norm_equals_torchs(affine):
    torch.manual_seed(0)
    norm, quick = nn.InstanceNorm2d(8, affine=affine), QuickInstanceNorm2d(8, affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        quick.load_state_dict(norm.state_dict())
    features = 5 + 3 * torch.randn(2, 8, 20, 30).to(memory_format=torch.channels_last)
    assert (quick(features) - norm(features)).abs().max() < 5e-5


def test_frames_of_little_contrast_come_out_as_without():
    """Night: the first normalisation has little beside its channels' means. By group normalisation alone this
    frame was 10 levels off at most."""
    torch.manual_seed(0)
    generator = GENERATORS["resnet6"](base_channels=4)
    image = -0.9 + 0.004 * torch.randn(1, 3, 128, 192)
    assert deviation(accelerated(generator), generator, image)[1] < 0.1


def test_narrow_convolution_equals_torchs():
    torch.manual_seed(0)
    convolution, features = nn.Conv2d(8, 3, 7), torch.randn(2, 8, 20, 31)
    with torch.no_grad():
        assert (NarrowConv2d(convolution)(features) - convolution(features)).abs().max() < 1e-5


def test_compile_needs_a_compiler(generator, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler"):
        accelerated(generator, runtime="compile")


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler: g++ is not installed")
def test_compiled_computes_the_same_at_every_size(image):
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, padding=1), nn.InstanceNorm2d(32), nn.ReLU(), nn.Conv2d(32, 3, 1)
    ).requires_grad_(False)
    network = accelerated(generator, "exact", "compile")
    for shown in (image, image[..., :40, :]):
        mean, largest = deviation(network, generator, shown)
        assert mean < 0.002 and largest < 0.05


def test_the_compiler_leaves_strips_alone(monkeypatch):
    """A frame of 1024x512 has 64 at each mask, and it would unroll them all."""
    compiled, traced = torch.compile, []

    def watched(graph, example):
        traced.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    monkeypatch.setattr("pipelines.runtimes.acceleration.refuse_without_compiler", lambda: None)
    monkeypatch.setattr(torch, "compile", lambda network: compiled(network, backend=watched))
    generator = GENERATORS["pyramid"](base_channels=8).eval().requires_grad_(False)
    network = accelerated(generator, "exact", "compile")
    assert any(isinstance(module, PointwiseStrips) for module in network.modules())
    assert deviation(network, generator, torch.rand(1, 3, 128, 256) * 2 - 1)[1] < 0.05
    assert traced and not [target for target in traced if "addmm" in target]


def test_openvino_is_an_extra(generator, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sim2real\[openvino\]'"):
        accelerated(generator, runtime="openvino")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino: not installed")
def test_openvino_computes_the_same(generator, image):
    mean, largest = deviation(accelerated(generator, "exact", "openvino"), generator, image)
    assert mean < 0.002 and largest < 0.05


MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2
"""As glibc's malloc.h has them."""


@pytest.mark.parametrize("refused", [None, MMAP_MAX, TRIM_THRESHOLD, TOP_PAD])
def test_the_allocator_is_told_to_keep_what_is_freed(monkeypatch, refused):
    """All three settings, though it takes one of them not; then the answer is no."""
    told = []

    def mallopt(name, value):
        told.append((name.value, value.value))
        return int(name.value != refused)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory() is (refused is None)
    assert told == [(MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**28)]


def test_another_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert keep_freed_memory() is False
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("glibc is looked for"))
    assert keep_freed_memory() is False

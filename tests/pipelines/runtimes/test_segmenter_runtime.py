"""Whatever computes, the answer is the network's."""

import copy
import importlib.util
import shutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipelines.engine.launch import Machine
from pipelines.errors import NumericalError, UserError
from pipelines.runtimes import segmenter_runtime
from pipelines.runtimes.segmenter_runtime import fastest_runtime, mode_on, open_runtime
from segment.inference import predict
from segment.networks import NETWORKS
from segment.networks.ddrnet import DDRNet
from tests.segment.methods.tester import TinySegmenter

pytestmark = pytest.mark.runtimes

CPU = Machine(torch.device("cpu"), "fp32")
EXTRAS = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}


def runtimes():
    for runtime in ("torch", "onnxruntime", "openvino"):
        missing = [extra for extra in EXTRAS.get(runtime, ()) if importlib.util.find_spec(extra) is None]
        yield pytest.param(runtime, marks=pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}"))


def build(align_corners=False):
    torch.manual_seed(0)
    network = DDRNet(5, planes=8, pooling_planes=8, head_planes=8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    network.align_corners = align_corners
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network():
    return build()


@pytest.fixture(scope="module", params=list(runtimes()))
def exact(request, network):
    return open_runtime(network, request.param, "exact", CPU)


def image(batch=1, height=96, width=160):
    return F.interpolate(torch.rand(batch, 3, 6, 9, generator=torch.Generator().manual_seed(1)), (height, width))


@pytest.mark.parametrize("size", [(96, 160), (100, 150), (33, 65)])
def test_logits_are_the_networks(network, exact, size):
    expected, actual = network(image(1, *size)), exact.logits(image(1, *size))
    assert actual.shape == expected.shape and actual.dtype == torch.float32
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("size", [(100, 150), (72, 110), (200, 333)])
def test_label_maps_are_those_of_predict(network, exact, size):
    expected, actual = predict(network, image(2, 100, 150), size), exact.label_map(image(2, 100, 150), size)
    assert actual.shape == (2, *size) and actual.dtype == torch.uint8
    assert (actual == expected).float().mean() >= 0.999


@pytest.mark.parametrize("runtime", list(runtimes())[::2])  # onnxruntime has no other mode on the CPU
def test_fast_is_near(network, runtime):
    opened = open_runtime(network, runtime, "fast", CPU)
    expected, actual = network(image()), opened.logits(image())
    assert (actual - expected).abs().mean() < 0.02 * expected.abs().max()
    agreeing = opened.label_map(image(), (96, 160)) == expected.max(dim=1).indices
    assert agreeing.float().mean() > 0.95


def test_the_networks_own_corner_convention():
    network = build(align_corners=True)
    actual, expected = open_runtime(network, "torch", "exact", CPU).logits(image()), network(image())
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("name", ["pidnet_s", "lraspp", "fpn_efficientnet_lite0"])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_networks_of_other_kinds(name, mode):
    torch.manual_seed(0)
    network = NETWORKS[name](num_classes=4, auxiliary=False).eval()
    with torch.no_grad():
        expected = network(image())
    actual = open_runtime(network, "torch", mode, CPU).logits(image())
    assert (actual - expected).abs().max() < {"exact": 1e-4, "fast": 0.2}[mode] * expected.abs().max()


def test_a_network_that_overflows_has_no_label_map(network):
    spoilt = copy.deepcopy(network)
    with torch.no_grad():
        next(spoilt.parameters()).fill_(1e38)
    runtime = open_runtime(spoilt, "torch", "exact", CPU)
    for ask in (lambda: runtime.label_map(image(), (96, 160)), lambda: runtime.logits(image())):
        with pytest.raises(NumericalError, match=r"logits are no numbers.*its training has diverged"):
            ask()


def test_the_network_is_left_alone():
    network = DDRNet(5, planes=8, pooling_planes=8, head_planes=8).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    open_runtime(network, "torch", "fast", CPU).label_map(image(), (96, 160))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino: not installed")
def test_openvino_keeps_the_last_few_plans(network, monkeypatch):
    monkeypatch.setattr(segmenter_runtime, "MOST_SIZES", 2)
    opened = open_runtime(network, "openvino", "exact", CPU)
    for size in ((64, 96), (72, 104), (64, 96), (80, 112)):
        expected = network(image(1, *size))
        assert (opened.logits(image(1, *size)) - expected).abs().max() < 1e-4 * expected.abs().max()
    assert list(opened._coarse_logits.plans) == [(1, 3, 64, 96), (1, 3, 80, 112)]


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino: not installed")
def test_what_openvino_gave_is_ours(network, monkeypatch):
    """Neither the next image nor the end of the plan changes it."""
    monkeypatch.setattr(segmenter_runtime, "MOST_SIZES", 1)
    opened = open_runtime(network, "openvino", "exact", CPU)
    coarse = opened._coarse_logits(image(1, 64, 96))
    before = coarse.clone()
    opened.logits(1 - image(1, 64, 96))
    opened.logits(image(1, 80, 112))
    assert list(opened._coarse_logits.plans) == [(1, 3, 80, 112)] and torch.equal(coarse, before)


def test_compile_needs_a_compiler(network, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler"):
        open_runtime(network, "compile", "exact", CPU)


@pytest.mark.slow
def test_compiled():
    """A small network, for compiling takes long."""
    network = TinySegmenter().eval().requires_grad_(False)
    expected, actual = network(image()), open_runtime(network, "compile", "exact", CPU).logits(image())
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(("runtime", "extra"), [("onnxruntime", "export"), ("openvino", "openvino")])
def test_a_missing_extra_is_named(network, monkeypatch, runtime, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"is not installed; pip install 'sim2real\[{extra}\]'"):
        open_runtime(network, runtime, "exact", CPU)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_of_the_cpu_alone(network, runtime):
    with pytest.raises(UserError, match="computes on the CPU alone"):
        open_runtime(network, runtime, "exact", Machine(torch.device("cuda"), "fp32"))


def test_the_fastest_that_is_there(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fastest_runtime(CPU) == "torch"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert fastest_runtime(CPU) == "openvino"
    assert fastest_runtime(Machine(torch.device("cuda"), "bf16")) == "torch"


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_on_a_gpu(network, mode):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    opened = open_runtime(network, "torch", mode, Machine(torch.device("cuda"), "fp32"))
    labels = opened.label_map(image().cuda(), (96, 160))
    assert labels.is_cuda and (labels.cpu() == predict(network, image(), (96, 160))).float().mean() > 0.95


def test_fast_is_bf16_where_that_pays(monkeypatch):
    for able in (True, False):
        monkeypatch.setattr(Machine, "bf16_pays", able)
        assert mode_on(CPU, fast=True) == ("fast" if able else "exact") and mode_on(CPU, fast=False) == "exact"
        assert mode_on(Machine(torch.device("cpu"), "bf16"), fast=False) == "fast", "asked for by name"

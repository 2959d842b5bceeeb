"""The bench measures what it says, and a way that is not there is a row that says so."""

import importlib.util
import shutil

import pytest
import torch

from pipelines.commands.segment.bench import WAYS as NAMES
from pipelines.engine.launch import Machine
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, UserError
from pipelines.stages.export.bench import WAYS, BenchPlan, Candidate, bench, candidates, of_checkpoint, record
from segment.networks import NETWORKS
from segment.networks.ddrnet import DDRNet

pytestmark = pytest.mark.runtimes

CPU = Machine(torch.device("cpu"), "fp32")
SESSION = Session(CPU, command="sim2real segment bench")


def narrow():
    torch.manual_seed(0)
    return Candidate("narrow", "narrow", DDRNet(5, planes=8, pooling_planes=8, head_planes=8).eval())


def measured(*ways, sizes=((96, 64),)):
    return list(bench([narrow], BenchPlan(sizes, ways, warmup=1, repeats=2), SESSION))


def test_the_commands_ways_are_the_stages():
    assert list(NAMES) == list(WAYS)


@pytest.mark.parametrize(
    "way", ["eager", "channels-last", "folded", "bf16", "folded bf16", "torch", "torch, fast", "openvino, fast"]
)
def test_every_way_is_measured(way):
    if "openvino" in way and importlib.util.find_spec("openvino") is None:
        pytest.skip("needs the extra openvino: not installed")
    (row,) = measured(way)
    assert (row.name, row.way, row.size, row.unavailable) == ("narrow", way, "96x64", None)
    assert row.dtype == ("bfloat16" if "bf16" in way or "fast" in way else "float32")
    assert 0 < row.network_p50_ms <= row.network_p90_ms and 0 < row.whole_p50_ms <= row.whole_p90_ms
    assert row.network_cpu_ms > 0 and row.whole_cpu_ms > 0
    assert row.peak_mb is None or row.peak_mb >= 0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs the extra int8: not installed")
def test_int8_is_measured():
    (row,) = measured("openvino, int8")
    assert (row.dtype, row.unavailable) == ("int8", None) and row.network_p50_ms > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "packages"),
    [
        ("compile", ()),
        ("compile, fast", ()),
        ("onnxruntime", ("onnx", "onnxscript", "onnxruntime")),
        ("openvino", ("openvino",)),
    ],
)
def test_slow_ways_are_measured(way, packages):
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if "compile" in way and shutil.which("g++") is None:
        missing.append("g++")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    (row,) = measured(way)
    assert row.unavailable is None and row.network_p50_ms > 0


def test_ways_give_the_same_label_map():
    network = narrow().network
    image = torch.rand(1, 3, 64, 96)
    expected = network(image).max(dim=1).indices
    for way in ("eager", "channels-last", "folded", "torch"):
        segmenter = WAYS[way][1](narrow().network, CPU)
        with torch.no_grad():
            assert (segmenter.label_map(image, (64, 96)) == expected).float().mean() > 0.999
            assert segmenter.logits(image, (64, 96)).shape == (1, 5, 64, 96)


def test_a_row_for_every_size_with_its_own_arithmetic():
    small, large = measured("eager", sizes=((64, 64), (128, 64)))
    assert (small.size, large.size) == ("64x64", "128x64")
    assert small.parameters == large.parameters
    # All but the branch of a globally pooled pixel grow with the area.
    assert large.gflops == pytest.approx(2 * small.gflops, rel=0.01)


@pytest.mark.parametrize(("way", "extra"), [("onnxruntime", "export"), ("openvino", "openvino")])
def test_a_missing_extra_is_a_row(monkeypatch, way, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (row,) = measured(way)
    assert row.unavailable.endswith(f"pip install 'sim2real[{extra}]'")
    assert row.network_p50_ms is None and row.peak_mb is None


def test_all_networks_by_one_word():
    assert len(candidates([], ["all"])) == len(NETWORKS)
    made = candidates([], ["ddrnet23_slim"])[0]()
    assert made.name == made.network_name == "ddrnet23_slim" and made.network.seghead_extra is None


def test_an_unknown_network_is_refused_with_the_list():
    with pytest.raises(UserError, match=r"--network ddrnet: .* choose from ddrnet23_slim, .*, or all"):
        candidates([], ["ddrnet"])


def test_of_a_checkpoint(tiny_run):
    run = next(tiny_run.glob("seed-*/source_only*"))
    made = of_checkpoint(run)
    assert (made.name, made.network_name) == (str(run), "ddrnet23_slim")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        of_checkpoint(tmp_path)


def test_the_record_says_how_it_was_measured():
    done = record([], BenchPlan([], [], 1, 2), SESSION, {"a": 0.5})
    assert (done.warmup, done.repeats, done.threads) == (1, 2, torch.get_num_threads())
    assert {"python", "torch"} <= set(done.versions) and done.command == "sim2real segment bench"
    assert "thread" in done.machine and "fp32" not in done.machine  # each row has a precision of its own


@pytest.mark.gpu
def test_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    (row,) = bench(
        [narrow], BenchPlan([(96, 64)], ["torch, fast"], 1, 2), Session(Machine(torch.device("cuda"), "fp32"))
    )
    assert row.network_p50_ms > 0 and row.network_cpu_ms is None and row.peak_mb > 0

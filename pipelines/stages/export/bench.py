"""What segmenters cost: parameters, arithmetic, memory, and time by every way that there is to compute them.

Published frame rates leave out what a user waits for. So each way is timed twice: the network alone, from an image on
the device to logits of its size; and all of it, from the bytes of a PNG file to a label map on the host.
"""

import copy
import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.data.images import decode_image, encode_png, to_image
from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.runs import environment
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.trained import load_segmenter
from pipelines.report.bench import Bench, BenchRow
from pipelines.runtimes.conversion import converted_to_openvino
from pipelines.runtimes.frame_prediction import ExactNetwork, FramePredictor, Segments, as_seen
from pipelines.runtimes.peak_memory import watched_memory
from pipelines.runtimes.quantisation import quantised
from pipelines.runtimes.segmenter_runtime import (
    CoarseSegmenter,
    Mode,
    OpenVinoPlans,
    Runtime,
    SegmenterRuntime,
    open_runtime,
)
from pipelines.stages.export.export_segmenter import WATCHED, street_like
from segment.complexity import count_flops, count_parameters, time_calls
from segment.folding import folded
from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter


class LaidOut(nn.Module):
    """A network of one precision and memory layout; so it takes any image, and is used as code that one finds does."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, layout: torch.memory_format) -> None:
        super().__init__()
        self.network = network.to(dtype=dtype, memory_format=layout)
        self.dtype, self.layout = dtype, layout
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) in [0, 1] to logits of its size."""
        return self.network(image.to(self.dtype, memory_format=self.layout))


Opener = Callable[[Segmenter, Machine], Segments]


def _eager(dtype: torch.dtype, layout: torch.memory_format, fold: bool = False) -> Opener:
    def opened(network: Segmenter, machine: Machine) -> Segments:
        laid_out = LaidOut(folded(network) if fold else network, dtype, layout)
        return ExactNetwork(laid_out, Machine(machine.device, "fp32"))  # fp32: no autocast around its own precision

    return opened


def _runtime(runtime: Runtime, mode: Mode) -> Opener:
    return lambda network, machine: open_runtime(network, runtime, mode, machine)


def _quantised(network: Segmenter, machine: Machine) -> Segments:
    """By the ranges that one drawn image has: they decide what is computed, not how long it takes."""
    if machine.device.type != "cpu":
        raise UserError("int8 by OpenVINO computes on the CPU alone; use --device cpu")
    model = converted_to_openvino(CoarseSegmenter(network).eval(), "logits")
    image = street_like(1, network.stride, *WATCHED).numpy()
    return SegmenterRuntime(OpenVinoPlans(quantised(model, [image]), "exact"), network.stride, network.align_corners)


WAYS: dict[str, tuple[str, Opener]] = {
    "eager": ("float32", _eager(torch.float32, torch.contiguous_format)),
    "channels-last": ("float32", _eager(torch.float32, torch.channels_last)),
    "folded": ("float32", _eager(torch.float32, torch.channels_last, fold=True)),
    "bf16": ("bfloat16", _eager(torch.bfloat16, torch.channels_last)),
    "folded bf16": ("bfloat16", _eager(torch.bfloat16, torch.channels_last, fold=True)),
    "torch": ("float32", _runtime("torch", "exact")),
    "torch, fast": ("bfloat16", _runtime("torch", "fast")),
    "compile": ("float32", _runtime("compile", "exact")),
    "compile, fast": ("bfloat16", _runtime("compile", "fast")),
    "onnxruntime": ("float32", _runtime("onnxruntime", "exact")),
    "openvino": ("float32", _runtime("openvino", "exact")),
    "openvino, fast": ("bfloat16", _runtime("openvino", "fast")),
    "openvino, int8": ("int8", _quantised),
}
"""Name -> precision, and what opens a network. "eager" is plain code; each of the next adds to the one before; from
"torch" to "openvino, fast" they are what `segment predict` uses, with its own way from logits to a label map; int8 is
for exports."""


@dataclass(frozen=True)
class Candidate:
    """A network to measure: a checkpoint's, or one of NETWORKS with fresh weights, which takes the same time."""

    name: str
    network_name: str
    network: Segmenter


def of_checkpoint(path: Path) -> Candidate:
    """The network of a run folder or checkpoint; CheckpointError where it is none."""
    network, settings, _ = load_segmenter(path, Machine(torch.device("cpu"), "fp32"))
    return Candidate(str(path), settings.network, network)


def of_name(name: str) -> Candidate:
    """One of NETWORKS, without the heads that only training uses."""
    torch.manual_seed(0)
    return Candidate(name, name, NETWORKS[name](auxiliary=False).eval().requires_grad_(False))


def candidates(checkpoints: Sequence[Path], names: Sequence[str]) -> list[Callable[[], Candidate]]:
    """What makes each network; "all" among the names stands for every one of NETWORKS.

    Raises:
        UserError: A network is not known.
    """
    names = list(NETWORKS) if "all" in names else names
    for name in names:
        if name not in NETWORKS:
            raise UserError(f"--network {name}: there is none of this name; choose from {', '.join(NETWORKS)}, or all")
    return [*(partial(of_checkpoint, path) for path in checkpoints), *(partial(of_name, name) for name in names)]


@dataclass(frozen=True)
class BenchPlan:
    """At which sizes a network is measured, in which ways, and how often."""

    sizes: Sequence[tuple[int, int]]
    """(width, height) of the frames."""
    ways: Sequence[str]
    """Keys of WAYS."""
    warmup: int = 3
    """Frames before those that count."""
    repeats: int = 20
    """Frames that count."""


def bench(makers: Sequence[Callable[[], Candidate]], plan: BenchPlan, session: Session) -> Iterator[BenchRow]:
    """Measure, one row for each network, size and way, as they are finished.

    Args:
        makers: Each makes a network when its turn comes.
        plan: What is measured of each.
        session: Where; the precision of its machine is not looked at.
    """
    for make in makers:
        candidate = make()
        parameters = count_parameters(candidate.network)
        for width, height in plan.sizes:
            gflops = count_flops(candidate.network, (height, width)) / 1e9
            frame = to_image(street_like(1, 1, height, width)[0])
            for way in plan.ways:
                measured = _measured(candidate.network, way, frame, plan, session.machine)
                yield BenchRow(
                    name=candidate.name, network=candidate.network_name, parameters=parameters, gflops=gflops,
                    width=width, height=height, way=way, dtype=WAYS[way][0], **measured,
                )  # fmt: skip


def record(rows: list[BenchRow], plan: BenchPlan, session: Session, mean_iou: dict[str, float]) -> Bench:
    """The rows with all that they depend on."""
    machine = session.machine
    facts = environment(machine)
    versions = {"python": facts["python"], **facts["packages"]}
    said = describe_machine(machine).removesuffix(f", {machine.precision}")  # each row has a precision of its own
    date = datetime.date.today().isoformat()
    return Bench(
        rows, said, torch.get_num_threads(), versions, session.command, date, plan.warmup, plan.repeats, mean_iou
    )


def _measured(
    network: Segmenter, way: str, frame: np.ndarray, plan: BenchPlan, machine: Machine
) -> dict[str, float | str | None]:
    """The figures of a row, or the reason why there are none."""
    size, png = (frame.shape[0], frame.shape[1]), encode_png(frame)
    image = as_seen(frame, size[0], machine.device)
    try:
        with torch.inference_mode(), watched_memory(machine.device) as memory:
            copied = copy.deepcopy(network).to(machine.device).eval()  # no way finds what another one did
            segmenter = WAYS[way][1](copied, machine)
            predictor = FramePredictor(segmenter, size[0], machine.device)
            calls = lambda: segmenter.logits(image, size), lambda: predictor(decode_image(png), size)
            alone, whole = (time_calls(call, machine.device, plan.warmup, plan.repeats) for call in calls)
    except (UserError, torch.OutOfMemoryError) as error:
        return {"unavailable": str(error).splitlines()[0]}
    return {
        "network_p50_ms": alone.p50_ms, "network_p90_ms": alone.p90_ms, "whole_p50_ms": whole.p50_ms,
        "whole_p90_ms": whole.p90_ms, "peak_mb": memory.mb,
        "network_cpu_ms": alone.cpu_ms if machine.device.type == "cpu" else None,
        "whole_cpu_ms": whole.cpu_ms if machine.device.type == "cpu" else None,
    }  # fmt: skip

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
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.data.images import decode_image, encode_png, to_batch
from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.runs import environment
from pipelines.errors import UserError
from pipelines.experiment.trained import load_segmenter
from pipelines.report.bench import Bench, BenchRow
from pipelines.runtimes.peak_memory import watched_memory
from pipelines.runtimes.segmenter_runtime import Mode, Runtime, open_runtime
from pipelines.stages.export.export_segmenter import street_like
from segment.complexity import count_flops, count_parameters, time_calls
from segment.folding import folded
from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter


class Predicts(Protocol):
    """A network opened in one way; see `SegmenterRuntime`."""

    def logits(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) in [0, 1] to logits of its size."""
        ...

    def label_map(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """The same to uint8 (B, height, width)."""
        ...


class Eager:
    """A network as code that one finds computes it."""

    def __init__(self, network: Segmenter, dtype: torch.dtype, layout: torch.memory_format) -> None:
        self.network = network.to(dtype=dtype, memory_format=layout)
        self.dtype, self.layout = dtype, layout

    def logits(self, image: Tensor) -> Tensor:
        """Image (B, 3, H, W) in [0, 1] to logits of its size."""
        return self.network(image.to(self.dtype, memory_format=self.layout))

    def label_map(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """The same to uint8 (B, H, W); `size` is that of the image."""
        return self.logits(image).max(dim=1).indices.to(torch.uint8)


Opener = Callable[[Segmenter, Machine], Predicts]


def _eager(dtype: torch.dtype, layout: torch.memory_format, fold: bool = False) -> Opener:
    return lambda network, machine: Eager(folded(network) if fold else network, dtype, layout)


def _runtime(runtime: Runtime, mode: Mode) -> Opener:
    return lambda network, machine: open_runtime(network, runtime, mode, machine)


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
}
"""Name -> precision, and what opens a network. "eager" is plain code; each of the next adds to the one before; the last
seven are what `segment predict` uses, with its own way from logits to a label map."""


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


def bench(
    makers: Sequence[Callable[[], Candidate]],
    sizes: Sequence[tuple[int, int]],
    ways: Sequence[str],
    machine: Machine,
    warmup: int = 3,
    repeats: int = 20,
) -> Iterator[BenchRow]:
    """Measure, one row for each network, size and way, as they are finished.

    Args:
        makers: Each makes a network when its turn comes.
        sizes: (width, height) of the images.
        ways: Keys of WAYS.
        machine: Where; its precision is not looked at.
        warmup: Images before those that count.
        repeats: Images that count.
    """
    for make in makers:
        candidate = make()
        parameters = count_parameters(candidate.network)
        for width, height in sizes:
            gflops = count_flops(candidate.network, (height, width)) / 1e9
            for way in ways:
                measured = _measured(candidate.network, way, (height, width), machine, warmup, repeats)
                yield BenchRow(
                    name=candidate.name, network=candidate.network_name, parameters=parameters, gflops=gflops,
                    width=width, height=height, way=way, dtype=WAYS[way][0], **measured,
                )  # fmt: skip


def record(
    rows: list[BenchRow], machine: Machine, command: str, warmup: int, repeats: int, mean_iou: dict[str, float]
) -> Bench:
    """The rows with all that they depend on."""
    facts = environment(machine)
    versions = {"python": facts["python"], **facts["packages"]}
    said = describe_machine(machine).removesuffix(f", {machine.precision}")  # each row has a precision of its own
    date = datetime.date.today().isoformat()
    return Bench(rows, said, torch.get_num_threads(), versions, command, date, warmup, repeats, mean_iou)


def _measured(
    network: Segmenter, way: str, size: tuple[int, int], machine: Machine, warmup: int, repeats: int
) -> dict[str, float | str | None]:
    """The figures of a row, or the reason why there are none."""
    image = street_like(1, 1, *size)
    png = encode_png((image[0] * 255).round().byte().permute(1, 2, 0).numpy())
    image = image.to(machine.device)
    try:
        with torch.inference_mode(), watched_memory(machine.device) as memory:
            copied = copy.deepcopy(network).to(machine.device).eval()  # no way finds what another one did
            predicts = WAYS[way][1](copied, machine)
            alone = time_calls(lambda: predicts.logits(image), machine.device, warmup, repeats)
            whole = time_calls(lambda: _png_to_labels(predicts, png, machine), machine.device, warmup, repeats)
    except (UserError, torch.OutOfMemoryError) as error:
        return {"unavailable": str(error).splitlines()[0]}
    return {
        "network_p50_ms": alone.p50_ms, "network_p90_ms": alone.p90_ms, "whole_p50_ms": whole.p50_ms,
        "whole_p90_ms": whole.p90_ms, "peak_mb": memory.mb,
        "network_cpu_ms": alone.cpu_ms if machine.device.type == "cpu" else None,
        "whole_cpu_ms": whole.cpu_ms if machine.device.type == "cpu" else None,
    }  # fmt: skip


def _png_to_labels(predicts: Predicts, png: bytes, machine: Machine) -> np.ndarray:
    image = to_batch([decode_image(png)], str(machine.device))
    return predicts.label_map(image, (image.shape[-2], image.shape[-1]))[0].cpu().numpy()

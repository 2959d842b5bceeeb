"""What a network costs: parameters, arithmetic, time per image.

Arithmetic is counted on the meta device, which takes no memory and gives the same number on every machine; time is
measured, so it comes with everything that it depends on.
"""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Latency:
    """Time per image of batch size 1, from an image in [0, 1] to logits of its size, and how it was measured."""

    p50_ms: float
    p90_ms: float
    repeats: int
    device: str
    threads: int
    """CPU threads that PyTorch used; of little meaning on another device."""
    dtype: str
    size: tuple[int, int]
    """(height, width)"""


def count_parameters(network: nn.Module) -> int:
    """Number of parameters, trained or frozen; buffers are not parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, size: tuple[int, int]) -> int:
    """Floating-point operations for one image in evaluation mode; two for each multiply-add.

    Only convolutions and matrix products count. Papers' "GFLOPs" are mostly multiply-adds, half of this.

    Args:
        network: On any device and in any mode; it is left as it is.
        size: (height, width) of the image.
    """
    network = copy.deepcopy(network).to("meta").eval()
    image = torch.zeros(1, 3, *size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


def measure_latency(
    network: nn.Module, size: tuple[int, int], device: torch.device | str, warmup: int = 5, repeats: int = 30
) -> Latency:
    """Time single images, each from start to finish: queued work is waited for before either clock reading.

    Args:
        network: In evaluation mode, on `device`. Measured as it is: dtype, memory format and folding are its own.
        size: (height, width) of the image.
        device: Where to measure.
        warmup: Runs before the first one that counts; they choose kernels and fill caches.
        repeats: Runs that count.

    Raises:
        ValueError: The network is in training mode.
    """
    if network.training:
        raise ValueError("The network is in training mode; its evaluation is what matters. Call network.eval().")
    device = torch.device(device)
    dtype = next(network.parameters()).dtype
    image = torch.rand(1, 3, *size, device=device, dtype=dtype)
    with torch.inference_mode():
        taken = time_calls(lambda: network(image), device, warmup, repeats)
    return Latency(taken.p50_ms, taken.p90_ms, repeats, device_name(device), torch.get_num_threads(), str(dtype), size)


@dataclass(frozen=True)
class CallTimes:
    """Time of one call."""

    p50_ms: float
    p90_ms: float
    cpu_ms: float
    """Median of the process' CPU time over the number of PyTorch's threads: on a CPU that others use too, about the
    time that a free one would take."""

    def undisturbed_ms(self, device: torch.device) -> float:
        """What a call takes where nothing else runs: on a CPU its CPU time, elsewhere the median by the clock."""
        return self.cpu_ms if device.type == "cpu" else self.p50_ms


def time_calls(call: Callable[[], object], device: torch.device, warmup: int = 5, repeats: int = 30) -> CallTimes:
    """Time calls, each from start to finish: queued work is waited for before either clock reading.

    Args:
        call: What is timed.
        device: Where it queues work.
        warmup: Calls before the first one that counts; they choose kernels and fill caches.
        repeats: Calls that count.
    """
    wall_ms, cpu_ms = [], []
    for run in range(warmup + repeats):
        _synchronise(device)
        start, before = time.perf_counter(), time.process_time()
        call()
        _synchronise(device)
        if run >= warmup:
            wall_ms.append((time.perf_counter() - start) * 1000)
            cpu_ms.append((time.process_time() - before) * 1000 / torch.get_num_threads())
    p50, p90 = torch.tensor(wall_ms, dtype=torch.float64).quantile(torch.tensor([0.5, 0.9]).double()).tolist()
    return CallTimes(p50, p90, statistics.median(cpu_ms))


def _synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def device_name(device: torch.device) -> str:
    """The GPU's name, else the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)

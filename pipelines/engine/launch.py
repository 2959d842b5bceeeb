"""Where and how a run computes: device, precision, threads, memory layout, and the signals that end it."""

import contextlib
import os
import platform
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType

import cv2
import torch

from pipelines.data.sampling.random_keys import key_number
from pipelines.engine.capabilities import capabilities
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError

SLOWER_IN_BF16 = 13
"""Times as long as in fp32 that a training step of CycleGAN took in bf16 on a processor without instructions for it:
27.9 s of CPU time for 2.08 (`benchmarks/every_machine.py --bf16`; AMD EPYC with AVX2 alone; docs/results/speed.md)."""


@dataclass(frozen=True)
class Machine:
    """The device of this process and how it computes."""

    device: torch.device
    precision: str
    processes: Processes = ALONE
    """The processes that train together, each on its own device."""
    learning: str | None = None
    """Precision of training where it was left to us; None where `precision` was asked for by name."""
    deterministic: bool = False
    """Whether the same bits are demanded: an operation that cannot promise them on a GPU is an error."""

    def autocast(self) -> torch.autocast:
        """bf16 where `precision` says so; losses that need fp32 convert by themselves under autocast's rules."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def for_training(self, begun: str | None = None) -> "Machine":
        """This machine as training uses it.

        Args:
            begun: Precision of the run that is carried on; it is kept unless another one was asked for by name.
        """
        if self.learning is None:
            return self
        return replace(self, precision=begun or self.learning, learning=None)

    @property
    def bf16_pays(self) -> bool:
        """Whether it is faster than float32: on a GPU with instructions for it, on processors that were measured."""
        if self.device.type == "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return self.device.type == "cpu" and capabilities().bf16_pays

    @property
    def fast_is_bf16(self) -> bool:
        """Whether --fast computes in bf16: where that pays, or where the precision was asked for by name."""
        return self.precision == "bf16" or self.bf16_pays

    @property
    def warning(self) -> str | None:
        """One line for whoever asked for what is slow here; None for everyone else."""
        if self.device.type != "cpu" or self.precision != "bf16" or self.bf16_pays:
            return None
        if capabilities().bf16:
            return (
                f"--precision bf16 gains nothing here: this processor ({capabilities()}) multiplies no faster in it "
                "than in fp32, which --precision auto chooses"
            )
        return (
            f"--precision bf16 is slow here: this processor ({capabilities()}) has no instructions for it; training "
            f"took {SLOWER_IN_BF16} times as long as in fp32 where it was measured"
        )


def choose_machine(
    device: str = "auto", precision: str = "auto", processes: Processes = ALONE, deterministic: bool = False
) -> Machine:
    """Resolve "auto": the GPU if there is one, of several processes each its own; bf16 on a GPU that has it.

    On a CPU "auto" is fp32, which is the exact way of inference, and for training bf16 on a processor where it was
    measured to pay (`Machine.for_training`).

    Raises:
        UserError: The device is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.world_size > 1:
        device = own_device(device, ProcessRank.of_environment().local_rank)
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise UserError(f"--device {device}: expected auto, cpu, cuda, cuda:1 (any number) or mps")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"--device {device} cannot be used here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)  # whoever asks for no device by number, a clock for one, means this one
    if precision == "auto" and chosen.type == "cpu":
        learning = "bf16" if capabilities().bf16_pays else "fp32"
        return Machine(chosen, "fp32", processes, learning, deterministic)
    learning = None
    if precision == "auto":
        precision = learning = "bf16" if Machine(chosen, "fp32").bf16_pays else "fp32"
    if precision == "fp32":
        compute_in_fp32()
    return Machine(chosen, precision, processes, learning, deterministic)


def compute_in_fp32() -> None:
    """Have GPUs convolve in fp32 where that is the precision; torch's default is TF32, whose products have 10 bits."""
    torch.backends.cudnn.allow_tf32 = False


def own_device(device: str, local_rank: int) -> str:
    """The device of one of several processes on a machine: the CPU for all, or the GPU of its number.

    Raises:
        UserError: They would have to share one.
    """
    if device == "cpu":
        return device
    if device != "cuda":
        raise UserError(f"--device {device} is one device, and there are several processes; expected auto, cpu or cuda")
    gpus = torch.cuda.device_count()
    if local_rank >= gpus:
        raise UserError(
            f"more processes than GPUs on this machine: {gpus}; give torchrun --nproc-per-node {max(gpus, 1)}, "
            "or add --device cpu"
        )
    return f"cuda:{local_rank}"


def shared_device(device: str) -> str:
    """The device of one of several processes that work without each other: in the place of "auto", under torchrun, the
    GPU of its number, which several share where there are fewer.
    """
    local = os.environ.get("LOCAL_RANK", "")
    if device != "auto" or not local.isdigit():
        return device
    count = torch.cuda.device_count()
    return f"cuda:{int(local) % count}" if count else device


def seed_weights(seed: int, purpose: str) -> None:
    """Seed torch before weights are drawn, so that they are a function of the run's seed and what they are for."""
    torch.manual_seed(key_number(seed, "weights", purpose))


def use_threads(threads: int | None) -> None:
    """Compute with so many CPU threads; None leaves torch's choice. OpenCV keeps to one: its work is small images."""
    cv2.setNumThreads(1)
    if threads is not None:
        torch.set_num_threads(threads)


def make_deterministic(strictly: bool = False) -> None:
    """Have torch give the same bits for the same inputs: the promise behind exact resume.

    On a CPU it always does. On a GPU some operations know no order of their sums.

    Args:
        strictly: Such an operation raises RuntimeError, which names it, instead of a warning.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Not `use_deterministic_algorithms`, which imports the compiler as well: four seconds before each command's work.
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() and not strictly else "error")
    torch.backends.cudnn.deterministic = strictly
    # Else each new tensor is filled with NaN first: 8 % of a segmenter's step, for code that reads what it never wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False


def prepare_compiler() -> None:
    """Have torch.compile keep to what `make_deterministic` has demanded, and to this processor; before it is called.

    Its cache on disk does not ask which instructions the libraries may use, by which weights are laid out: what was
    compiled for AVX-512 and is found again by a machine, or a process, of AVX2 alone computes noise, or crashes.
    """
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(True, warn_only=torch.is_deterministic_algorithms_warn_only_enabled())
    own, given = f"sim2real on {capabilities()}", torch.compiler.config.cache_key_tag
    if own not in given:
        torch.compiler.config.cache_key_tag = f"{given} {own}".strip()


def describe_machine(machine: Machine) -> str:
    """One line for a results table: processor, threads, precision."""
    count = machine.processes.world_size
    several = f", {count} processes" if count > 1 else ""
    if machine.device.type == "cuda":
        return f"{torch.cuda.get_device_name(machine.device)}, {machine.precision}{several}"
    threads = torch.get_num_threads()
    return f"{processor_name()}, {threads} thread{'s' if threads > 1 else ''}, {machine.precision}{several}"


def processor_name() -> str:
    """The processor's name as the system gives it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True
        ).stdout.strip()
    return platform.processor() or platform.machine()


STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""What asks to save and leave: batch systems send SIGTERM, or SIGUSR1 ahead of it (`--signal`), people Ctrl-C."""


class BrokenOff(BaseException):
    """What was waited for is not, since a signal asked to stop (`StopRequest.breaking_off`)."""


class StopRequest:
    """Set by one of STOP_SIGNALS; the loop looks at it between steps, saves, and leaves.

    The handler only sets a flag: a checkpoint written inside a handler could interrupt a checkpoint being written.
    A second SIGINT ends the process at once, for people in a hurry.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._breaks_off = False

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal_name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name
        if self._breaks_off:
            self._breaks_off = False  # the next one, while what was done is saved, is none to break off
            raise BrokenOff

    @contextlib.contextmanager
    def breaking_off(self) -> Iterator[None]:
        """Within the block a signal does not wait: for what changes nothing that is kept, and may take for ever.

        Raises:
            BrokenOff: A signal came, here or before.
        """
        self._breaks_off = True
        try:
            if self:
                raise BrokenOff
            yield
        finally:
            self._breaks_off = False

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listen for the signals inside the block; restore the former handlers after it."""
        former = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

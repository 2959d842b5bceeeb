"""What this machine has and can do for us, found out in a few seconds before an experiment takes hours.

A report of a failure that begins with these lines needs no questions back: versions, processor, device, formats of
images, disk, extras, and how fast one network is beside the figure of the README.
"""

import importlib.metadata
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.data.disk.files import size_in_words, write_atomically
from pipelines.data.images import ENCODERS, LOSSY, decode_image
from pipelines.engine.capabilities import capabilities
from pipelines.engine.launch import Machine, processor_name, seed_weights
from pipelines.errors import StorageError, UserError
from segment.complexity import time_calls
from segment.networks import NETWORKS

DISTRIBUTION = "sim2real"
EXTRAS = {
    "video": "videos as input and output (PyAV brings FFmpeg along)",
    "export": "ONNX files and ONNX Runtime",
    "openvino": "OpenVINO files, and --runtime openvino, on CPUs often the fastest",
    "int8": "exports in int8 (NNCF)",
    "imagenet": "ImageNet weights of EfficientNet-Lite 1 and 2",
    "dev": "the tests",
}
"""What each extra of setup.cfg brings."""

README_NETWORK, README_SIZE, README_MS = "ddrnet23_slim", (192, 256), 27.4
"""README, "Speed": the network alone, (height, width), random weights, eager fp32, 1 thread; an AMD EPYC of Zen 4."""
REPEATS = 10

PROBE_BYTES = 2**20
"""Written, synced and removed to see whether the disk takes anything."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination; `problem` says what to do where something is amiss."""

    name: str
    text: str
    problem: UserError | None = None

    @property
    def lines(self) -> list[str]:
        """As shown: the name in a column of its own."""
        shown = [f"{self.name:<11} {self.text}"]
        return shown if self.problem is None else [*shown, f"{'':<11} PROBLEM: {self.problem}"]


def examine(machine: Machine, place: Path) -> Iterator[Finding]:
    """Look at everything, a finding at a time; the measurement comes last.

    Args:
        machine: Where commands would compute.
        place: Where runs would be written; it need not be there yet.
    """
    yield _system()
    yield from _required()
    yield _processor()
    yield _device(machine)
    yield _memory()
    yield _codecs()
    yield _disk(place)
    yield from _extras()
    yield _speed(machine)


def refuse_problems(findings: list[Finding]) -> None:
    """Raise the first problem, in words that say how many there are.

    Raises:
        UserError: Of the problem's own kind, so of its exit code.
    """
    problems = [finding.problem for finding in findings if finding.problem is not None]
    if problems:
        more = f"; and {len(problems) - 1} more, marked above" if len(problems) > 1 else ""
        raise type(problems[0])(f"{problems[0]}{more}")


def _system() -> Finding:
    version = _version(DISTRIBUTION) or "not installed, run from its source"
    return Finding("system", f"sim2real {version}, Python {platform.python_version()}, {platform.platform()}")


def _required() -> Iterator[Finding]:
    """The packages that every command may need, with what is missing or too old."""
    needed = requirements().get("", [])
    found = [(need, _version(need.name)) for need in needed]
    text = ", ".join(f"{need.name} {version or 'missing'}" for need, version in found)
    bad = [need.text for need, version in found if version is None or not need.allows(version)]
    remedy = f"run python -m pip install {' '.join(map(repr, bad))}"
    yield Finding(
        "packages", text or "as the source has them", UserError(f"{', '.join(bad)}: {remedy}") if bad else None
    )


def _processor() -> Finding:
    return Finding("processor", f"{processor_name()}, {_cores()} cores for us, {capabilities()}")


def _device(machine: Machine) -> Finding:
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    training = machine.for_training().precision
    return Finding(
        "device",
        f"{machine.device} (GPUs: {', '.join(gpus) or 'none'}); computes in {machine.precision}, trains in {training}, "
        f"--fast is {'bf16' if machine.fast_is_bf16 else 'the exact way'}",
    )


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return Finding("memory", f"{size_in_words(total)}, of which {size_in_words(free)} unused")


def _codecs() -> Finding:
    """Every format that is written, written once and read back."""
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    image[:] = image[:1, :1] // 2 + 64  # even: what JPEG loses of it is a level or two
    broken = []
    for suffix, encode in ENCODERS.items():
        try:
            read = decode_image(encode(image))
            right = read.shape == image.shape and np.abs(read.astype(int) - image).max() <= (
                3 if suffix in LOSSY else 0
            )
        except Exception as error:  # whatever a broken library raises
            broken.append(f"{suffix} ({error})")
        else:
            broken += [] if right else [f"{suffix} (comes back otherwise)"]
    text = f"{', '.join(suffix.removeprefix('.') for suffix in ENCODERS)}: each written and read back"
    remedy = "reinstall opencv-python-headless, pillow, simplejpeg and kornia_rs"
    return Finding("codecs", text, UserError(f"{'; '.join(broken)}: {remedy}") if broken else None)


def _disk(place: Path) -> Finding:
    there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    try:
        stat = os.statvfs(there)
        with tempfile.TemporaryDirectory(dir=there, prefix=".sim2real-doctor-") as folder:
            write_atomically(Path(folder) / "probe", bytes(PROBE_BYTES))
    except StorageError as error:
        return Finding("disk", str(there), error)
    except OSError as error:
        problem = StorageError(f"{there}: cannot write: {error.strerror or error}. Choose another --run or --output")
        return Finding("disk", str(there), problem)
    return Finding("disk", f"{there}: {size_in_words(stat.f_bavail * stat.f_frsize)} free, can be written")


def _extras() -> Iterator[Finding]:
    for extra, needs in requirements().items():
        if not extra:
            continue
        missing = [need.text for need in needs if not need.allows(_version(need.name) or "0")]
        state = (
            f"missing: {', '.join(missing)}; python -m pip install '{DISTRIBUTION}[{extra}]'" if missing else "there"
        )
        yield Finding(f"[{extra}]", f"{EXTRAS.get(extra, 'an extra')}: {state}")


def _speed(machine: Machine) -> Finding:
    """One network's forward pass, measured as the README's figure was: on one thread, where others disturb least."""
    seed_weights(0, "doctor")
    network = NETWORKS[README_NETWORK](auxiliary=False).eval().to(machine.device)
    image = torch.rand(1, 3, *README_SIZE, device=machine.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            taken = time_calls(lambda: network(image), machine.device, warmup=3, repeats=REPEATS)
    finally:
        torch.set_num_threads(threads)
    height, width = README_SIZE
    text = f"{README_NETWORK} at {width}x{height}: {taken.p50_ms:.1f} ms (median of {REPEATS})"
    if machine.device.type == "cpu":
        text += (
            f", {taken.cpu_ms:.1f} ms of CPU time on one thread; the README's machine took {README_MS} ms, this one "
            f"{'is' if taken.p50_ms < 1.2 * taken.cpu_ms else 'is busy, and by CPU time'} "
            f"{README_MS / taken.cpu_ms:.2f} times as fast"
        )
    return Finding("speed", text)


@dataclass(frozen=True)
class Requirement:
    """A package that is asked for, and the least version."""

    name: str
    text: str
    least: tuple[int, ...]

    def allows(self, version: str) -> bool:
        """Whether a version is that or later."""
        return _numbers(version) >= self.least


def requirements() -> dict[str, list[Requirement]]:
    """What the installed package asks for, by extra; "" is what it always needs. Empty where it is not installed."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[Requirement]] = {}
    for line in lines:
        asked, _, condition = line.partition(";")
        extra = re.search(r"""extra\s*==\s*["']([^"']+)""", condition)
        name = re.match(r"[\w.-]+", asked)
        least = re.search(r">=\s*([\d.]+)", asked)
        if name is not None:
            need = Requirement(name[0], asked.strip(), _numbers(least[1]) if least else ())
            found.setdefault(extra[1] if extra else "", []).append(need)
    return found


def _numbers(version: str) -> tuple[int, ...]:
    """1.26.0+cpu as (1, 26, 0)."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

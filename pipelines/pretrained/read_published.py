"""The tensors of a file that somebody published, read where reading can do no harm.

A .pth file is a program for a pickle machine, so `unpickle.py` runs it in a process of its own, with limits, and hands
back plain tensors. Whoever reads foreign weights, of translators, segmenters or encoders, reads them here.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from pipelines.data.disk.files import open_regular, storage_errors
from pipelines.errors import CheckpointError
from pipelines.pretrained.wrappers import State

LARGEST = 4 * 2**30
"""Bytes of a file; the largest published generator has 732 million."""
SECONDS = 20
"""Computing time of the reading process, and a second more for each 20 MB. Importing torch alone takes 1.4."""
MEMORY = 512 * 2**20
"""Bytes that it is allowed on top of what torch takes, and four times the file's size."""


def read_published(path: Path) -> dict[str, State]:
    """The tensors of a .pth or .safetensors file, read in a process of its own that can do no harm.

    Returns:
        {"": state} or, where a file holds several networks, {name: state}.

    Raises:
        CheckpointError: Unreadable, too large, damaged, unsafe, or without tensors; one line that names the file.
    """
    try:
        stream = open_regular(path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror or error}; expected a published .pth, .safetensors or .npy file"
        ) from error
    with stream, tempfile.TemporaryDirectory(prefix="sim2real-") as folder:
        size = os.fstat(stream.fileno()).st_size
        if not 0 < size <= LARGEST:
            raise CheckpointError(
                f"{path}: has {size} bytes; expected a published .pth, .safetensors or .npy file of up to "
                f"{LARGEST >> 30} GiB"
            )
        output = Path(folder) / "tensors.safetensors"
        answer = _unpickled(path, stream.fileno(), output, MEMORY + 4 * size, SECONDS + size // 20_000_000)
        if "refused" in answer:
            raise CheckpointError(f"{path}: {answer['refused']}")
        try:
            with storage_errors(output):
                tensors = load_file(output)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); copy or download it again") from error
    networks: dict[str, State] = {}
    for name, value in tensors.items():
        network, _, key = name.rpartition("/")
        networks.setdefault(network, {})[key] = value
    return networks


def _unpickled(path: Path, descriptor: int, output: Path, memory: int, seconds: int) -> dict[str, Any]:
    """What the reading process says: {"networks": counts} or {"refused": why}."""
    script = Path(__file__).with_name("unpickle.py")
    command = [sys.executable, "-I", str(script), str(output), str(memory), str(seconds)]
    # Nothing of ours is handed down: no keys in the environment, no GPU, no folder to look around in.
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "LC_ALL": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PATH") if name in os.environ}
    try:
        done = subprocess.run(
            command, stdin=descriptor, capture_output=True, env=environment, cwd=output.parent, timeout=10 * seconds
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(f"{path}: reading was given up after {10 * seconds} s, which none takes") from error
    try:
        answer = json.loads(done.stdout.decode("utf-8", "replace").splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if done.returncode < 0 or not isinstance(answer, dict) or not answer.keys() & {"networks", "refused"}:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise CheckpointError(
            f"{path}: reading it took more than {seconds} s of computing or {memory >> 20} MB, or broke down ({how}); "
            "no checkpoint of its size should. Download it again"
        )
    return answer

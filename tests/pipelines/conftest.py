"""A whole experiment in miniature, for every test of workspace, stages and command line: toy world of 64x32 pixels.

The network is in miniature too: DDRNet-23-slim at a quarter of its width, whose checkpoints are a twentieth as large.
Frames are drawn once per session. `commands` runs real command lines in processes of their own; `tiny_run` is a
finished comparison, to be looked at and not to be changed (`copied_run` may be).
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.distributed import TCPStore

from pipelines.data.toyworld.write import draw_toy_world
from pipelines.engine.launch import choose_machine
from pipelines.engine.session import Session
from pipelines.experiment.config import read_experiment
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained import read_published
from segment.networks import NETWORKS
from tests.pipelines.hangs import HANGS_S
from tests.pipelines.launching import PROGRESS, Ended, Server, process
from tests.pipelines.narrow import narrow_ddrnet
from tests.pipelines.syncing import ask_no_disk
from tests.pipelines.unpickling import unpickled

ROOT = Path(__file__).parents[2]
FRAME_SET = """
[[{part}]]
name = "{name}"
reader = "toyworld"
renderer = "{renderer}"
root = "{root}"
frames = {frames}
size = [64, 32]
seed = {seed}
"""
TRAINING = """
[translator]
generator = "resnet6"
generator_channels = 4
discriminator_channels = 4
height = 32
crop = 32
steps = 4
pool_size = 2
checkpoint_every = 2
preview_every = 2

[segmenter]
height = 32
crop = [64, 32]
batch = 2
steps = 3
warmup_steps = 1
learning_rate = 1e-3
loss = "cross_entropy"
checkpoint_every = 2
preview_every = 2
"""
SETS = (
    ("source", "game", "game", 5, 1),
    ("target", "camera", "camera", 4, 2),
    ("validation", "camera_val", "camera", 4, 3),
)


@dataclass(frozen=True)
class Finished:
    """What a command line left: exit code (negative: killed by that signal) and output, but for lines of progress."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module", autouse=True)
def narrow_network():
    """Every test here trains and loads the narrow network under the name of the default one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "ddrnet23_slim", narrow_ddrnet)
        yield


@pytest.fixture(scope="session", autouse=True)
def syncing():
    """No test waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", ask_no_disk)
        yield


@pytest.fixture(scope="module", autouse=True)
def unpickling():
    """Foreign checkpoints are read in this process, but where the other one is the point."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_published, "_unpickled", unpickled)
        yield


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    """TOML file of the miniature experiment; its frames are drawn."""
    folder = tmp_path_factory.mktemp("tiny")
    text = 'name = "tiny"\n'
    for part, name, renderer, frames, seed in SETS:
        root = folder / "frames" / name
        draw_toy_world(root, renderer, frames, (64, 32), seed)
        text += FRAME_SET.format(part=part, name=name, renderer=renderer, root=root, frames=frames, seed=seed)
    (folder / "tiny.toml").write_text(text + TRAINING)
    return folder / "tiny.toml"


@pytest.fixture
def make_workspace(tiny_config, tmp_path):
    """A function: overrides of settings ("translator.steps=2", ...) and a run folder -> Workspace."""

    def make(*overrides, run=tmp_path / "run"):
        return Workspace(read_experiment(tiny_config, overrides), tmp_path, run)

    return make


@pytest.fixture
def cpu():
    """The machine of all tests; it chooses as their commands do. One thread, as theirs: another order is other bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield choose_machine("cpu")
    torch.set_num_threads(threads)


@pytest.fixture
def session(cpu):
    """How a test computes: on `cpu`, all in this process."""
    return Session(cpu, command="sim2real typed")


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """A function: arguments of `sim2real`, and `trap`, `limits`, `decoder` (see command_server.py) -> Finished."""
    folder = tmp_path_factory.mktemp("commands")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("command_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )

    def run(*arguments, trap=None, limits=None, decoder=None):
        request = {"argv": [str(argument) for argument in arguments], "folder": str(folder), "trap": trap}
        request |= {"limits": limits or {}, "decoder": decoder}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        stdout, stderr = ((folder / name).read_text() for name in ("stdout", "stderr"))
        return Finished(answer["code"], stdout, PROGRESS.sub("", stderr))

    yield run
    server.stdin.close()
    assert server.wait(HANGS_S) == 0


@pytest.fixture(scope="session")
def tiny_run(commands, tiny_config, tmp_path_factory):
    """Run folder of a finished comparison, seed 0. Not to be changed."""
    run = tmp_path_factory.mktemp("compared") / "run"
    finished = commands("compare", tiny_config, "--run", run, "--workers", 0, "--threads", 1)
    assert finished.code == 0, finished.stderr
    return run


@pytest.fixture
def copied_run(tiny_run, tmp_path):
    """A copy of `tiny_run` that may be changed."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


# --- several processes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    """A function: a command, its arguments in each process, and mishaps by rank -> Ended."""
    folder, server = tmp_path_factory.mktemp("launched"), Server()

    def run(*commands, **mishaps):
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        shared = {"WORLD_SIZE": len(commands), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
        shared["TORCHELASTIC_USE_AGENT_STORE"] = True
        outputs = [folder / str(rank) for rank in range(len(commands))]
        processes = []
        for rank, command in enumerate(commands):
            place = shared | {"RANK": rank, "LOCAL_RANK": rank}
            processes.append(process(command, place, mishaps.get(f"rank_{rank}"), outputs[rank]))
        server.ask(*processes)
        return Ended(server.answer(), outputs)

    yield run
    server.close()

"""Checkpoints that are damaged, made up or weapons: exit code 5, one line, no code runs, nothing is written.

Ours are safetensors and JSON with a manifest. An enemy can compute hashes too, so most of these have right ones: what
is read must be refused for what it holds. Other people's are pickles, which are programs.
"""

import json
import os
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines import cli
from pipelines.data.disk.files import sha256_of
from pipelines.data.images import write_image
from pipelines.pretrained.read_published import read_published
from pipelines.pretrained.unpickle import Refused, look_through, networks_in
from pipelines.stages.inspection.verify import find_verifiable, verify

SAMPLED_EVERY = 4
WEIGHTS, MOMENTS, STATE, MANIFEST = "method.safetensors", "optimizers.safetensors", "state.json", "manifest.json"


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    write_image(folder / "a.png", np.zeros((32, 64, 3), np.uint8))
    return folder


@pytest.fixture
def checkpoint(tiny_run, tmp_path):
    """A copy of a segmenter's last checkpoint, to be damaged."""
    newest = max((tiny_run / "seed-0/oracle/checkpoints").iterdir())
    return Path(shutil.copytree(newest, tmp_path / newest.name))


@pytest.fixture
def said_of(monkeypatch, capsys, tmp_path, frames):
    """A function: a checkpoint -> the one line with which `segment predict` refuses it."""

    def run(path, *command):
        command = command or (
            *("segment", "predict", "--checkpoint", path, "--input", frames, "--output", tmp_path / "out"),
            *("--runtime", "torch", "--device", "cpu", "--threads", 1),
        )
        monkeypatch.setattr(sys, "argv", ["sim2real", *map(str, command)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        assert stopped.value.code == 5, said.err
        (line,) = (line for line in said.err.splitlines() if not line.startswith("predict: "))
        assert line.startswith("error: ") and len(line) < 1500
        assert not (tmp_path / "out").exists() and not (tmp_path / "canary").exists()
        return line

    return run


def seal(folder):
    """Have the manifest agree with the files, as whoever made them up would."""
    hashes = {name: sha256_of(folder / name) for name in (WEIGHTS, MOMENTS, STATE)}
    (folder / MANIFEST).write_text(json.dumps(hashes))


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


# --- one byte ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 8, 0.1, 0.3, 0.5, 0.7, 0.9, -1])
@pytest.mark.parametrize("name", [WEIGHTS, MOMENTS, STATE])
def test_a_flipped_bit_is_named(said_of, checkpoint, name, place):
    data = bytearray((checkpoint / name).read_bytes())
    data[int(place * len(data)) if isinstance(place, float) else place] ^= 0x10
    (checkpoint / name).write_bytes(bytes(data))
    assert f"{checkpoint}: {name} has changed since it was written; use an older one" in said_of(checkpoint)
    (problem,) = verify(find_verifiable(checkpoint)[0]).problems
    assert str(checkpoint / name) in str(problem)


@pytest.mark.parametrize("left", [0, 1, 100, 0.5, -2])
@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST])
def test_a_file_that_is_cut_off(said_of, checkpoint, name, left):
    data = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(data[: int(left * len(data)) if isinstance(left, float) else left])
    assert str(checkpoint) in said_of(checkpoint)


@pytest.mark.parametrize("name", [WEIGHTS, MOMENTS, STATE, MANIFEST])
def test_a_file_that_is_missing(said_of, checkpoint, name):
    (checkpoint / name).unlink()
    assert name in said_of(checkpoint)


# --- made up, with right hashes ---------------------------------------------------------------------------------------

NO_TENSORS = {
    "empty": b"",
    "nothing but a length": struct.pack("<Q", 0),
    "a length beyond the file": struct.pack("<Q", 2**62) + b"{}",
    "a length beyond all memory": b"\xff" * 8 + b"{}",
    "no JSON": safetensors(b"{not json}"),
    "a list": safetensors([]),
    "deeply nested": safetensors(b"[" * 100_000),
    "a pickle": pickle.dumps({"a": 1}),
    "HTML": b"<!DOCTYPE html><html>404</html>",
    "overlapping": safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
    "with a hole": safetensors({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
    "beyond its end": safetensors({"a": entry([1000], 0, 4000)}, bytes(8)),
    "behind its end": safetensors({"a": entry([1], 0, 4)}, bytes(400)),
    "shape against length": safetensors({"a": entry([3], 0, 8)}, bytes(8)),
    "shape that overflows": safetensors({"a": entry([2**62, 2**62], 0, 8)}, bytes(8)),
    "negative shape": safetensors({"a": entry([-1], 0, 4)}, bytes(4)),
    "unknown dtype": safetensors({"a": entry([1], 0, 4, "F31")}, bytes(4)),
    "a hundred thousand names": safetensors({f"t{number}": entry([0], 0, 0) for number in range(100_000)}),
    "no tensor at all": safetensors({}),
    "tensors of others": safetensors({"a": entry([1], 0, 4)}, bytes(4)),
}


@pytest.mark.parametrize("what", NO_TENSORS)
def test_weights_that_are_none(said_of, checkpoint, what):
    (checkpoint / WEIGHTS).write_bytes(NO_TENSORS[what])
    seal(checkpoint)
    line = said_of(checkpoint)
    assert "is damaged (" in line or "is of another network" in line


def changed_weights(checkpoint, change):
    tensors = load_file(checkpoint / WEIGHTS)
    change(tensors, next(name for name in tensors if name.endswith("weight") and tensors[name].ndim == 4))
    save_file(tensors, checkpoint / WEIGHTS)
    seal(checkpoint)


WRONG_WEIGHTS = {
    "one missing": lambda tensors, name: tensors.pop(name),
    "one more": lambda tensors, name: tensors.update({"network.more": torch.zeros(1)}),
    "another shape": lambda tensors, name: tensors.update({name: tensors[name][:1].contiguous()}),
    "another rank": lambda tensors, name: tensors.update({name: tensors[name].flatten()}),
    "NaN": lambda tensors, name: tensors[name].fill_(float("nan")),
    "one infinity": lambda tensors, name: tensors[name].view(-1)[:1].fill_(float("inf")),
    "renamed": lambda tensors, name: tensors.update({name + "s": tensors.pop(name)}),
}


@pytest.mark.parametrize("what", WRONG_WEIGHTS)
def test_weights_of_another_network_or_of_none(said_of, checkpoint, what):
    changed_weights(checkpoint, WRONG_WEIGHTS[what])
    line = said_of(checkpoint)
    assert "is of another network" in line or "holds values that are no numbers" in line


def about(**changes):
    return lambda state: state["about"].update(changes)


def settings(**changes):
    return lambda state: state["about"]["settings"].update(changes)


STATES = {
    "a list": lambda state: [],
    "a number": lambda state: 3,
    "no format": lambda state: state.pop("format"),
    "a later format": lambda state: state.update(format=99),
    "a format in words": lambda state: state.update(format="1"),
    "nothing about it": lambda state: state.pop("about"),
    "about a list": lambda state: state.update(about=[1]),
    "no step": lambda state: state.pop("step"),
    "no optimizers": lambda state: state.pop("optimizers"),
    "of a translator": about(stage="translator"),
    "of no stage": about(stage=None),
    "no settings": lambda state: state["about"].pop("settings"),
    "settings that are none": about(settings="x"),
    "an unknown setting": settings(evil=1),
    "an unknown network": settings(network="os.system"),
    "a network that is a path": settings(network="../../etc/passwd"),
    "steps in words": settings(steps="many"),
    "another height": settings(height=-5),
    "no mean": about(assumed={}),
    "a mean of two channels": about(assumed={"image_mean": [0, 0], "image_std": [1, 1], "align_corners": False}),
    "a mean in words": about(assumed={"image_mean": "x", "image_std": "y", "align_corners": False}),
}


@pytest.mark.parametrize("what", STATES)
def test_a_state_that_is_none(said_of, checkpoint, what):
    state = json.loads((checkpoint / STATE).read_text())
    result = STATES[what](state)
    (checkpoint / STATE).write_text(json.dumps(result if what in ("a list", "a number") else state))
    seal(checkpoint)
    assert str(checkpoint) in said_of(checkpoint)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN", b"null"], ids=repr)
def test_a_state_that_is_no_json(said_of, checkpoint, content):
    (checkpoint / STATE).write_bytes(content)
    seal(checkpoint)
    assert f"{checkpoint / STATE}" in said_of(checkpoint)


MANIFESTS = {
    "a list": "[]",
    "nothing": "{}",
    "deeply nested": "[" * 100_000,
    "a file elsewhere": json.dumps({"../../../etc/passwd": "0" * 64}),
    "an absolute file": json.dumps({"/etc/passwd": "0" * 64}),
    "a folder": json.dumps({".": "0" * 64}),
    "an odd name": json.dumps({"a\0b": "0" * 64}),
    "other hashes": json.dumps(dict.fromkeys((WEIGHTS, MOMENTS, STATE), "0" * 64)),
    "numbers for hashes": json.dumps(dict.fromkeys((WEIGHTS, MOMENTS, STATE), 0)),
    "a file left out": json.dumps({WEIGHTS: "0" * 64}),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_manifest_that_is_none(said_of, checkpoint, what):
    (checkpoint / MANIFEST).write_text(MANIFESTS[what])
    assert str(checkpoint) in said_of(checkpoint)


@pytest.mark.parametrize("name", [WEIGHTS, STATE, MANIFEST])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_a_file_that_is_none_of_the_kind(said_of, checkpoint, name, kind):
    """A pipe would be waited for, a device read for ever."""
    path = checkpoint / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else name)
    assert str(checkpoint) in said_of(checkpoint)


# --- pickles ----------------------------------------------------------------------------------------------------------


class Payload:
    """Unpickled without restriction, it calls something."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def bombs(canary):
    """Name -> what leaves `canary` behind, or would cost memory, where nothing holds it."""
    command = f"touch {canary}"
    return {
        "os.system": Payload(os.system, command),
        "os.mkdir": Payload(os.mkdir, str(canary)),
        "eval": Payload(eval, f"open({str(canary)!r}, 'w')"),
        "exec": Payload(exec, f"open({str(canary)!r}, 'w')"),
        "open": Payload(open, str(canary), "w"),
        "pickle.loads": Payload(pickle.loads, pickle.dumps(Payload(os.mkdir, str(canary)))),
        "getattr": Payload(getattr, Payload(__import__, "os"), "system"),
        "torch.load": Payload(torch.load, str(canary)),
        "bytes without end": Payload(bytes, 2**40),
    }


CONTAINERS = ("archive", "legacy", "bare", "safetensors' name")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("bomb", bombs(Path("canary")))
def test_a_pickle_that_is_a_program(tmp_path, bomb, container):
    """In this process, where it takes milliseconds; the next test sends some the whole way."""
    canary = tmp_path / "canary"
    path = write_bomb(tmp_path, bombs(canary)[bomb], container)
    with open(path, "rb") as stream, pytest.raises(Refused):
        look_through(stream)
        networks_in(stream)
    assert not canary.exists()


def write_bomb(folder, payload, container):
    path = folder / ("x.safetensors" if container == "safetensors' name" else "x.pth")
    if container in ("bare", "safetensors' name"):
        path.write_bytes(pickle.dumps(payload, protocol=2))
    else:
        content = {"model.1.weight": torch.ones(1), "x": payload}
        torch.save(content, path, _use_new_zipfile_serialization=container == "archive")
    return path


@pytest.mark.parametrize("container", CONTAINERS[:3])
def test_the_command_runs_none_of_it(said_of, tmp_path, container):
    path = write_bomb(tmp_path, bombs(tmp_path / "canary")["os.system"], container)
    line = said_of(path, "checkpoint", "import", path, "--output", tmp_path / "out")
    assert str(path) in line


def test_an_archive_that_unpacks_to_a_thousand_times_its_size(said_of, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}))
        archive.writestr("x/data/0", bytes(200 * 2**20))
    line = said_of(tmp_path / "x.pth", "checkpoint", "import", tmp_path / "x.pth", "--output", tmp_path / "out")
    assert "compressed archive" in line


def test_what_is_read_is_read(tmp_path):
    """The refusals above would prove little of a reader that refuses all."""
    torch.save({"model.1.weight": torch.ones(1)}, tmp_path / "x.pth")
    (tensors,) = read_published(tmp_path / "x.pth").values()
    assert tensors["model.1.weight"].tolist() == [1.0]

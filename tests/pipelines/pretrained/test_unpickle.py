"""Foreign pickles: no code runs, nothing is unpacked, and what does not hold plain numbers is refused in a few words.

Most is tried in this process, where it takes milliseconds; the limits of the real one are tried at the end, and what
comes of it in `test_read_published.py`.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipelines.pretrained import unpickle
from pipelines.pretrained.unpickle import Refused, load, look_through, networks_in


def state():
    found = OrderedDict({"model.1.weight": torch.arange(6.0).reshape(2, 3), "model.1.bias": torch.ones(2)})
    found._metadata = OrderedDict({"": {"version": 1}})
    return found


def read(path):
    """All that the process does, in this one."""
    with open(path, "rb") as stream:
        look_through(stream)
        return networks_in(stream)


def saved(path, content, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def archive(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


def assert_refused(path, message):
    with pytest.raises(Refused, match=message):
        read(path)


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_dict_with_metadata_is_read(tmp_path, legacy):
    networks = read(saved(tmp_path / "x.pth", state(), legacy))
    assert list(networks) == [""]
    assert all(torch.equal(value, state()[key]) for key, value in networks[""].items())


def test_networks_kept_together_are_told_from_what_is_beside_them(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    weight.sum().backward()
    optimizer.step()
    content = {
        "netG_S2T": state(),
        "netD_S": state(),
        "optimizer_G": optimizer.state_dict(),
        "epoch": 3,
        "args": argparse.Namespace(lr=2e-4, name="x", sizes=(256, 256)),
    }
    assert {name: len(tensors) for name, tensors in read(saved(tmp_path / "x.pth", content)).items()} == {
        "netG_S2T": 2,
        "netD_S": 2,
    }


def test_numbers_beside_a_state_dict_are_no_network(tmp_path):
    beside = {"best_miou": torch.tensor(0.7), "class_weights": torch.ones(19)}
    assert list(read(saved(tmp_path / "best.pth", beside | {"state_dict": state()}))) == ["state_dict"]


def test_what_lies_beside_a_plain_state_dict_is_left_out(tmp_path):
    content = {"0.weight": torch.ones(3, 3), "average": state()}
    assert {name: list(one) for name, one in read(saved(tmp_path / "plain.pth", content)).items()} == {"": ["0.weight"]}


@pytest.mark.parametrize("legacy", [False, True])
def test_numbers_of_numpy_beside_the_weights_do_no_harm(tmp_path, legacy):
    """The best score of a training; an array of scores by class; none of numpy's objects is made."""
    content = {
        "state_dict": state(),
        "best_mIoU": np.mean([0.7, 0.8]),
        "count": np.int64(3),
        "half": np.float32(0.5),
        "IoU_array": np.array([0.5, 0.25]),
    }
    networks = read(saved(tmp_path / "x.pth", content, legacy))
    assert {name: len(tensors) for name, tensors in networks.items()} == {"state_dict": 2}


def test_numbers_of_numpy_before_its_second_version_are_read(tmp_path):
    """They were called by numpy.core, which the numpy of today no longer writes."""
    old = [(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")]
    content = pickle.dumps({"best": np.float64(0.75), "weight": 0}, protocol=2)
    for new, replaced in old:
        assert new in content
        content = content.replace(new, replaced)
    path = archive(tmp_path / "x.pth", {"x/data.pkl": content, "x/version": b"3", "x/byteorder": b"little"})
    with open(path, "rb") as stream:
        look_through(stream)
        best = load(stream)["best"]
    assert isinstance(best, unpickle.StoredNumber) and best.made_of[1] == np.float64(0.75).tobytes()


def test_what_else_numpy_has_is_refused(tmp_path):
    """Only what stands in for numbers and arrays is found; a function of numpy is not."""
    for name in (b"numpy\nload", b"numpy.core.multiarray\nfromfile", b"numpy\nmemmap"):
        content = b"\x80\x02c" + name + b"\nX\x01\x00\x00\x00a\x85R."
        path = archive(tmp_path / "x.pth", {"x/data.pkl": content, "x/version": b"3", "x/byteorder": b"little"})
        assert_refused(path, r"holds more than tensors \(numpy")


def test_safetensors_are_read_with_the_same_checks(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(dict(state()), path)
    assert torch.equal(read(path)[""]["model.1.weight"], state()["model.1.weight"])
    save_file({"a": torch.tensor([1.0, float("nan")])}, path)
    assert_refused(path, "values that are no numbers")
    save_file({"a": torch.zeros(1).to(torch.float8_e4m3fn)}, path)
    assert_refused(path, "of type torch.float8_e4m3fn; expected one of float32")


def test_damaged_safetensors_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(dict(state()), path)
    whole = path.read_bytes()
    for content in (whole[:-4], whole[:8] + b"{" * (len(whole) - 8), b"\x01\x00\x00\x00\x00\x00\x00\x00{"):
        path.write_bytes(content)
        assert_refused(path, "cut short or damaged")
    path.write_bytes(whole[:20])
    assert_refused(path, "is no file of torch.save, and none of safetensors")


# --- what runs code ---------------------------------------------------------------------------------------------------


class Payload:
    """Unpickled without restriction, it leaves a file behind."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def payloads(folder, canary):
    """The three containers that torch.load takes: archive, row of pickles, bare pickle."""
    content = {"model.1.weight": torch.ones(1), "x": Payload(canary)}
    bare = folder / "bare.pth"
    bare.write_bytes(pickle.dumps(Payload(canary), protocol=2))
    return [saved(folder / "archive.pth", content), saved(folder / "legacy.pth", content, legacy=True), bare]


def test_the_payload_works_where_nothing_holds_it(tmp_path):
    """Else the next test would prove nothing."""
    for number, path in enumerate(payloads(tmp_path, tmp_path / "canary")):
        if number < 2:
            torch.load(path, weights_only=False)
        else:
            pickle.loads(path.read_bytes())
        (tmp_path / "canary").rmdir()
    assert not (tmp_path / "canary").exists()


def test_no_code_runs_in_any_container(tmp_path):
    for path in payloads(tmp_path, tmp_path / "canary"):
        with pytest.raises(Refused, match=r"holds more than tensors \((posix|nt)\.mkdir\)|cut short or damaged"):
            read(path)
        with open(path, "rb") as stream, pytest.raises(Refused):
            load(stream)  # whatever the look beforehand found
    assert not (tmp_path / "canary").exists()


def test_the_advice_to_drop_the_restriction_is_not_passed_on(tmp_path):
    with pytest.raises(Refused) as caught:
        read(saved(tmp_path / "x.pth", torch.nn.Linear(2, 2)))
    assert "Linear" in str(caught.value) and "state_dict alone" in str(caught.value)
    assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)


# --- what is no state dict --------------------------------------------------------------------------------------------


def meta():
    return torch.zeros(3, device="meta")


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: [torch.zeros(3)], "holds a list, expected a state dict"),
        (lambda: torch.zeros(3), "holds a Tensor"),
        (lambda: {"epoch": 3}, "holds no tensors"),
        (lambda: {"a": torch.zeros(3).to_sparse()}, "'a', which is sparse, quantised"),
        (lambda: {"a": torch.zeros(3, 3).to_sparse_csr()}, "sparse"),
        (lambda: {"a": quantised()}, "quantised"),
        (lambda: {"a": meta()}, "without numbers"),
        (lambda: {"a": torch.zeros(3, dtype=torch.complex64)}, "complex64; expected one of float32"),
        (lambda: {"a": torch.tensor([1.0, float("nan")])}, "values that are no numbers"),
        (lambda: {"a": torch.tensor([1.0, float("inf")])}, "values that are no numbers"),
        (lambda: {"a": torch.zeros(1).expand(10**6, 10**6)}, "claims more numbers than there are"),
        (lambda: {"../a": torch.zeros(1)}, "a tensor called"),
        (lambda: {3: torch.zeros(1)}, "a tensor called"),
        (lambda: {"a" * 301: torch.zeros(1)}, "a tensor called"),
        (lambda: {"../net": {"a": torch.zeros(1)}}, "a network called"),
    ],
)
def test_what_is_no_plain_state_dict_is_refused(tmp_path, content, message):
    assert_refused(saved(tmp_path / "x.pth", content()), message)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.1, 0.5, 0.9, 0.99])
def test_what_is_cut_short_is_refused_the_same_way(tmp_path, legacy, part):
    path = saved(tmp_path / "x.pth", state(), legacy)
    content = path.read_bytes()
    path.write_bytes(content[: max(3, int(part * len(content)))])
    assert_refused(path, "cut short or damaged|damaged archive|no file of torch.save")


def test_a_missing_or_short_storage_is_refused(tmp_path):
    whole = saved(tmp_path / "x.pth", state())
    with zipfile.ZipFile(whole) as source:
        files = {name: source.read(name) for name in source.namelist()}
    numbers = next(name for name in files if name.endswith("/data/0"))
    assert_refused(
        archive(tmp_path / "missing.pth", {n: c for n, c in files.items() if n != numbers}), "cut short or damaged"
    )
    assert_refused(archive(tmp_path / "short.pth", files | {numbers: files[numbers][:8]}), "cut short|claims more")


# --- bombs ------------------------------------------------------------------------------------------------------------


def test_a_compressed_archive_is_refused_unread(tmp_path):
    """A thousandth of its content on disk."""
    content = {"x/data.pkl": b"\x80\x02}q\x00.", "x/data/0": bytes(10**7)}
    path = archive(tmp_path / "bomb.pth", content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert_refused(path, "compressed archive, which torch.save never writes")


def test_an_archive_that_claims_more_than_its_size_is_refused(tmp_path):
    path = archive(tmp_path / "x.pth", {"x/data.pkl": b"\x80\x02}q\x00.", "x/data/0": bytes(100)})
    # The sizes in the directory at the end: 100 bytes become 0x7fffff64.
    path.write_bytes(path.read_bytes().replace((100).to_bytes(4, "little"), b"\x64\xff\xff\x7f"))
    assert_refused(path, "claims to hold more than its own size")


@pytest.mark.parametrize("container", ["archive", "legacy"])
def test_two_million_marks_are_refused_in_half_a_second(tmp_path, container):
    marks = b"\x80\x02" + b"(" * 2_000_000 + b"."
    path = tmp_path / "x.pth"
    if container == "archive":
        archive(path, {"x/data.pkl": marks, "x/version": b"3"})
    else:
        path.write_bytes(marks)
    assert_refused(path, "more instructions than any state dict has")


def test_a_large_description_is_refused(tmp_path):
    assert_refused(archive(tmp_path / "x.pth", {"x/data.pkl": bytes(9 * 2**20)}), "in 9437184 bytes")


def test_a_string_longer_than_its_file_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes(b"\x80\x04\x8e" + (2**30).to_bytes(8, "little") + b"xx")
    assert_refused(path, "cut short or damaged")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({f"x/data/{number}": b"" for number in range(20_001)}, "archive of 20001 files"),
        ({"x/data.pkl": b"", "x/constants.pkl": b""}, "TorchScript program"),
        ({"x/data.pkl": b"", "y/data.pkl": b""}, "without a state dict"),
        ({"readme.txt": b""}, "without a state dict"),
    ],
)
def test_other_archives_are_refused(tmp_path, files, message):
    assert_refused(archive(tmp_path / "x.zip", files), message)


def test_text_is_refused(tmp_path):
    (tmp_path / "x.pth").write_text("<html>not found</html>")
    assert_refused(tmp_path / "x.pth", "no file of torch.save")


# --- the process itself -----------------------------------------------------------------------------------------------


def run(path, output, memory=2**29, seconds=20):
    with open(path, "rb") as stream:
        command = [sys.executable, "-I", unpickle.__file__, str(output), str(memory), str(seconds)]
        return subprocess.run(command, stdin=stream, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1"})


def test_the_process_keeps_to_its_memory(tmp_path):
    """Each tensor claims all of one storage: 3 MB in the file, 3 GB in all."""
    shared = torch.zeros(750_000)
    path = saved(tmp_path / "x.pth", {f"a{number}": shared for number in range(1000)})
    assert path.stat().st_size < 4 * 10**6
    done = run(path, tmp_path / "out", memory=2**28)
    assert "more memory than a file of its size" in json.loads(done.stdout)["refused"]


def test_the_process_keeps_to_its_time(tmp_path):
    done = run(saved(tmp_path / "x.pth", state()), tmp_path / "out", seconds=1)
    assert done.returncode < 0 and not done.stdout  # importing torch alone takes longer

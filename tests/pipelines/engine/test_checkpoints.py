"""Checkpoints: whole or not there, and a flipped bit is noticed."""

import json
import resource
import stat

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.engine import checkpoints
from pipelines.engine.checkpoint_files import checkpoint_hash, verify_checkpoint
from pipelines.engine.checkpoints import load_into, load_part, load_tensors, save_checkpoint, sweep_checkpoints
from pipelines.errors import CheckpointError, StorageError
from tests.pipelines.batch_inference.translating import in_a_process


def trained(steps: int = 2) -> tuple[nn.Module, dict[str, torch.optim.Optimizer]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizers = {
        "first": torch.optim.Adam(network[0].parameters(), lr=0.1),
        "second": torch.optim.SGD(network[1].parameters(), lr=0.1, momentum=0.9),
    }
    for _ in range(steps):
        network(torch.randn(2, 3, 8, 8)).square().mean().backward()
        for optimizer in optimizers.values():
            optimizer.step()
    return network, optimizers


@pytest.fixture
def saved(tmp_path):
    network, optimizers = trained()
    return save_checkpoint(tmp_path, 2, network, optimizers, {"stage": "test"})


def test_holds_networks_and_optimizers(saved):
    network, optimizers = trained()
    other, other_optimizers = trained(steps=0)
    assert load_into(saved, other, other_optimizers) == 2
    for key, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key
    for name, optimizer in optimizers.items():
        ours, theirs = optimizer.state_dict(), other_optimizers[name].state_dict()
        assert json.loads(json.dumps(ours["param_groups"])) == theirs["param_groups"]
        for index, state in ours["state"].items():
            for field, value in state.items():
                assert torch.equal(torch.as_tensor(theirs["state"][index][field]), torch.as_tensor(value)), field


def test_weights_that_have_not_learnt_yet_get_no_empty_moments(tmp_path):
    """Else the next checkpoint would differ from that of a run that was never stopped."""
    network, optimizers = trained(steps=0)
    saved = save_checkpoint(tmp_path, 0, network, optimizers, {"stage": "test"})
    other, other_optimizers = trained(steps=0)
    load_into(saved, other, other_optimizers)
    for optimizer in other_optimizers.values():
        assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_a_channels_last_network_goes_on_as_if_never_saved(tmp_path, make, fused):
    """Fused optimizers pair weights and moments by their order in memory, so a load must restore the layout too."""

    def fresh():
        torch.manual_seed(0)
        network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return network, make(
            network.parameters(), lr=0.1, fused=fused, **({"momentum": 0.9} if make is torch.optim.SGD else {})
        )

    def learn(network, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
            network(image.to(memory_format=torch.channels_last)).square().mean().backward()
            optimizer.step()

    network, optimizer = fresh()
    learn(network, optimizer, range(3))
    checkpoint = save_checkpoint(tmp_path, 3, network, {"one": optimizer}, {})
    resumed, resumed_optimizer = fresh()
    load_into(checkpoint, resumed, {"one": resumed_optimizer})
    for one, its in ((network, optimizer), (resumed, resumed_optimizer)):
        learn(one, its, range(3, 6))
    assert torch.equal(network.weight, resumed.weight)


def test_same_state_gives_the_same_bytes(saved, tmp_path):
    network, optimizers = trained()
    again = save_checkpoint(tmp_path / "again", 2, network, optimizers, {"stage": "test"})
    assert checkpoint_hash(again) == checkpoint_hash(saved)


def test_a_full_disk_keeps_the_former_checkpoint(saved, tmp_path, monkeypatch):
    def no_space(*arguments):
        raise OSError(28, "No space left on device")

    network, optimizers = trained()
    monkeypatch.setattr(checkpoints, "save_file", no_space)
    with pytest.raises(StorageError, match="No space left"):
        save_checkpoint(tmp_path, 3, network, optimizers, {})
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]
    verify_checkpoint(saved)


def test_the_disk_s_own_words_reach_the_user(saved, tmp_path):
    """safetensors tells of a full disk by an error that is no OSError; here the system really refuses."""
    network, optimizers = trained()

    def save_within_a_limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        with pytest.raises(StorageError, match=r"step-00000003: cannot write: File too large"):
            save_checkpoint(tmp_path, 3, network, optimizers, {})

    assert in_a_process(save_within_a_limit) == 0
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]
    verify_checkpoint(saved)


def test_whoever_may_read_one_file_of_a_checkpoint_may_read_all(saved):
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in saved.iterdir()}
    assert len(modes) == 4 and len(set(modes.values())) == 1


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]"])
@pytest.mark.parametrize("name", ["method.safetensors", "optimizers.safetensors"])
def test_a_file_that_holds_no_tensors_is_named(saved, name, content):
    """Its hash may be right: whoever made it up wrote the manifest too."""
    (saved / name).write_bytes(content)
    network, optimizers = trained(0)
    with pytest.raises(CheckpointError, match=rf"{name} is damaged \("):
        load_into(saved, network, optimizers)


def out_of_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_a_process_out_of_descriptors_blames_no_file(saved):
    def load():
        out_of_descriptors()
        with pytest.raises(StorageError, match=r"method\.safetensors: cannot read: Too many open files"):
            load_tensors(saved)

    assert in_a_process(load) == 0


def test_a_system_out_of_memory_blames_no_file(saved, monkeypatch):
    """In the words of safetensors, which has no error of its own for it."""

    def load(path):
        raise MemoryError("Cannot allocate memory (os error 12)")

    monkeypatch.setattr(checkpoints, "load_file", load)
    with pytest.raises(MemoryError, match=r"method\.safetensors: Cannot allocate memory"):
        load_tensors(saved)


def test_moments_of_another_method_are_refused(saved):
    network, optimizers = trained(0)
    with pytest.raises(CheckpointError, match="the state of its optimizers is of another method"):
        load_into(saved, network, {"first": optimizers["first"], "third": optimizers["second"]})


def test_a_network_that_holds_no_numbers_is_not_loaded(saved):
    network, _ = trained()
    tensors = {key: value * torch.nan if key == "0.weight" else value for key, value in network.state_dict().items()}
    save_file(tensors, saved / "method.safetensors")
    with pytest.raises(CheckpointError, match=r"0\.weight holds values that are no numbers"):
        load_part(saved, network, "")


def test_what_killed_processes_left_is_swept_up(tmp_path):
    network, optimizers = trained()
    for step in (1, 2):
        save_checkpoint(tmp_path, step, network, optimizers, {})
    kept = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for leftover in (".step-00000003.17.part", ".step-00000000-dropped.17.part"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "method.safetensors").write_bytes(b"half")
    sweep_checkpoints(tmp_path)
    sweep_checkpoints(tmp_path / "missing")
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept
    assert len(list(tmp_path.iterdir())) == 2


def test_another_network_is_refused(saved):
    other = nn.Conv2d(3, 8, 3)
    with pytest.raises(CheckpointError, match="another network") as caught:
        load_into(saved, other, {})
    assert "\n" not in str(caught.value)

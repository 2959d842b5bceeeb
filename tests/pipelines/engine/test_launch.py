"""Which device a process takes, and its place among several."""

import pytest
import torch

from pipelines.engine import torchrun
from pipelines.engine.launch import choose_machine, own_device
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.torchrun import Place, tell_once
from pipelines.errors import UserError


def test_each_process_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [own_device("cuda", rank) for rank in range(2)] == ["cuda:0", "cuda:1"] and own_device("cpu", 7) == "cpu"
    with pytest.raises(UserError, match=r"more processes than GPUs on this machine: 2; .* --nproc-per-node 2"):
        own_device("cuda", 2)
    for device in ("cuda:1", "mps"):
        with pytest.raises(UserError, match=f"--device {device} is one device, and there are several processes"):
            own_device(device, 0)


def test_the_machine_knows_its_processes():
    assert choose_machine("cpu").processes is ALONE
    assert choose_machine("cpu", processes=Processes(1, 2)).processes.count == 2
    with pytest.raises(UserError, match="is one device, and there are several processes"):
        choose_machine("mps", processes=Processes(1, 2))


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, Place(0, 1, 0)),
        ({"WORLD_SIZE": "4"}, Place(0, 1, 0)),  # others set it too
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Place(0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Place(5, 8, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Place(1, 2, 0)),
        ({"RANK": "one", "WORLD_SIZE": "two"}, Place(0, 1, 0)),
    ],
)
def test_the_place_is_what_torchrun_says(environment, place):
    assert Place.of_environment(environment) == place


def test_every_process_speaks_where_no_launcher_keeps_a_store(monkeypatch):
    told = []
    for name, value in {"RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert tell_once(lambda: told.append(1), 7) == 7
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")  # nobody listens there
    monkeypatch.setattr(torchrun, "PATIENCE_S", 0.1)
    assert tell_once(lambda: told.append(2), 5) == 5
    assert told == [1, 2]

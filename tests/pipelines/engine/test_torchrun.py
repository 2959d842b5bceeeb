"""What a process learns from torchrun, and that of several one tells why they end."""

import pytest

from pipelines.engine import torchrun
from pipelines.engine.torchrun import ProcessRank, tell_once


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, ProcessRank(0, 1, 0)),
        ({"WORLD_SIZE": "4"}, ProcessRank(0, 1, 0)),  # others set it too
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, ProcessRank(0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, ProcessRank(5, 8, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, ProcessRank(1, 2, 0)),
        ({"RANK": "one", "WORLD_SIZE": "two"}, ProcessRank(0, 1, 0)),
    ],
)
def test_the_place_is_what_torchrun_says(environment, place):
    assert ProcessRank.of_environment(environment) == place


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

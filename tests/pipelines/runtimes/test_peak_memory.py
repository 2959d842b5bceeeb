"""Memory that is taken and given back again is still seen."""

import sys

import numpy as np
import pytest
import torch

from pipelines.runtimes import peak_memory
from pipelines.runtimes.peak_memory import watched_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells a process its peak, others do not")
def test_memory_that_came_and_went():
    with watched_memory(torch.device("cpu")) as peak:
        assert peak.mb is None
        np.ones(100_000_000, np.uint8)
    if peak.mb is None:
        pytest.skip("this system does not let a process forget its former peak")
    assert 80 < peak.mb < 200


def test_what_cannot_be_measured_is_none(monkeypatch):
    monkeypatch.setattr(peak_memory.sys, "platform", "darwin")
    with watched_memory(torch.device("cpu")) as peak:
        pass
    assert peak.mb is None


@pytest.mark.gpu
def test_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    with watched_memory(torch.device("cuda")) as peak:
        torch.ones(100_000_000, dtype=torch.uint8, device="cuda")
    assert 99 < peak.mb < 110

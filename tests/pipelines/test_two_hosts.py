"""Two hosts train as one process does, and each ends when the cable between them is cut.

The hosts are network namespaces of this machine, joined by a pair of virtual interfaces: what they exchange crosses a
network that can be cut. Processes are started as SLURM's srun starts them: no launcher keeps a store for them, and none
ends one because another failed.
"""

import json
import os
import subprocess
import sys

import pytest

from pipelines.engine.session import Session
from pipelines.stages.training.train_segmenter import train_segmenter
from tests.pipelines.hangs import HANGS_S
from tests.pipelines.launching import ENVIRONMENT, PROGRESS, SCRIPT
from tests.pipelines.test_several_processes import SYNCED, as_launched, training, weights  # noqa: F401

ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=True)


@pytest.fixture
def hosts():
    """Names of two network namespaces whose interfaces, called "cable", are each other's end."""
    names = [f"sim2real-{os.getpid()}-{side}" for side in "ab"]
    made = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
    except (OSError, subprocess.CalledProcessError) as error:
        for name in made:
            ip("netns", "del", name)
        reason = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        pytest.skip(f"network namespaces cannot be made here, which takes root and iproute2: {reason}")
    try:
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            for interface in ("lo", "cable"):
                ip("-n", name, "link", "set", interface, "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


@pytest.fixture
def launch_on(hosts, tmp_path):
    """A function: a command, more environment, mishaps by rank -> exit codes of both processes, and what was said."""

    def run(command, environment=None, **mishaps):
        places = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": "29500"}
        places |= {"GLOO_SOCKET_IFNAME": "cable"} | (environment or {})
        places["MISHAPS"] = json.dumps({rank.removeprefix("rank_"): mishap for rank, mishap in mishaps.items()})
        started, said = [], [tmp_path / f"said-{rank}" for rank in range(2)]
        for rank, host in enumerate(hosts):
            with open(said[rank], "w") as stream:
                process = subprocess.Popen(
                    ["ip", "netns", "exec", host, sys.executable, SCRIPT, *command],
                    env=ENVIRONMENT | places | {"RANK": str(rank)}, stdout=stream, stderr=subprocess.STDOUT,
                )  # fmt: skip
                started.append(process)
        try:
            codes = [process.wait(HANGS_S) for process in started]
        finally:
            for process in started:
                process.kill()
                process.wait()
        return codes, [PROGRESS.sub("", file.read_text()) for file in said]

    return run


def ends(said):
    return [line for line in said.splitlines() if line.startswith(("stopped: ", "error: "))]


def test_two_hosts_learn_what_one_process_learns(launch_on, training, make_workspace, cpu, as_launched, tmp_path):  # noqa: F811
    codes, said = launch_on(training(tmp_path / "both", *SYNCED))
    assert codes == [0, 0], said
    alone = weights(train_segmenter(make_workspace(*SYNCED), 0, "source_only", Session(cpu)))
    both = weights(tmp_path / "both/seed-0/source_only")
    assert alone.keys() == both.keys()
    for key, value in alone.items():
        assert (both[key] - value).abs().max() <= 1e-8 + 1e-6 * value.abs().max(), key


def test_a_cut_cable_ends_both(launch_on, training, tmp_path):  # noqa: F811
    codes, said = launch_on(training(tmp_path, *SYNCED), {"SIM2REAL_SILENCE_S": "10"}, rank_1="loses_its_cable")
    assert codes == [75, 75], said
    for rank, other in enumerate((1, 0)):
        (line,) = ends(said[rank])
        assert line.startswith(f"stopped: nothing was heard of process {other} for 10 s (")


def test_what_ends_the_first_host_is_told_by_it_and_the_code_of_both(launch_on, training, tmp_path):  # noqa: F811
    """An error is no 75, by which a job would queue again for ever. The first keeps the store where the other hears."""
    codes, said = launch_on(training(tmp_path, *SYNCED), rank_0="has_a_bug")
    assert codes == [1, 1], said
    assert "ZeroDivisionError" in said[0] and "Traceback" not in said[1] and ends("\n".join(said)) == []

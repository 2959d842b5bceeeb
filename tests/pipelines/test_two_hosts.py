"""Two hosts train as one process does, and each ends when the cable between them is cut.

The hosts are network namespaces of this machine, joined by a pair of virtual interfaces: what they exchange crosses a
network that can be cut. Processes are told their places as SLURM's srun tells them: no launcher keeps a store for them,
and none ends one because another failed.
"""

import os
import subprocess
from itertools import count
from pathlib import Path

import pytest

from pipelines.engine.session import Session
from pipelines.stages.training.train_segmenter import train_segmenter
from tests.pipelines.launching import PROGRESS, Server, process
from tests.pipelines.test_several_processes import SYNCED, as_launched, training, weights  # noqa: F401

ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORTS = count(29500)
"""Each is used once: what a cut cable left waiting may hold on to it."""


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=True)


@pytest.fixture(scope="module")
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
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


@pytest.fixture(scope="module")
def servers(hosts):
    """On each host one, from which its processes are forked."""
    started = [Server("ip", "netns", "exec", host) for host in hosts]
    yield started
    for server in started:
        server.close()


@pytest.fixture
def launch_on(hosts, servers, tmp_path):
    """A function: a command, more environment, mishaps by rank -> exit codes of both processes, and what was said."""
    for host in hosts:
        for interface in ("lo", "cable"):
            ip("-n", host, "link", "set", interface, "up")

    def run(command, environment=None, **mishaps):
        places = {"WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": next(PORTS)}
        places |= {"GLOO_SOCKET_IFNAME": "cable"} | (environment or {})
        outputs = [tmp_path / f"host-{rank}" for rank in range(2)]
        for rank, server in enumerate(servers):
            server.ask(process(command, places | {"RANK": rank}, mishaps.get(f"rank_{rank}"), outputs[rank]))
        codes = [server.answer()[0] for server in servers]
        return codes, [PROGRESS.sub("", Path(f"{output}-stderr").read_text()) for output in outputs]

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

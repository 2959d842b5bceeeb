"""Foreign pickles read without a process of their own, which takes seconds to start: nearly all tests read their own.

What the real process does and refuses is tried in pretrained/test_read_published.py and hostile/test_checkpoints.py.
"""

from pathlib import Path

from pipelines.pretrained.unpickle import Refused, look_through, networks_in, save


def unpickled(path: Path, descriptor: int, output: Path, memory: int, seconds: int) -> dict:
    """What the process answers, but for limits of memory and time."""
    try:
        with open(descriptor, "rb", closefd=False) as stream:
            look_through(stream)
            networks = networks_in(stream)
        save(networks, str(output))
    except Refused as error:
        return {"refused": str(error)}
    return {"networks": {name: len(tensors) for name, tensors in networks.items()}}

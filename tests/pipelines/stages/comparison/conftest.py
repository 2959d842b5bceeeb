"""The miniature experiment with more tables in its file, by a command that compares: run once for all tests of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipelines.conftest import Finished


@dataclass(frozen=True)
class Ran:
    """A command line, the run folder that it filled, and what it said."""

    arguments: tuple[object, ...]
    run: Path
    finished: Finished

    def trained(self) -> dict[str, bytes]:
        """What is trained to its end, by its run folder's place in the run."""
        return {
            path.parent.relative_to(self.run).as_posix(): path.read_bytes() for path in self.run.rglob("final.json")
        }


@pytest.fixture(scope="module")
def ran(tiny_config, commands, tmp_path_factory):
    """A function: more TOML, and the words of a command -> the `Ran`."""

    def run(tables, *words):
        folder = tmp_path_factory.mktemp("_".join(words))
        config = folder / "tiny.toml"
        config.write_text(tiny_config.read_text() + tables)
        arguments = (*words, config, "--run", folder / "run", "--workers", 0, "--threads", 1)
        finished = commands(*arguments)
        assert finished.code == 0, finished.stderr
        return Ran(arguments, folder / "run", finished)

    return run

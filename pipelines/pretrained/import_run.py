"""What an import leaves: a run folder of ours with one checkpoint, and a line on each network.

What is imported again from the same is left as it is. So the folder records of every network which file it came from
and, of several in a file, which one: files may be called alike, and two of them may change places.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pipelines.data.disk.files import sha256_of
from pipelines.engine.checkpoints import save_checkpoint
from pipelines.engine.launch import choose_machine
from pipelines.engine.runs import RunFolder


@dataclass(frozen=True)
class Imported:
    """What became of an import: the run folder, and a line on each network."""

    run: Path
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a published network comes from."""

    file: Path
    entry: str = ""
    """Its name in the file; "" if it is the file's only content."""

    def __str__(self) -> str:
        return f"{self.file}, {self.entry}" if self.entry else str(self.file)

    def recorded(self) -> dict[str, str]:
        """As a run folder keeps it, with the hash of the file."""
        return {"file": self.file.name, "entry": self.entry, "sha256": sha256_of(self.file)}


def write_run(output: Path, content: dict[str, Any], method: nn.Module, restart: bool) -> None:
    """The run folder of an import, with one checkpoint; one that holds the same import already is left as it is."""
    run = RunFolder(output, content, restart)
    try:
        if run.newest() is None:
            run.describe_environment(choose_machine("cpu", "fp32"))
            save_checkpoint(run.checkpoints, 0, method, {}, content)
        run.finish()
    finally:
        run.close()

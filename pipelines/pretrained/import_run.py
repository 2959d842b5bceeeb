"""What an import leaves: a run folder of ours with one checkpoint, and a line on each network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pipelines.engine.checkpoints import save_checkpoint
from pipelines.engine.launch import choose_machine
from pipelines.engine.runs import RunFolder


@dataclass(frozen=True)
class Imported:
    """What became of an import: the run folder, and a line on each network."""

    run: Path
    lines: tuple[str, ...]


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

"""How a command works: what belongs to the machine and the moment, and never decides an outcome.

Every stage that takes time is handed one; what is to be made, and of what, is the experiment's.
"""

from dataclasses import dataclass

from pipelines.engine.launch import Machine


@dataclass(frozen=True)
class Session:
    """Where a command computes, and how it goes about it."""

    machine: Machine
    workers: int = 0
    """Processes that make batches, or threads that read ahead and write behind; 0: none beside the one that computes.
    """
    restart: bool = False
    """Set aside what was made with other settings or data, instead of refusing it."""
    command: str = ""
    """As the user typed it; for records and reports."""
    first_steps_alone: bool = False
    """Training ends after two steps: of a dry run (`stages/training/first_steps.py`). The second takes as much memory
    as all later ones: by then an optimizer has its moments."""

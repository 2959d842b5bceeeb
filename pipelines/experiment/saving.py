"""When a training saves, what it keeps, and when it shows pictures: what the settings of both stages have in common.

How often is part of what a run is known by, as it always was; what is kept is not, since no weight depends on it.
"""

from typing import Self

from pydantic import PositiveInt, model_validator

from pipelines.engine.checkpoint_files import Retention
from pipelines.settings import Settings

RETENTION = frozenset({"keep_checkpoints", "keep_checkpoint_every"})
"""The settings that decide no outcome: a run may be carried on with others."""


class Saving(Settings):
    """The rhythm of a training, in steps."""

    checkpoint_every: PositiveInt = 500
    keep_checkpoints: PositiveInt = 2
    """The newest so many checkpoints are kept. Of 1, nothing is left to go back to should it be damaged."""
    keep_checkpoint_every: PositiveInt | None = None
    """Checkpoints after every so many steps, a multiple of `checkpoint_every`, are never dropped; absent: the newest
    alone are kept."""
    preview_every: PositiveInt = 250

    @model_validator(mode="after")
    def _keeps_what_is_saved(self) -> Self:
        if self.keep_checkpoint_every is not None and self.keep_checkpoint_every % self.checkpoint_every:
            raise ValueError(
                f"keep_checkpoint_every is {self.keep_checkpoint_every} and checkpoint_every {self.checkpoint_every}; "
                "set it to a multiple, since no others are saved"
            )
        return self

    @property
    def retention(self) -> Retention:
        """Which checkpoints are kept."""
        return Retention(self.keep_checkpoints, self.keep_checkpoint_every)

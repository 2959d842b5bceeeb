"""What an import of a published translator is told beside its generator's file: whatever no file says of itself.

Free of torch, for the command line is described by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from translate.choices import Direction

NormStatistics = Literal["frame", "saved"]


@dataclass(frozen=True)
class TranslatorImport:
    """How a generator is taken, and the networks that belong to it."""

    direction: Direction = "source_to_target"
    """What the generator translates, seen from the data here."""
    reverse: Path | None = None
    """File of the generator the other way."""
    discriminators: Sequence[Path] = ()
    """Files of the discriminators, of target images first, then of source images, or pix2pixHD's one; to train on."""
    encoder: Path | None = None
    """pix2pixHD's encoder of instances."""
    clusters: Path | None = None
    """pix2pixHD's looks of each class (features_clustered_010.npy), of a generator that takes styles."""
    labels: int | None = None
    """Label ids of pix2pixHD's networks; None for those of the authors' checkpoints."""
    norm_statistics: NormStatistics | None = None
    """By which batch norms normalise: those of each frame, as the authors' test.py does, or those that were saved, as
    it does with --eval. None: the frame's, but of a whole CycleGAN, to be trained on, the saved ones."""

    @property
    def others(self) -> list[Path]:
        """All files that are named."""
        return [path for path in (self.reverse, *self.discriminators, self.encoder, self.clusters) if path]


AS_IT_IS = TranslatorImport()

"""What a bootstrap draws anew: neighbouring frames of a drive are alike, so they are drawn together or not at all.

Resampling single frames of a video takes thirty looks at one street for thirty streets; its intervals are far too
narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

FEWEST_DRIVES = 6
"""Six drives can be drawn in 462 ways, enough to cut off 2.5 % at either end; five in 126, of which that is three."""


@dataclass(frozen=True)
class Units:
    """The groups of frames that a bootstrap draws, each whole."""

    kind: Literal["frames", "drives", "blocks"]
    of_frame: list[int]
    """The unit of each frame, counted from 0."""
    drives: int
    """How many drives the frames are of."""

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(set(self.of_frame))

    @property
    def title(self) -> str:
        """What is drawn: "26 drives", "60 frames", "8 blocks of consecutive frames (1 drive)"."""
        one = self.count == 1
        if self.kind == "blocks":
            of = f" of consecutive frames ({self.drives} drive{'' if self.drives == 1 else 's'})"
            return f"{self.count} block{'' if one else 's'}{of}"
        return f"{self.count} {self.kind.removesuffix('s') if one else self.kind}"

    def summed(self, counts: Tensor) -> Tensor:
        """Counts of frames (N, ...), of integers, to counts of units (U, ...)."""
        found = torch.zeros(self.count, *counts.shape[1:], dtype=counts.dtype, device=counts.device)
        return found.index_add_(0, torch.tensor(self.of_frame, dtype=torch.int64, device=counts.device), counts)


def units_of(drives: Sequence[str]) -> Units:
    """The units of frames whose drives are given, frames of a drive in their order.

    From `FEWEST_DRIVES` drives on these are the units (a cluster bootstrap): frames alone where each is a drive of its
    own. Fewer are parted into blocks of consecutive frames, round(sqrt(n)) equal ones of a drive of n: such an interval
    tells what other moments of these drives might give, and nothing of other drives.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8, for clusters; Carlstein,
        Annals of Statistics 14 (1986), for blocks that do not overlap. Blocks that estimate a variance best grow with
        the cube root of n (Hall, Horowitz and Jing, Biometrika 82, 1995); ours are longer, because frames seconds apart
        still show the same street.
    """
    members: dict[str, list[int]] = {}
    for frame, drive in enumerate(drives):
        members.setdefault(drive, []).append(frame)
    alone = len(members) == len(drives)
    of_frame, unit = [0] * len(drives), 0
    for frames in members.values():
        blocks = 1 if alone or len(members) >= FEWEST_DRIVES else round(len(frames) ** 0.5)
        for place, frame in enumerate(frames):
            of_frame[frame] = unit + place * blocks // len(frames)
        unit += blocks
    kind = "frames" if alone else "drives" if len(members) >= FEWEST_DRIVES else "blocks"
    return Units(kind, of_frame, len(members))

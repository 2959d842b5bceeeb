"""The scores that an audit left in a translated set's manifest, and which frames they let into training.

An expert that no longer recognises the sky in a frame says that the frame's labels are wrong there.
"""

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.data.frames import FrameSet
from pipelines.errors import NoInputsError, UserError


@dataclass(frozen=True)
class ConsistencyScores:
    """Label consistency by frame (NaN where none could be given), and the one expert's checkpoint hash."""

    by_frame: dict[str, float]
    expert_sha256: str

    def fingerprint(self) -> str:
        """A hash that changes with any score and with the expert."""
        scores = {frame: score for frame, score in sorted(self.by_frame.items()) if math.isfinite(score)}
        return hashlib.sha256(json.dumps([self.expert_sha256, scores]).encode()).hexdigest()


def read_scores(folder: Path) -> ConsistencyScores:
    """The scores of a translated set.

    Raises:
        UserError: A frame has none, or two experts gave them: one threshold would mean two things.
    """
    entries = read_manifest(folder / MANIFEST)
    experts = {entry.expert_sha256 for entry in entries}
    if len(experts) != 1 or None in experts:
        unscored = sum(entry.expert_sha256 is None for entry in entries)
        what = f"{unscored} of {len(entries)} frames have no score" if unscored else "two experts gave the scores"
        raise UserError(
            f"{folder}: {what}, which least_label_consistency and weigh_by_consistency need; "
            "run `sim2real translate audit` first"
        )
    scores = {e.frame: math.nan if e.label_consistency is None else e.label_consistency for e in entries}
    return ConsistencyScores(scores, experts.pop() or "")


def select_by_consistency(
    frames: FrameSet, scores: ConsistencyScores, least: float | None, weigh: bool
) -> tuple[FrameSet, np.ndarray | None]:
    """The frames that are good enough to learn from, and how often each is to be drawn.

    Args:
        frames: A translated set.
        scores: Of every frame of it.
        least: Frames below it are left out, and so are those without a score; None leaves none out.
        weigh: Whether frames are drawn in proportion to their scores; those of 0 or without one then never are, unless
            no frame scores more: an expert that recognises nothing anywhere says nothing about one frame or another.

    Returns:
        The set with the frames that are left; their weights, None for even draws.

    Raises:
        NoInputsError: No frame is left.
    """
    kept = [frame for frame in frames.frames if least is None or scores.by_frame[frame.name] >= least]
    if not kept:
        best = max((score for score in scores.by_frame.values() if math.isfinite(score)), default=math.nan)
        raise NoInputsError(
            f"{frames.root}: no frame's label consistency reaches {least:g}, the best is {best:.3f}; "
            "lower segmenter.least_label_consistency"
        )
    drawn = [frame for frame in kept if scores.by_frame[frame.name] > 0]
    if not weigh or not drawn:
        return replace(frames, frames=kept), None
    return replace(frames, frames=drawn), np.array([scores.by_frame[frame.name] for frame in drawn])

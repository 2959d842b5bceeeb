"""The few labelled target frames that an experiment allows itself: by count, by fraction, or by name.

Labels of real frames cost 1.5 hours each; how far a few go is what guidance and semi-supervision are about. A smaller
subset is part of every larger one of the same seed, so that a curve over their number shows the number's effect.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.data.frames import FrameSet
from pipelines.data.readers.frame_names import known_as, meant_by, read_frame_list
from pipelines.data.sampling.random_keys import key_number
from pipelines.errors import UserError

SubsetSize = int | float | str
"""A count, a fraction (with a decimal point), or a text file of frame names."""


def labelled_subset(sets: Sequence[FrameSet], wanted: SubsetSize | None, seed: int, data: Path) -> list[FrameSet]:
    """The wanted labelled frames of `sets`, in their order; sets of which none is wanted are left out.

    Args:
        sets: Labelled frames only.
        wanted: Count, fraction of all (at least one frame), or file that names frames as those of data sets do, with or
            without SET/ before it; None: all.
        seed: Decides which, together with the frames' names; frames added later reshuffle nothing.
        data: Folder that the file's relative path starts from.

    Raises:
        UserError: There are fewer frames than wanted, or a name in the file is none of them.
    """
    names = [frames.full_name(frame) for frames in sets for frame in frames.frames]
    if wanted is None:
        chosen = set(names)
    elif isinstance(wanted, str):
        chosen = _listed(data / wanted, sets)
    else:
        count = count_wanted(wanted, len(names))
        refuse_more_than_labelled(count, len(names))
        chosen = set(sorted(names, key=lambda name: key_number(seed, "labelled_target", name))[:count])
    reduced = [
        replace(frames, frames=[frame for frame in frames.frames if frames.full_name(frame) in chosen])
        for frames in sets
    ]
    return [frames for frames in reduced if len(frames)]


def count_wanted(wanted: int | float, labelled: int) -> int:
    """How many frames a count or a fraction of those that have a label map means."""
    return wanted if isinstance(wanted, int) else max(round(wanted * labelled), 1)


def refuse_more_than_labelled(wanted: int, labelled: int) -> None:
    """UserError where more target frames are wanted than have a label map."""
    if wanted > labelled:
        raise UserError(f"labelled_target is {wanted}, but only {labelled} target frames have a label map")


def names_in(path: Path) -> list[str]:
    """What a list of labelled target frames names, as it is written there; UserError if it cannot be read."""
    return read_frame_list(path, "labelled_target")


def _listed(path: Path, sets: Sequence[FrameSet]) -> set[str]:
    """The full names of the frames that a file names."""
    if not any(map(len, sets)):
        raise UserError(
            f"labelled_target is {path}, and no target frame has a label map; expected a target with labels"
        )
    return meant_by(names_in(path), _known_as(sets), str(path), "labelled target frame")


def _known_as(sets: Sequence[FrameSet]) -> dict[str, set[str]]:
    """What frames of several sets may be called -> their full names. What a set calls one means those alone."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    called: defaultdict[str, set[str]] = defaultdict(set)
    for frames in sets:
        full_names = {frame.name: frames.full_name(frame) for frame in frames.frames}
        for word, names in known_as({frame.name: frame.image for frame in frames.frames}, frames.root).items():
            meant = {full_names[name] for name in names}
            known[word] |= meant
            known[f"{frames.name}/{word}"] |= meant
        for name, full_name in full_names.items():
            called[name].add(full_name)
            called[full_name].add(full_name)
    return known | called

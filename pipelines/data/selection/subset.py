"""The few labelled target frames that an experiment allows itself: by count, by fraction, or by name.

Labels of real frames cost 1.5 hours each; how far a few go is what guidance and semi-supervision are about. A smaller
subset is part of every larger one of the same seed, so that a curve over their number shows the number's effect.
"""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.data.disk.files import open_regular
from pipelines.data.frames import FrameSet
from pipelines.data.sampling.random_keys import key_number
from pipelines.data.selection.listing import lines_of, plain_path
from pipelines.errors import UserError

SubsetSize = int | float | str
"""A count, a fraction (with a decimal point), or a text file of frame names."""


def labelled_subset(sets: Sequence[FrameSet], wanted: SubsetSize | None, seed: int, data: Path) -> list[FrameSet]:
    """The wanted labelled frames of `sets`, in their order; sets of which none is wanted are left out.

    Args:
        sets: Labelled frames only.
        wanted: Count, fraction of all (at least one frame), or file with a name (NAME or SET/NAME) per line; None: all.
        seed: Decides which, together with the frames' names; frames added later reshuffle nothing.
        data: Folder that the file's relative path starts from.

    Raises:
        UserError: There are fewer frames than wanted, or a name in the file is none of them.
    """
    names = [frames.full_name(frame) for frames in sets for frame in frames.frames]
    if wanted is None:
        chosen = set(names)
    elif isinstance(wanted, str):
        chosen = _listed(data / wanted, names)
    else:
        count = wanted if isinstance(wanted, int) else max(round(wanted * len(names)), 1)
        refuse_more_than_labelled(count, len(names))
        chosen = set(sorted(names, key=lambda name: key_number(seed, "labelled_target", name))[:count])
    reduced = [
        replace(frames, frames=[frame for frame in frames.frames if frames.full_name(frame) in chosen])
        for frames in sets
    ]
    return [frames for frames in reduced if len(frames)]


def refuse_more_than_labelled(wanted: int, labelled: int) -> None:
    """UserError where more target frames are wanted than have a label map."""
    if wanted > labelled:
        raise UserError(f"labelled_target is {wanted}, but only {labelled} target frames have a label map")


def names_in(path: Path) -> list[str]:
    """The names in a list of labelled target frames, as they are written there; UserError if it cannot be read."""
    try:
        with open_regular(path) as stream:
            return list(filter(None, (plain_path(line) for line in lines_of(stream.read()))))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"labelled_target: {path} cannot be read as a list of frame names ({error})") from error


def _listed(path: Path, names: Sequence[str]) -> set[str]:
    """The full names that a file lists."""
    if not names:
        raise UserError(
            f"labelled_target is {path}, and no target frame has a label map; expected a target with labels"
        )
    chosen = set()
    for line in names_in(path):
        meant = [name for name in names if line in (name, name.split("/", 1)[1])]
        if not meant:
            near = difflib.get_close_matches(line, names, n=1, cutoff=0.0)
            raise UserError(f"{path}: no labelled target frame is called {line!r}; the likest is {near[0]}")
        if len(meant) > 1:
            raise UserError(f"{path}: {line!r} is in several sets; write one of {', '.join(meant)}")
        chosen.update(meant)
    if not chosen:
        raise UserError(f"{path}: lists no frame; write a frame's name on each line")
    return chosen

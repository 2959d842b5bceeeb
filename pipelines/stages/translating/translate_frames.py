"""Translate every frame of a folder tree or of data sets: same names, same sizes, label maps carried along.

Meant to be killed. A frame is finished when its files have their names and the journal says so; the same command does
what is missing, and the folder ends up byte for byte as if nothing had happened. A bad file costs one frame.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import PlannedFrame
from pipelines.batch_inference.translation_options import ACTION, QUALITY, WHAT, translation_plan
from pipelines.batch_inference.work import UNWATCHED, JobControl, Outcome, Work, work_through
from pipelines.batch_inference.write import FrameWriter
from pipelines.errors import NoInputsError, UserError


def translate_frames(
    frames: Sequence[PlannedFrame],
    output: Path,
    network: Network,
    identity: Mapping[str, JsonValue],
    *,
    read: Callable[[PlannedFrame], np.ndarray] | None = None,
    quality: int = QUALITY,
    control: JobControl = UNWATCHED,
) -> Outcome:
    """Translate what is not finished yet, in name order, and write the manifest.

    Args:
        frames: All of them, also where only a part is done here.
        output: Folder of the translated set; made if missing.
        network: What translates.
        identity: What decides the result: "checkpoint_sha256", and whatever else (direction, precision). A folder that
            holds a translation of another identity is refused.
        read: Frame -> what the network is given, uint8 (H, W, 3) RGB or a label map (H, W); None: the frame's image. An
            ImageError costs the frame.
        quality: Of JPEG, 1 to 100. Part of the identity.
        control: How to go about it.

    Returns:
        Counts: of the whole set once it is complete, else of this part. Failed frames are in `failures.jsonl`, the
        others in the manifest.

    Raises:
        NoInputsError: There are no frames, or every one failed.
        UserError: The folder holds something else, or is being written by another process; or memory ran out.
        StorageError: The disk refuses. What was finished stays.
        NumericalError: The network gave values that are not numbers.
        Interrupted: A stop was requested. The same call carries on.
    """
    if not frames:
        raise NoInputsError(f"There are no frames to translate into {output}")
    height, size, batch_size = network.height, network.size, network.batch_size
    _check_numbers(batch_size=batch_size, workers=control.workers, height=height, quality=quality)
    work = Work(
        frames=frames,
        output=output,
        plan=translation_plan(identity, height, size, batch_size, quality),
        network=network,
        writer=FrameWriter(str(identity["checkpoint_sha256"]), quality),
        what=WHAT,
        action=ACTION,
        read=read,
    )
    return work_through(work, lambda: network.clock.share, control)


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"{name} = {value}: must be at least 1")
    if (numbers["quality"] or 0) > 100:
        raise UserError(f"quality = {numbers['quality']}: must be 1 to 100")

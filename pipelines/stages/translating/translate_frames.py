"""Translate every frame of a folder tree or of data sets: same names, same sizes, label maps carried along.

Meant to be killed. A frame is finished when its files have their names and the journal says so; the same command does
what is missing, and the folder ends up byte for byte as if nothing had happened. A bad file costs one frame.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from pipelines.batch_inference.manner import QUALITY
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.plan import FrameToTranslate, plan_folder, plan_sets
from pipelines.batch_inference.record import Failure
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.work import Outcome, Work, work_through
from pipelines.batch_inference.write import FrameWriter
from pipelines.errors import NoInputsError, UserError

if TYPE_CHECKING:  # a plan can be made and shown without waiting for torch
    from torch import Tensor

__all__ = ["Failure", "FrameToTranslate", "Outcome", "plan_folder", "plan_sets", "translate_frames"]


def translate_frames(
    frames: Sequence[FrameToTranslate],
    output: Path,
    translate: "Callable[[Tensor], Tensor]",
    identity: Mapping[str, JsonValue],
    *,
    read: Callable[[FrameToTranslate], np.ndarray] | None = None,
    batch_size: int = 1,
    workers: int = 2,
    height: int | None = None,
    size: tuple[int, int] | None = None,
    quality: int = QUALITY,
    part: Part | None = None,
    device: str = "cpu",
    restart: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Translate what is not finished yet, in name order, and write the manifest.

    Args:
        frames: All of them, also where only a part is done here.
        output: Folder of the translated set; made if missing.
        translate: Image (B, 3, H, W) in [0, 1] on `device` -> an image of the same size and range. Where `read` gives
            label maps it gets int64 (B, H, W).
        identity: What decides the result: "checkpoint_sha256", and whatever else (direction, precision). A folder that
            holds a translation of another identity is refused.
        read: Frame -> what the network is given, uint8 (H, W, 3) RGB or a label map (H, W); None: the frame's image. An
            ImageError costs the frame.
        batch_size: Neighbours of equal size that go through the network together. A batch that is not full is filled
            with copies of its last frame: all batches are of one shape, and the result does not depend on what else was
            there to do. Part of the identity.
        workers: Threads that read ahead and write behind.
        height: Translate at this height, aspect kept, and bring the result back to the frame's own size; None: at its
            own size. Part of the identity.
        size: The same, at this width and height.
        quality: Of JPEG, 1 to 100. Part of the identity.
        part: Do only this part of the frames; other processes may be doing the others at the same time. The one that
            finishes last joins what all have done.
        device: Where `translate` wants its image.
        restart: Set another translation that is in `output` aside, as NAME.replaced-1, instead of refusing it.
        progress: Called with the frames done and the frames in all, at the start and after each frame.
        stop_requested: Asked before each batch; once true, what is under way is finished and `Interrupted` raised.

    Returns:
        Counts: of the whole set once it is complete, else of this part. Failed frames are in `failures.jsonl`, the
        others in the manifest.

    Raises:
        NoInputsError: There are no frames, or every one failed.
        UserError: The folder holds something else, or is being written by another process; or memory ran out.
        StorageError: The disk refuses. What was finished stays.
        NumericalError: The network gave values that are not numbers.
        Interrupted: See `stop_requested`. The same call carries on.
    """
    if not frames:
        raise NoInputsError(f"There are no frames to translate into {output}")
    _check_numbers(batch_size=batch_size, workers=workers, height=height, quality=quality)
    plan: dict[str, JsonValue] = {"format": 1, **identity, "height": height}
    unusual = {"size": (size, None), "batch": (batch_size, 1), "quality": (quality, QUALITY)}
    plan |= {name: value for name, (value, usual) in unusual.items() if value != usual}
    network = Network(translate, batch_size, height, size, device, NetworkClock(device))
    work = Work(
        frames=sorted(frames, key=lambda frame: frame.name),
        output=output,
        plan=plan,
        network=network,
        writer=FrameWriter(output, str(identity["checkpoint_sha256"]), quality),
        read=read,
        workers=workers,
        part=part,
    )
    return work_through(work, lambda: network.clock.share, restart, progress, stop_requested)


def _check_numbers(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"{name} = {value}: must be at least 1")
    if (numbers["quality"] or 0) > 100:
        raise UserError(f"quality = {numbers['quality']}: must be 1 to 100")

"""Toy world frames by number, and whole toy data sets in the native layouts of CARLA and Cityscapes.

A frame is a pure function of (seed, renderer, index, size) and the drawing's version. The label map is written before
the image, so a frame whose image exists is complete, and an interrupted run goes on where it stopped.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from pipelines.data.disk.files import write_atomically
from pipelines.data.images import write_image
from pipelines.data.parents import end_with_the_parent, leave_signals_to_the_parent, signals_held_back
from pipelines.data.toyworld.labels import CARLA_TAGS, CITYSCAPES_IDS
from pipelines.data.toyworld.rendering.camera import render_camera
from pipelines.data.toyworld.rendering.game import render_game
from pipelines.data.toyworld.scene import draw_scene
from pipelines.errors import UserError

Renderer = Literal["game", "camera"]
RENDERERS: tuple[Renderer, ...] = ("game", "camera")
DEFAULT_SIZE = (256, 128)
SMALLEST_SIDE = 16
"""Pixels; a smaller frame has no room for a street."""
CITY = "toyworld"
SPLIT = "train"
"""Of Cityscapes, for every set: a drawn set of another seed is another split."""
DRAWING = "toyworld.json"
"""Says in a data set's folder what was drawn there: frames of two drawings in one folder would look like one set."""
DRAWING_VERSION = 2
"""Raised whenever a frame's bytes change, or a folder that is drawn on would hold two looks. A drawing that names no
version is of the first."""
SEQUENCE_FRAME = 19
"""Cityscapes labels the twentieth picture of each sequence; its number ends the file names."""


def draw_frame(
    renderer: Renderer, seed: int, index: int, size: tuple[int, int] = DEFAULT_SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """One frame.

    Args:
        renderer: "game" or "camera"; they never share a scene.
        seed: Of the data set, >= 0.
        index: Number of the frame, >= 0.
        size: Width and height in pixels, both >= 16; the same index shows the same scene at every size.

    Returns:
        Image uint8 (height, width, 3) RGB and train ids uint8 (height, width).

    Raises:
        ValueError: Unknown renderer, or a size below 16.
    """
    if renderer not in RENDERERS:
        raise ValueError(f"No renderer {renderer!r}; there are: {', '.join(RENDERERS)}.")
    if min(size) < SMALLEST_SIDE:
        raise ValueError(f"Size is {size[0]}x{size[1]}; both sides must be at least {SMALLEST_SIDE} pixels.")
    rng = np.random.default_rng([seed, RENDERERS.index(renderer), index])
    scene = draw_scene(rng)
    return render_game(scene, size) if renderer == "game" else render_camera(scene, size, rng)


def draw_toy_world(
    output: Path,
    renderer: Renderer,
    frames: int,
    size: tuple[int, int] = DEFAULT_SIZE,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a toy data set; frames whose two files exist are left as they are.

    Args:
        output: Folder of the data set; made if missing.
        renderer: "game" writes CARLA's raw layout (0.9.14 and later): rgb/NNNNNN.png and semantic/NNNNNN.png with the
            tag in the red channel. "camera" writes Cityscapes': leftImg8bit/train/toyworld/... and gtFine/...
        frames: How many, numbered from 0.
        size: Width and height in pixels.
        seed: Of the data set.
        workers: Processes; 1 draws in this one.
        progress: Called with the number of frames done so far.

    Raises:
        StorageError: The folder cannot be written.
        UserError: The folder holds another drawing.
        ValueError: As `draw_frame`.
    """
    _claim(output, {"renderer": renderer, "seed": seed, "size": list(size), "version": DRAWING_VERSION})
    draw = partial(_write_frame, Path(output), renderer, size, seed)
    for done, _ in enumerate(_results(draw, frames, workers), start=1):
        if progress:
            progress(done)


def _claim(output: Path, drawing: dict[str, Any]) -> None:
    said = (json.dumps(drawing, sort_keys=True) + "\n").encode()
    if not (output / DRAWING).exists():
        write_atomically(output / DRAWING, said)
    elif (output / DRAWING).read_bytes() != said:
        former = (output / DRAWING).read_text(errors="replace").strip()
        asked = said.decode().strip()
        raise UserError(
            f"{output} holds another drawing of toy world: {former}, and asked for is {asked}; choose another folder"
        )


def _results(draw: Callable[[int], None], frames: int, workers: int) -> Iterator[None]:
    if workers <= 1:
        yield from map(draw, range(frames))
        return
    # Spawned, as a fork inherits the locks of OpenCV's threads and hangs; their own threads would multiply with them.
    fresh = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=fresh, initializer=_begin) as pool:
        try:
            with signals_held_back():
                drawn = pool.map(draw, range(frames), chunksize=8)
            yield from drawn
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    leave_signals_to_the_parent()
    end_with_the_parent()
    cv2.setNumThreads(1)


def frame_paths(output: Path, renderer: Renderer, index: int) -> tuple[Path, Path]:
    """Image and label file of a frame."""
    if renderer == "game":
        name = f"{index:06d}.png"
        return output / "rgb" / name, output / "semantic" / name
    stem = f"{CITY}_{index:06d}_{SEQUENCE_FRAME:06d}"
    image = output / "leftImg8bit" / SPLIT / CITY / f"{stem}_leftImg8bit.png"
    return image, output / "gtFine" / SPLIT / CITY / f"{stem}_gtFine_labelIds.png"


def _native_label(renderer: Renderer, train_ids: np.ndarray) -> np.ndarray:
    if renderer == "camera":
        return CITYSCAPES_IDS[train_ids]
    tags = np.zeros((*train_ids.shape, 3), np.uint8)
    tags[..., 0] = CARLA_TAGS[train_ids]
    return tags


def _write_frame(output: Path, renderer: Renderer, size: tuple[int, int], seed: int, index: int) -> None:
    image_path, label_path = frame_paths(output, renderer, index)
    if image_path.exists() and label_path.exists():
        return
    image, train_ids = draw_frame(renderer, seed, index, size)
    write_image(label_path, _native_label(renderer, train_ids))
    write_image(image_path, image)

"""A video made of a video, frame by frame: same size, frame rate and times, sound carried along.

Meant to be killed. Pieces of a hundred frames lie in a hidden folder beside the output until all are there; the same
command goes on after the last whole piece. A source that turns out to be damaged leaves nothing: mended it is another.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import JsonValue

from pipelines.batch_inference.flow import FrameNetwork
from pipelines.batch_inference.plan import resolved
from pipelines.batch_inference.work import UNWATCHED, JobControl
from pipelines.data.disk.files import sha256_of, storage_errors, sync_folder, write_atomically
from pipelines.data.disk.ownership import as_json, differing, hold, in_words, read_plan, set_aside, sweep
from pipelines.data.video.pieces import encoder_of, join_pieces, refuse_sound, write_piece
from pipelines.data.video.recorded import VideoFacts, read_facts, read_frames
from pipelines.errors import ImageError, Interrupted, StorageError, UserError

if TYPE_CHECKING:  # a plan can be made and shown without waiting for torch
    from torch import Tensor

PIECE_FRAMES = 100
RECORD = ".json"
"""What follows a video's name in that of its record."""
AHEAD = 4
"""Batches that are decoded ahead and that wait for the encoder."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class VideoSummary:
    """Frames of the video; those that an earlier run had done already count as resumed."""

    frames: int
    resumed: int
    network_share: float | None
    action: str

    @property
    def count_line(self) -> str:
        """The line that a run ends with: frames in, frames out."""
        done = self.frames - self.resumed
        return (
            f"{self.frames} frames in = {self.frames} frames out ({done} {self.action}, {self.resumed} already there)"
        )


@dataclass(frozen=True)
class VideoWork:
    """A video, and what is to be made of it.

    Attributes:
        source: Is read.
        output: Is made; beside it a file NAME.json says of what and how, with hashes of both.
        identity: What decides the result, as JSON.
        network: Frames to a result each.
        draw: Number, frame and result -> the picture that takes the frame's place, uint8 (H, W, 3). In a thread.
        action: What is done to a frame, for people: "translated", "predicted".
        beside: Number -> a file that `draw` writes besides; None where it writes none.
    """

    source: Path
    output: Path
    identity: Mapping[str, JsonValue]
    network: FrameNetwork
    draw: "Callable[[int, np.ndarray, Tensor], np.ndarray]"
    action: str
    beside: Callable[[int], Path] | None = None


def make_video(
    work: VideoWork, network_share: Callable[[], float | None], control: JobControl = UNWATCHED
) -> VideoSummary:
    """Make what is missing of a video; arguments as of `work_through`.

    Raises:
        ImageError: The source is no video, is damaged, or has a sound that the output's kind of file cannot hold.
        UserError: The output exists and is another video, or another process is at it; or PyAV is not installed.
        StorageError: The disk refuses. Whole pieces stay.
        Interrupted: A stop was requested. The same call carries on.
    """
    source, output = work.source, work.output
    facts = read_facts(source)
    work.network.refuse(source, (facts.height, facts.width))
    encoder, options = encoder_of(output)
    refuse_places(source, output)
    refuse_sound(source, output)
    plan: dict[str, JsonValue] = {
        "format": 1, **work.identity, "encoder": encoder, "encoder_options": options, "source": source.name,
        "source_sha256": sha256_of(source),
    }  # fmt: skip
    plan = as_json(plan)
    if _finished(work, len(facts), plan, control.restart):
        if _folder(output).exists():  # killed while it cleared up
            with _workplace(output, plan):
                pass
        return VideoSummary(len(facts), len(facts), None, work.action)
    with _workplace(output, plan) as folder:
        pieces = [folder / f"{start:09d}.nut" for start in range(0, len(facts), PIECE_FRAMES)]
        whole = next((index for index, piece in enumerate(pieces) if not _whole(piece, work, facts)), len(pieces))
        resumed = min(whole * PIECE_FRAMES, len(facts))
        control.progress(resumed, len(facts))
        frames = read_frames(source, facts, resumed)
        for start in range(resumed, len(facts), PIECE_FRAMES):
            times = facts.times[start : start + PIECE_FRAMES]
            drawn = _drawn(islice(frames, len(times)), start, work)
            watched = _watched(drawn, start, len(facts), output, control)
            write_piece(pieces[start // PIECE_FRAMES], output, facts, times, watched)
        if next(frames, None) is not None:
            raise RuntimeError(f"{source}: more frames than its index lists")
        joined = folder / f"joined{output.suffix}"
        join_pieces(source, pieces, joined, facts)
        about = {**plan, "frames": len(facts), "frame_size": [facts.width, facts.height], "rate": str(facts.rate)}
        about["video_sha256"] = sha256_of(joined)
        if work.beside is not None:
            about["beside_sha256"] = _hash_beside(work.beside, len(facts))
        write_atomically(folder / "record.json", json.dumps(about, indent=2, sort_keys=True).encode() + b"\n")
        with storage_errors(output):
            # The record first: a video without one would be taken for somebody else's.
            os.replace(folder / "record.json", _record(output))
            os.replace(joined, output)
            sync_folder(output.parent)
    return VideoSummary(len(facts), resumed, network_share(), work.action)


def _whole(piece: Path, work: VideoWork, facts: VideoFacts) -> bool:
    """Whether a piece is there, with whatever belongs beside its frames."""
    start = int(piece.stem)
    numbers = range(start, min(start + PIECE_FRAMES, len(facts)))
    return piece.exists() and (work.beside is None or all(work.beside(number).exists() for number in numbers))


def _hash_beside(beside: Callable[[int], Path], frames: int) -> str | None:
    """One hash of all files that lie beside a video; None where one is missing."""
    try:
        return hashlib.sha256("".join(sha256_of(beside(number)) for number in range(frames)).encode()).hexdigest()
    except StorageError:
        return None


def _folder(output: Path) -> Path:
    return output.with_name(f".{output.name}.pieces")


def _record(output: Path) -> Path:
    return output.with_name(f"{output.name}{RECORD}")


def _finished(work: VideoWork, frames: int, plan: Mapping[str, JsonValue], restart: bool) -> bool:
    """Whether the output is the video that the plan would make; another one is refused, or set aside to restart."""
    output = work.output
    if not output.exists():
        return False
    try:
        about = read_plan(_record(output))
    except (OSError, ValueError):
        about = {}
    ours = "video_sha256" in about
    changed = differing({key: about.get(key) for key in plan}, plan) if ours else []
    if ours and not changed and about["video_sha256"] == sha256_of(output):
        # Else it is made once more, and comes out as it was.
        return work.beside is None or about.get("beside_sha256") == _hash_beside(work.beside, frames)
    if not restart:
        why = f" ({in_words(changed)})" if changed else ""
        raise UserError(
            f"{output}: exists and is not what this command would make{why}; choose another --output, or set it aside "
            "with --restart"
        )
    set_aside(output, output.suffix, [RECORD])
    return False


def refuse_places(source: Path, output: Path) -> None:
    """UserError where the output is the input, or a file that is no video's record has the name of its record.

    That of another video that is there is looked at later, and that of one that is gone may go.
    """
    if resolved(source) == resolved(output):
        raise UserError(f"--output {output} is the input; choose another one")
    record = _record(output)
    if output.exists() or not os.path.lexists(record):
        return
    try:
        ours = "video_sha256" in read_plan(record)
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise UserError(
            f"{record}: exists and is no record of a video, which would take its place; choose another --output, or "
            "rename it"
        )


@contextlib.contextmanager
def _workplace(output: Path, plan: Mapping[str, JsonValue]) -> Iterator[Path]:
    """The hidden folder of a video's pieces, ours alone; emptied where it is of another plan.

    Removed in the end, and where the source is damaged.
    """
    folder = _folder(output)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / "lock", f"{output}: another process is making it; choose another --output"):
        with storage_errors(folder):
            if _plan_in(folder) != plan:
                for path in folder.glob("*.nut"):
                    path.unlink()
                write_atomically(folder / "plan.json", json.dumps(plan).encode())
        sweep(folder)
        try:
            yield folder
        except ImageError:  # no plan of a source that can be read will ask for these pieces
            _remove(folder)
            raise
        _remove(folder)


def _remove(folder: Path) -> None:
    with storage_errors(folder):
        shutil.rmtree(folder)


def _plan_in(folder: Path) -> Mapping[str, JsonValue] | None:
    try:
        return read_plan(folder / "plan.json")
    except (OSError, ValueError):
        return None


def _drawn(frames: Iterable[np.ndarray], first: int, work: VideoWork) -> Iterator[np.ndarray]:
    """What takes the frames' places, in order: one thread decodes ahead, one draws behind."""
    network, number = work.network, first
    with ThreadPoolExecutor(1) as decoder, ThreadPoolExecutor(1) as artist:
        ready: deque[Future[np.ndarray]] = deque()
        for batch in _ahead(_batches(frames, network.batch_size), decoder):
            for frame, result in zip(batch, network(batch, work.source), strict=True):
                ready.append(artist.submit(work.draw, number, frame, result))
                number += 1
            while len(ready) > AHEAD * network.batch_size:
                yield ready.popleft().result()
        while ready:
            yield ready.popleft().result()


def _batches(frames: Iterable[np.ndarray], batch_size: int) -> Iterator[list[np.ndarray]]:
    frames = iter(frames)
    while batch := list(islice(frames, batch_size)):
        yield batch


def _ahead(items: Iterator[Item], pool: ThreadPoolExecutor) -> Iterator[Item]:
    """The items, a few of them made before they are asked for; `pool` must be of one thread to keep their order."""
    waiting = deque(pool.submit(next, items, None) for _ in range(AHEAD))
    while (item := waiting.popleft().result()) is not None:
        waiting.append(pool.submit(next, items, None))
        yield item


def _watched(
    frames: Iterator[np.ndarray],
    done: int,
    total: int,
    output: Path,
    control: JobControl,
) -> Iterator[np.ndarray]:
    """Report each frame and stop between two; the piece under way is given up."""
    for number, frame in enumerate(frames, done + 1):
        yield frame
        control.progress(number, total)
        if control.stop_requested():
            kept = done // PIECE_FRAMES * PIECE_FRAMES
            raise Interrupted(f"{output}: stopped at {kept} of {total} frames; the same command carries on")

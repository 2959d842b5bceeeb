"""Work through the frames of a folder: what earlier runs finished is kept, the rest is done, the manifest written.

What is done to a frame is the caller's: a network and a writer. All that makes it safe to kill is here and below.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pipelines.batch_inference.flow import FrameNetwork, Reader, Writer, process_frames
from pipelines.batch_inference.folder import Patience, claimed, restarting, shared
from pipelines.batch_inference.plan import PlannedFrame, refuse_touching_inputs
from pipelines.batch_inference.record import FAILURES, Check, Failure, Record, join
from pipelines.batch_inference.shards import Part
from pipelines.errors import NoInputsError


@dataclass(frozen=True)
class JobControl:
    """How a job of many frames is gone about: by how many threads, in which part, heard by whom; decides no outcome.

    The same for translation and prediction, for folders and videos (a video is one part, and needs no workers).

    Attributes:
        workers: Threads that read ahead and write behind.
        part: Do only this part of the frames; other processes may be doing the others at the same time. The one that
            finishes last joins what all have done.
        restart: Set what another plan has made in the output's place aside, as NAME.replaced-1, instead of refusing it.
        progress: Called with the frames done and the frames in all, at the start and after each frame. What is done at
            the start was found finished.
        stop_requested: Asked before each batch; once true, what is under way is finished and `Interrupted` raised.
        checked: Called with the frames looked at and the frames to look at, from 0 on, while it is seen whether what
            earlier runs made still holds; that reads every file, and is stopped as the work is.
        say: Told, in a line, what a part waits for.
    """

    workers: int = 2
    part: Part | None = None
    restart: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None
    stop_requested: Callable[[], bool] = lambda: False
    checked: Callable[[int, int], None] = lambda done, total: None
    say: Callable[[str], None] = lambda line: None


UNWATCHED = JobControl()
"""All frames, nobody listening."""


@dataclass(frozen=True)
class Outcome:
    """What became of the frames: each was made now, found finished (resumed), or failed.

    `action` says for people what was done to them: "translated", "predicted". `part` says whose frames these are while
    parts of the set are not done; `network_share` is the part of the time in which the network was at work, None where
    it had nothing to do.
    """

    made: int
    resumed: int
    failures: tuple[Failure, ...]
    action: str
    part: Part | None = None
    network_share: float | None = None

    @property
    def failed(self) -> int:
        """Frames that are listed in `failure_list` and not in the manifest."""
        return len(self.failures)

    @property
    def failure_list(self) -> str:
        """Name of the file in the output folder that says which frames failed, and why."""
        return FAILURES if self.part is None else self.part.failures

    @property
    def count_line(self) -> str:
        """The line that a run ends with: frames in, frames out."""
        done = self.made + self.resumed
        parts = f"{self.made} {self.action}, {self.resumed} already there"
        if self.failed:
            line = f"{done + self.failed} frames in, {done} frames out ({parts}); {self.failed} failed, see "
            line += self.failure_list
        else:
            line = f"{done} frames in = {done} frames out ({parts})"
        if self.part is None:
            return line
        return f"part {self.part}: {line}; the set is complete when every part is done"


@dataclass(frozen=True)
class Work:
    """Frames, and what is to be made of them.

    Attributes:
        frames: All of them, also where only a part is done here; brought into the order of their names.
        output: Folder of what is made; an absolute path is made of it.
        plan: What decides the result, as JSON; a folder of another plan is refused.
        network: Arrays of one shape to a result each.
        writer: A frame and its result to files in a folder.
        what: The word for what the folder holds.
        action: What is done to a frame, for people: "translated", "predicted".
        read: Frame -> what the network is given; None: the frame's image.
    """

    frames: Sequence[PlannedFrame]
    output: Path
    plan: dict[str, JsonValue]
    network: FrameNetwork
    writer: Writer
    what: str
    action: str
    read: Reader | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", sorted(self.frames, key=lambda frame: frame.name))
        # "." is another folder once it is set aside.
        object.__setattr__(self, "output", Path(os.path.abspath(self.output)))


def work_through(work: Work, network_share: Callable[[], float | None], control: JobControl = UNWATCHED) -> Outcome:
    """Do what is missing and write the manifest.

    Args:
        work: The frames.
        network_share: Asked in the end, see `Outcome`.
        control: How to go about it.

    Raises:
        NoInputsError: Every frame failed.
        UserError: The folder holds something else, or is being written by another process.
        StorageError: The disk refuses. What was finished stays.
        Interrupted: A stop was requested. The same call carries on.
    """
    frames, output, plan, part = work.frames, work.output, work.plan, control.part
    refuse_touching_inputs(frames, output)
    check = Check(control.workers, control.checked, control.stop_requested)

    def attempt() -> Outcome:
        """One pass over what is missing."""
        own = frames if part is None else part.of(frames)
        if part is None:
            ours = claimed(output, plan, work.what)
        else:
            ours = shared(output, plan, part.journal, work.what, Patience(control.say, control.stop_requested))
        with ours as journal:
            record = Record(output, journal, len(own), check, control.progress, part)
            missing = record.resume(own, frames)
            process_frames(missing, record, work.network, work.writer, work.read, control.stop_requested)
            record.conclude()
        joined = record if part is None else join(output, frames, part.count, check)
        return _outcome(work, record, joined, len(missing), part, network_share())

    return restarting(output, control.restart, attempt, work.what)


def _outcome(
    work: Work, record: Record, joined: Record | None, missing: int, part: Part | None, share: float | None
) -> Outcome:
    """Counts of the whole set where it is complete, else of the part."""
    made = missing - len(record.failures)
    whole = joined or record
    if joined is not None and not joined.finished:
        reason = joined.failures[0].reason
        raise NoInputsError(f"None of {joined.total} frames could be {work.action}; the first: {reason}")
    undone = part if joined is None else None
    return Outcome(made, len(whole.finished) - made, tuple(whole.failures), work.action, undone, share)

"""How a job of many frames is gone about: by how many threads, in which part, heard by whom. It decides no outcome."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.batch_inference.shards import Part


@dataclass(frozen=True)
class JobControl:
    """The same for translation and prediction, for folders and videos (a video is one part, and needs no workers).

    Attributes:
        workers: Threads that read ahead and write behind.
        part: Do only this part of the frames; other processes may be doing the others at the same time. The one that
            finishes last joins what all have done.
        restart: Set what another plan has made in the output's place aside, as NAME.replaced-1, instead of refusing it.
        progress: Called with the frames done and the frames in all, at the start and after each frame.
        stop_requested: Asked before each batch; once true, what is under way is finished and `Interrupted` raised.
    """

    workers: int = 2
    part: Part | None = None
    restart: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None
    stop_requested: Callable[[], bool] = lambda: False


UNWATCHED = JobControl()
"""All frames, nobody listening."""

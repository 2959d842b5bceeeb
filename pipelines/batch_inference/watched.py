"""A job of many frames that somebody watches: its rate and time left on stderr, a signal that stops it between two.

Apart from `work.py`, which a plan can be made and shown with before torch is loaded.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.work import JobControl
from pipelines.engine.launch import StopRequest
from pipelines.engine.session import Session
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import Interrupted
from pipelines.progress import Progress


@contextmanager
def watched(title: str, session: Session, part: Part | None = None) -> Iterator[JobControl]:
    """The control of a job inside the block. Of a launcher's processes the first one shows how far its part is.

    Args:
        title: Shown beside the progress.
        session: Says how many threads read ahead and write behind, one at least, and what to do about another plan.
        part: Do only this part of the frames.

    Raises:
        Interrupted: A signal came during the last frame: whoever sent it does not want the next command to begin.
    """
    title = title if part is None else f"{title}, part {part}"
    said = ProcessRank.of_environment().stderr()
    with StopRequest().listening() as stop, Progress(title, 0, "frame", stream=said) as progress:
        begun = False

        def check(done: int, total: int) -> None:
            if done == 0:
                progress.begin(f"{title}: check what is there", total)
            progress.reach(done)

        def reach(done: int, total: int) -> None:
            nonlocal begun
            if not begun:
                progress.begin(title, total, done)
                begun = True
            progress.reach(done)

        workers = max(session.workers, 1)
        yield JobControl(workers, part, session.restart, reach, lambda: bool(stop), check, progress.say)
        if stop:
            raise Interrupted(f"{stop.signal_name} when all frames were done; the same command carries on")

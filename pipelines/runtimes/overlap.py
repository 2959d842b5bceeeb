"""Reading, computing and what is done with the results, at the same time: a thread each, in order, bounded in memory.

The one who asks for the results stays in its own thread. Frames that come faster than they are computed either wait or
are left out, oldest first: a camera does not wait.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

SECONDS_TO_LISTEN = 0.1
"""How long a thread sleeps at most before it looks whether it is to stop; no signal wakes it."""


class Handover(Generic[Item]):
    """What one thread hands over to another, in order.

    Args:
        places: Items that wait at most, beside the one whose giver waits for a place.
        drop: Where there is no place, leave out the oldest of those that wait; else whoever gives waits.
    """

    def __init__(self, places: int, drop: bool = False) -> None:
        if places < 1:
            raise ValueError(f"{places} frames cannot wait; expected 1 or more")
        self.dropped = 0
        """Items left out so far."""
        self._places, self._drop = places, drop
        self._waiting: deque[Item] = deque()
        self._changed = threading.Condition()
        self._finished = self._closed = False
        self._error: BaseException | None = None

    def give(self, item: Item) -> bool:
        """Hand an item over; False where no more are taken. One that has waited for a place by then is taken still."""
        with self._changed:
            if self._ended:
                return False
            if self._drop and len(self._waiting) == self._places:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(item)
            self._changed.notify_all()
            while len(self._waiting) > self._places and not self._ended:
                self._changed.wait()
            return not self._ended

    def finish(self, error: BaseException | None = None) -> None:
        """Say that no more will come, and if that is why, by which error. What waits is still taken."""
        with self._changed:
            if not self._ended:
                self._finished, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no more will be taken. What waits is given up."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def _ended(self) -> bool:
        return self._finished or self._closed

    def taken(self, meanwhile: Callable[[], object] = lambda: None) -> Iterator[Item]:
        """Take what comes until no more does; then the giver's error is raised, if there was one.

        Args:
            meanwhile: Called before each item and every tenth of a second while there is none.
        """
        while True:
            meanwhile()
            with self._changed:
                if not (self._waiting or self._ended):
                    self._changed.wait(SECONDS_TO_LISTEN)
                    continue
                if not self._waiting:
                    if self._error is not None and not self._closed:
                        raise self._error
                    return
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item


class Overlapped(Iterator[Result]):
    """Results as they come."""

    def __init__(self, results: Iterator[Result], given: Handover[Any]) -> None:
        self._results, self._given = results, given

    def __next__(self) -> Result:
        return next(self._results)

    @property
    def dropped(self) -> int:
        """Items left out so far."""
        return self._given.dropped


@contextmanager
def overlapped(
    items: Iterable[Item],
    compute: Callable[[Item], Result],
    ahead: int = 2,
    drop: bool = False,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator["Overlapped[Result]"]:
    """The results of items, in order: made in a thread of their own while the next are read and the last are used.

    Args:
        items: Read in a thread; what is not asked for within the block is not read.
        compute: Item to result, called in another thread, one at a time.
        ahead: Items that wait for `compute`, and results that wait to be taken.
        drop: Leave out the oldest of the items that wait where another comes, instead of having it wait.
        stop_requested: Asked before each result and while there is none; once true no more is read, and the results of
            what has been read are the last.

    Yields:
        An iterator of the results. An error of `items` or `compute` is raised where its result would be.
    """
    given: Handover[Item] = Handover(ahead, drop)
    made: Handover[Result] = Handover(ahead)
    threads = torch.get_num_threads()

    def read() -> None:
        _hand_over(items, given)

    def work() -> None:
        # A fresh thread computes with OpenMP's number of threads until it is told: other sums, other last bits.
        torch.set_num_threads(threads)
        _hand_over(map(compute, given.taken()), made)

    def listen() -> None:
        if stop_requested():
            given.finish()

    # A source such as a camera may never answer: nobody waits for the reader, not even Python when it ends.
    threading.Thread(target=read, name="read frames", daemon=True).start()
    worker = threading.Thread(target=work, name="compute frames", daemon=True)
    worker.start()
    try:
        yield Overlapped(made.taken(listen), given)
    finally:
        given.close()
        made.close()
        worker.join()


def _hand_over(items: Iterable[Item], to: Handover[Item]) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not to.give(item):
                return
    except BaseException as caught:  # whatever it is, it belongs to the one who asks for the results
        error = caught
    finally:
        to.finish(error)

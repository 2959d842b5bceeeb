"""Whether the other processes of a job still live: each says so every two seconds, in the store where they met.

Whoever waits for another in an exchange cannot tell slow from gone. A killed process closes its connections, which the
others notice when they next exchange something; a host that is gone, a cut cable and a frozen process close nothing,
and torch waits for half an hour. A thread beside the work tells these apart from a process that has much to do alone.
"""

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.engine.torchrun import ProcessRank, attempt, ended_key, tell_once
from pipelines.errors import Interrupted, UserError

BEAT_S = 2.0
SILENCE_S = 30.0
"""How long another process may be silent before it counts as gone, unless SILENCE_VARIABLE says otherwise."""
SILENCE_VARIABLE = "SIM2REAL_SILENCE_S"
JOINING_S = 1800.0
"""How long all may take until they have come together: processes of one job do not start at the same moment."""
LEAVING_BEATS = 3
"""Beats in which a process is to leave by itself after another has ended: most hear of it in an exchange."""
LAST_WORDS_S = 10.0
"""How long to try to tell the others before leaving without: the network may be what is gone."""


def allowed_silence(environment: Mapping[str, str] = os.environ) -> float:
    """How long another process may be silent, in seconds.

    Raises:
        UserError: SILENCE_VARIABLE is no number of seconds that holds a few beats.
    """
    text = environment.get(SILENCE_VARIABLE, str(SILENCE_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 2 * BEAT_S <= seconds < float("inf"):
        raise UserError(
            f"{SILENCE_VARIABLE} is {text!r}; expected seconds, {2 * BEAT_S:g} or more; left out, it is {SILENCE_S:g}"
        )
    return seconds


class Listener:
    """Which of the others are silent, counted in this process's own beats since their counters last moved.

    No clock is looked at: a job that is suspended as a whole and goes on has missed nothing.

    Args:
        peers: Ranks of the others.
        allowed: Beats that a peer may be silent for.
        allowed_at_first: The same until anything was heard of it, or all have come together.
    """

    def __init__(self, peers: list[int], allowed: int, allowed_at_first: int) -> None:
        self.peers = peers
        self._allowed, self._allowed_at_first = allowed, allowed_at_first
        self._beats = 0
        self._heard_at = dict.fromkeys(peers, 0)
        self._counters: dict[int, bytes] = {}
        self._ended_at: int | None = None

    def beat(self) -> None:
        """This process has lived for one beat more."""
        self._beats += 1

    def have_met(self) -> None:
        """All have come together: every peer lived just now, whether or not its counter was read yet."""
        self._allowed_at_first = self._allowed
        self._heard_at = dict.fromkeys(self.peers, self._beats)

    def hear(self, counters: dict[int, bytes]) -> None:
        """What the counters of peers are now."""
        for rank, counter in counters.items():
            if self._counters.get(rank) != counter:
                self._counters[rank], self._heard_at[rank] = counter, self._beats

    def hear_of_an_end(self) -> None:
        """Another process has said that it ends."""
        self._ended_at = self._beats if self._ended_at is None else self._ended_at

    def is_left(self) -> bool:
        """Whether another one ended some beats ago, and this process has not followed: it waits, or is busy alone."""
        return self._ended_at is not None and self._beats - self._ended_at > LEAVING_BEATS

    def silent(self) -> list[int]:
        """The ranks that have been silent for too long."""
        return [rank for rank in self.peers if self._beats - self._heard_at[rank] > self._patience(rank)]

    def _patience(self, rank: int) -> int:
        return self._allowed if rank in self._counters else self._allowed_at_first


class Heartbeat:
    """Tells the others that this process lives, and watches them, in two threads from `start` to `stop`.

    One talks with the store, and is stuck where the store's host is gone; so it is the other that watches.

    Args:
        place: This process among the others.
        connect: Opens a connection to the store, for these threads alone.
        silence_s: How long a peer may be silent.
        lost: Called, once, with the ranks that are silent, none where one said that it ends; leaves the process.
        beat_s: Seconds from beat to beat.
    """

    def __init__(
        self,
        place: ProcessRank,
        connect: Callable[[], Any],
        silence_s: float,
        lost: Callable[[list[int]], None],
        beat_s: float = BEAT_S,
    ) -> None:
        self._rank, self._connect, self._lost, self._beat_s = place.rank, connect, lost, beat_s
        peers = [rank for rank in range(place.world_size) if rank != place.rank]
        self._listener = Listener(peers, round(silence_s / beat_s), round(JOINING_S / beat_s))
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._talk, self._watch)]

    def start(self) -> None:
        """Begin to tell and to watch."""
        for thread in self._threads:
            thread.start()

    def have_met(self) -> None:
        """All have come together, and nobody needs the patience any more that is had with late ones."""
        self._listener.have_met()

    def stop(self) -> None:
        """Tell and watch no more, if it was begun. A thread that is stuck in the network is left behind."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(2 * self._beat_s)

    def _talk(self) -> None:
        store = None
        while not self._stopped.is_set():
            try:
                store = store or self._connect()
                self._exchange(store)
            except RuntimeError:  # of the network: that nothing is heard is all that follows
                store = None
            self._stopped.wait(self._beat_s)

    def _exchange(self, store: Any) -> None:
        """Move the own counter, and hear the others'."""
        store.add(_key(self._rank), 1)
        peers = self._listener.peers
        keys = [_key(rank) for rank in peers]
        if store.check(keys):  # else reading would wait for those who are yet to come
            self._listener.hear(dict(zip(peers, store.multi_get(keys), strict=True)))
        if store.check([ended_key()]):
            self._listener.hear_of_an_end()

    def _watch(self) -> None:
        while not self._stopped.wait(self._beat_s):
            self._listener.beat()
            silent = self._listener.silent()
            if silent or self._listener.is_left():
                self._lost(silent)
                return


def _key(rank: int) -> str:
    return f"sim2real/heartbeat/{attempt()}/{rank}"


def leave(silent: list[int], silence_s: float) -> None:
    """End this process, whose main thread may wait for the silent ones for ever, with one line and exit code 75.

    Where another process has told why all end, with its exit code and no line; where none can be reached, each tells.
    Nothing is cleaned up, as after a kill, which every command bears: what was saved is kept.
    """
    code = Interrupted.exit_code
    who = f"process{'es' if len(silent) > 1 else ''} {', '.join(map(str, silent))}"
    told = threading.Event()

    def tell() -> None:
        told.set()
        print(
            f"stopped: nothing was heard of {who} for {silence_s:g} s (killed, frozen or cut off; {SILENCE_VARIABLE} "
            "allows for more); what was saved is kept and the same command carries on",
            file=sys.stderr,
            flush=True,
        )

    def leave_without_them() -> None:
        if not told.is_set():
            tell()
        os._exit(code)

    hurry = threading.Timer(LAST_WORDS_S, leave_without_them)
    hurry.daemon = True
    hurry.start()
    os._exit(tell_once(tell, code))

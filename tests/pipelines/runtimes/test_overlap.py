"""Reading, computing and using at the same time: order, what is left out, errors where they belong, no thread left."""

import threading

import pytest
import torch

from pipelines.runtimes.overlap import Handover, overlapped
from tests.pipelines.hangs import HANGS_S


def names():
    return {thread.name for thread in threading.enumerate()}


def test_items_come_in_order_and_results_beside_them():
    with overlapped(range(50), lambda number: number * number) as results:
        assert list(results) == [number * number for number in range(50)]


def test_what_computes_is_another_thread_with_the_same_number_of_torch_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with overlapped([0], lambda _: (threading.current_thread().name, torch.get_num_threads())) as results:
            assert list(results) == [("compute frames", 2)]
    finally:
        torch.set_num_threads(before)


def test_reading_computing_and_using_meet():
    """Each waits for the other two: with fewer than three threads at work nobody would ever go on."""
    meeting = threading.Barrier(3, timeout=30)

    def items():
        yield 0  # is being used
        yield 1  # is being computed
        meeting.wait()
        yield 2

    def compute(number):
        if number == 1:
            meeting.wait()
        return number

    with overlapped(items(), compute) as results:
        assert next(results) == 0
        meeting.wait()
        assert list(results) == [1, 2]


def test_an_item_waits_for_a_place():
    handover = Handover(1)
    assert handover.give("a")
    giver = threading.Thread(target=lambda: handover.give("b") and handover.finish())
    giver.start()
    assert list(handover.taken()) == ["a", "b"] and handover.dropped == 0
    giver.join()


def test_what_waits_for_a_place_when_a_stop_comes_is_taken_still():
    """It has been read, and its source will not give it again."""
    handover, told = Handover(1), []
    assert handover.give("a")
    giver = threading.Thread(target=lambda: told.append(handover.give("b")))
    giver.start()
    with handover._changed:
        assert handover._changed.wait_for(lambda: len(handover._waiting) == 2, HANGS_S)
    handover.finish()
    giver.join()
    assert list(handover.taken()) == ["a", "b"] and told == [False], "it is the last"


def test_the_oldest_that_waits_is_left_out_where_dropping_is_the_rule():
    handover = Handover(2, drop=True)
    for item in "abcde":
        assert handover.give(item)
    handover.finish()
    assert list(handover.taken()) == ["d", "e"] and handover.dropped == 3


def test_a_giver_whose_taker_has_gone_is_told_and_does_not_wait():
    handover = Handover(1)
    handover.give("a")
    handover.close()
    assert not handover.give("b") and list(handover.taken()) == []


def test_a_stop_ends_reading_while_the_source_is_silent_and_what_was_read_is_still_computed():
    silent, stop = threading.Event(), []

    def source():
        yield from "ab"
        stop.append(True)
        silent.wait()

    with overlapped(source(), str.upper, stop_requested=lambda: bool(stop)) as results:
        assert list(results) == ["A", "B"]
    silent.set()


def test_what_is_left_out_is_counted():
    """The first is computed until all have come; of the others one waits, the newest."""
    all_read = threading.Event()

    def source():
        yield 0
        begun.wait()
        yield from (1, 2, 3)
        all_read.set()

    begun = threading.Event()

    def compute(number):
        begun.set()
        all_read.wait()
        return number

    with overlapped(source(), compute, ahead=1, drop=True) as results:
        assert list(results) == [0, 3] and results.dropped == 2


def test_no_place_is_a_mistake():
    with pytest.raises(ValueError, match="0 frames cannot wait; expected 1 or more"):
        Handover(0)


@pytest.mark.parametrize("where", ["items", "compute"])
def test_an_error_is_raised_where_its_result_would_be(where):
    def items():
        yield 1
        yield 2
        if where == "items":
            raise OSError("unplugged")
        yield 3

    def compute(number):
        if number == 3:
            raise OSError("unplugged")
        return number

    seen = []
    with pytest.raises(OSError, match="unplugged"), overlapped(items(), compute) as results:
        for result in results:
            seen.append(result)
    assert seen == [1, 2]


def test_leaving_early_ends_the_threads_though_the_source_never_ends():
    ended = threading.Event()

    def forever():
        try:
            while True:
                yield 0
        finally:
            ended.set()

    with overlapped(forever(), lambda number: number) as results:
        assert next(results) == 0
    assert ended.wait(30) and "compute frames" not in names()


def test_a_source_that_answers_no_more_holds_nobody_up():
    silent = threading.Event()

    def source():
        yield 0
        silent.wait()

    with overlapped(source(), lambda number: number) as results:
        assert next(results) == 0
    assert "compute frames" not in names()
    silent.set()

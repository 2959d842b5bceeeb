"""What processes that train together agree on, with the others played; whole trainings: test_several_processes.py."""

import pytest
import torch

from pipelines.engine import processes
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import Interrupted, UserError


def test_alone_nothing_is_exchanged():
    values, tensor = {"main": 0.1}, torch.ones(2)
    assert ALONE.sum(tensor) is tensor and ALONE.mean(values) == values and ALONE.from_leader(7) == 7
    assert not ALONE.any(False) and ALONE.any(True) and list(ALONE.share_of(3)) == [0, 1, 2]
    ALONE.refuse_difference(object())
    with ALONE.joined(torch.device("cpu")):
        assert not torch.distributed.is_initialized()
    assert [list(Processes(rank, 3).share_of(6)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.fixture
def other_adds(monkeypatch):
    """A function: what the other of two processes hands in, call after call."""

    def plays(*parts):
        waiting = iter(parts)

        def reduced(tensor, operation):
            part = torch.as_tensor(next(waiting), dtype=tensor.dtype)
            largest = operation == torch.distributed.ReduceOp.MAX
            return tensor.copy_(torch.maximum(tensor, part) if largest else tensor + part)

        monkeypatch.setattr(processes, "_all_reduced", reduced)

    return plays


def test_items_are_shared_out_and_come_together_in_order(monkeypatch):
    """Of five items in two shares; the shares of three processes of which one has nothing."""

    def exchanged(parts, own):
        parts[:] = [["a", "c", "e"], own]

    assert [Processes(rank, 2).share("abcde") for rank in range(2)] == [["a", "c", "e"], ["b", "d"]]
    assert [Processes(rank, 3).share([7, 8]) for rank in range(3)] == [[7], [8], []]
    assert ALONE.share("ab") == ALONE.gathered("ab") == ["a", "b"]
    monkeypatch.setattr(torch.distributed, "all_gather_object", exchanged)
    assert Processes(1, 2).gathered(["b", "d"]) == list("abcde")


@pytest.mark.parametrize(("items", "meetings"), [(8, 0), (9, 0), (10, 1), (11, 1), (18, 2)])
def test_processes_meet_after_every_fourth_item_that_all_have(monkeypatch, items, meetings):
    """Of 9 the first has five and the second four: a meeting before the fifth would be one for the first alone."""
    met = []
    monkeypatch.setattr(Processes, "wait", lambda self: met.append(self.rank))
    walks = [list(Processes(rank, 2).walk(range(items))) for rank in range(2)]
    assert walks == [list(range(0, items, 2)), list(range(1, items, 2))]
    assert met == [0] * meetings + [1] * meetings


def test_numbers_of_two_are_averaged(other_adds):
    other_adds([3.0, 6.0])
    assert Processes(0, 2).mean({"main": 1.0, "auxiliary": 2.0}) == {"main": 2.0, "auxiliary": 4.0}


def test_what_is_so_in_one_is_so_in_all(other_adds):
    other_adds(1, 0)
    assert Processes(0, 2).any(False) and not Processes(0, 2).any(False)


def test_the_leaders_number_counts(other_adds):
    other_adds(0, 7)
    assert Processes(0, 2).from_leader(5) == 5  # the other one hands in nothing
    assert Processes(1, 2).from_leader(5) == 7


def test_gradients_are_averaged_in_one_message_for_each_dtype(other_adds):
    """Own gradients 2, (4, 6) and in bf16 8; the other's 4, (0, 2) and 0. What has no gradient is left out."""
    shapes = ((1,), (2,), (3,))
    first, second, without = (torch.nn.Parameter(torch.zeros(shape)) for shape in shapes)
    half = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([first, without, second, half], lr=1.0)
    first.grad, second.grad = torch.tensor([2.0]), torch.tensor([4.0, 6.0])
    half.grad = torch.tensor([8.0], dtype=torch.bfloat16)
    other_adds([4.0, 0.0, 2.0], [0.0])  # a third message would find nothing
    Processes(0, 2).average_gradients(optimizer)
    assert [first.grad.tolist(), second.grad.tolist(), half.grad.tolist()] == [[3.0], [2.0, 4.0], [4.0]]
    assert without.grad is None and half.grad.dtype == torch.bfloat16


def test_those_who_were_given_something_else_are_refused(other_adds):
    """The one that follows hears the leader's number, and that nobody else differs; its own is not the leader's."""
    other_adds(12345, 0)
    with pytest.raises(UserError, match=r"^the 2 processes do not have the same settings, frames or precision; give"):
        Processes(1, 2).refuse_difference({"steps": 3})
    other_adds(0, 0)
    Processes(0, 2).refuse_difference({"steps": 3})


def test_a_peer_that_is_gone_is_told_on_one_line(monkeypatch):
    def gone(tensor, operation):
        raise RuntimeError("Connection closed by peer\nException raised from here and there")

    monkeypatch.setattr(torch.distributed, "all_reduce", gone)
    with pytest.raises(Interrupted, match=r"gone without a word, .* \(Connection closed by peer\); what was saved"):
        Processes(0, 2).sum(torch.ones(1))


def test_one_speaks_for_all(capsys):
    with Processes(1, 2).stderr() as silent:
        silent.write("never seen")
    Processes(0, 2).stderr().write("seen")
    assert capsys.readouterr().err == "seen"

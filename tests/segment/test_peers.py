"""What processes that train together know of each other: rows in the order of ranks, and the random numbers of each."""

import torch

from segment.peers import ALONE, Peers
from tests.segment.together import Together


def among(count, call):
    """What `call(peers)` gives in each of `count` processes."""
    together = Together(count)
    return together.run(call, [Peers(rank, count, together.sum) for rank in range(count)])


def test_alone_nothing_happens():
    rows = torch.rand(2, 3, requires_grad=True)
    assert torch.equal(ALONE.gathered(rows), rows) and not ALONE.gathered(rows).requires_grad
    assert torch.equal(ALONE.own(rows, 2), rows)


def test_rows_come_in_the_order_of_ranks_however_many_each_has():
    handed_in = [torch.tensor([[1.0]]), torch.tensor([[2.0], [3.0]]), torch.empty(0, 1)]
    for answer in among(3, lambda peers: peers.gathered(handed_in[peers.rank])):
        assert answer.tolist() == [[1.0], [2.0], [3.0]]


def test_each_finds_its_own_again():
    everyones = torch.arange(6)
    assert [Peers(rank, 3).own(everyones, 2).tolist() for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]


def numbers_of_a_step(peers):
    """What is drawn for a process's two images, for its own use, and for its images again."""
    torch.manual_seed(1)
    first = peers.drawn(lambda images: torch.rand(images, 3), 2)
    with peers.drawing_apart():
        own = torch.rand(3)
    return first, own, peers.drawn(lambda images: [float(torch.rand(())) for _ in range(images)], 2)


def test_images_have_the_random_numbers_that_they_have_in_one_process():
    torch.manual_seed(1)
    expected = torch.rand(4, 3)
    parts = [numbers_of_a_step(Peers(rank, 2)) for rank in range(2)]
    assert torch.equal(torch.cat([first for first, _, _ in parts]), expected)
    assert not torch.equal(parts[0][1], parts[1][1])
    again = [number for _, _, numbers in parts for number in numbers]
    assert len(set(again)) == 4 and len(parts[0][2]) == 2


def test_alone_nothing_is_drawn_beside():
    torch.manual_seed(1)
    expected = torch.rand(2, 3), torch.rand(3), torch.rand(2)
    for found, wanted in zip(numbers_of_a_step(ALONE), expected, strict=True):
        assert torch.equal(torch.as_tensor(found), wanted)

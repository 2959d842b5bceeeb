"""The memory of past fakes: what goes in, what comes out, and that a resumed one is the same one."""

import pytest
import torch

from segment.peers import Peers
from translate.image_pool import ImagePool

BOTH = torch.tensor([1, 1])
"""How many images each of two processes hands in."""


def images(*values):
    """One 3x2x2 image per value, filled with it."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def values(batch):
    return batch[:, 0, 0, 0].tolist()


def test_returns_and_stores_while_not_full():
    pool = ImagePool(3)
    assert values(pool(images(1, 2))) == [1, 2]
    assert values(pool(images(3))) == [3]
    assert values(pool.images) == [1, 2, 3]
    assert int(pool.count) == 3


def test_a_full_pool_swaps_or_passes_on():
    torch.manual_seed(0)
    pool = ImagePool(2)
    pool(images(0, 1))
    held = {0, 1}
    swaps = 0
    for value in range(2, 402):
        (returned,) = values(pool(images(value)))
        if returned != value:
            swaps += 1
            assert returned in held
            held = (held - {returned}) | {value}
        assert set(values(pool.images)) == held
    # 400 fair coins: 200 give or take 4 standard deviations of 10.
    assert 160 < swaps < 240


def test_every_place_is_drawn():
    torch.manual_seed(0)
    pool = ImagePool(4)
    pool(images(0, 1, 2, 3))
    returned = {value for step in range(4, 100) for value in values(pool(images(step)))}
    assert {0, 1, 2, 3} <= returned


def test_images_of_one_batch_may_meet():
    torch.manual_seed(0)
    pool = ImagePool(1)
    returned = values(pool(images(*range(20))))
    # With one place, whoever leaves is the last who stayed: nobody comes out twice, and nobody before going in.
    assert len(set(returned)) == 20 - 1 + (values(pool.images)[0] in returned)
    assert all(value <= place for place, value in enumerate(returned))


def test_without_capacity_everything_passes():
    pool = ImagePool(0)
    batch = images(1, 2)
    assert torch.equal(pool(batch), batch)
    assert pool.images.numel() == 0


def test_two_processes_have_the_pool_and_the_images_of_one():
    """Each hands in one image of two and draws alike, as the engine has it; what both hand in is known beforehand."""
    pairs = [(2 * step, 2 * step + 1) for step in range(20)]

    def exchanged(pool, parts, together=lambda pair: None):
        answers = []
        for step, (part, pair) in enumerate(zip(parts, pairs, strict=True)):
            torch.manual_seed(step)
            together(pair)
            answers += values(pool(images(*part)))
        return answers, values(pool.images)

    def of_process(rank):
        pool, summed = ImagePool(2), []
        pool.peers = Peers(rank, 2, lambda own: summed.pop(0))
        return exchanged(pool, [(pair[rank],) for pair in pairs], lambda p: summed.extend([BOTH, images(*p)]))

    alone, held = exchanged(ImagePool(2), pairs)
    assert alone != list(range(40))  # some were swapped
    assert [of_process(rank) for rank in range(2)] == [(alone[rank::2], held) for rank in range(2)]


def test_returns_no_gradient_and_keeps_its_own_copy():
    pool = ImagePool(2)
    fakes = images(1).requires_grad_()
    returned = pool(fakes)
    assert not returned.requires_grad
    returned.fill_(7)
    assert values(pool.images)[0] == 1
    assert not ImagePool(0)(fakes).requires_grad


def test_memory_is_taken_once():
    pool = ImagePool(5)
    pool(images(1))
    address = pool.images.data_ptr()
    for value in range(2, 10):
        pool(images(value))
    assert pool.images.data_ptr() == address


@pytest.mark.parametrize("seen", [0, 2, 9])
def test_a_resumed_pool_goes_on_as_if_it_had_never_stopped(seen):
    torch.manual_seed(0)
    pool = ImagePool(4)
    for value in range(seen):
        pool(images(value))
    resumed = ImagePool(4)
    resumed.load_state_dict({key: tensor.clone() for key, tensor in pool.state_dict().items()})
    for value in range(seen, seen + 20):
        torch.manual_seed(value)
        expected = pool(images(value))
        torch.manual_seed(value)
        assert torch.equal(resumed(images(value)), expected)
    assert torch.equal(resumed.images, pool.images)


def test_an_empty_pool_replaces_a_filled_one():
    pool = ImagePool(2)
    pool(images(1, 2))
    pool.load_state_dict(ImagePool(2).state_dict())
    assert int(pool.count) == 0 and pool.images.numel() == 0
    assert values(pool(images(5))) == [5]


def test_loading_copies():
    saved = ImagePool(2)
    saved(images(1))
    state = saved.state_dict()
    pool = ImagePool(2)
    pool.load_state_dict(state)
    pool(images(2))
    assert values(state["images"]) == [1, 0]


def test_refuses_a_saved_pool_of_another_capacity():
    saved = ImagePool(2)
    saved(images(1))
    with pytest.raises(RuntimeError, match="holds 2 images, but the pool was made for 3"):
        ImagePool(3).load_state_dict(saved.state_dict())


def test_refuses_images_of_another_size():
    pool = ImagePool(2)
    pool(images(1))
    with pytest.raises(ValueError, match=r"\(3, 4, 4\) cannot join a pool of \(3, 2, 2\)"):
        pool(torch.zeros(1, 3, 4, 4))


def test_refuses_a_negative_capacity():
    with pytest.raises(ValueError, match="cannot be negative: -1"):
        ImagePool(-1)

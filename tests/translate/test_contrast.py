"""The contrast between patches: two of them on paper, what may learn from it, and where patches are taken."""

import math

import pytest
import torch

from translate.contrast import draw_locations, patch_contrast

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


def vectors(*patches):
    """One image's patches, (1, P, 2)."""
    return torch.tensor([patches])


def test_two_patches_by_hand():
    # Cosines of query 1 with the keys: 1 and 0; of query 2: 0.6 and 0.8. At temperature 0.5 they count twice.
    queries, keys = vectors(EAST, (0.6, 0.8)), vectors(EAST, NORTH)
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(0)))
    second = -math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    expected = (first + second) / 2  # (0.126928 + 0.513015) / 2
    assert expected == pytest.approx(0.3199716, abs=1e-6)
    assert patch_contrast(queries, keys, temperature=0.5).item() == pytest.approx(expected, rel=1e-5)


def test_the_papers_temperature_by_hand():
    # log(1 + e^((0 - 1) / 0.07)) for each; single precision knows so little above 0 to 10%.
    found = patch_contrast(vectors(EAST, NORTH), vectors(EAST, NORTH))
    assert found.item() == pytest.approx(math.log1p(math.exp(-1 / 0.07)), rel=0.1)
    swapped = patch_contrast(vectors(NORTH, EAST), vectors(EAST, NORTH))
    assert swapped.item() == pytest.approx(1 / 0.07 + math.log1p(math.exp(-1 / 0.07)), rel=1e-5)


def test_what_cannot_be_told_apart_costs_the_logarithm_of_the_number_of_patches():
    same = vectors(EAST).expand(3, 8, 2)
    assert patch_contrast(same, same).item() == pytest.approx(math.log(8), rel=1e-5)


def test_patches_of_another_image_are_no_negatives():
    """Two images of one patch each: nothing to be mistaken for, however alike they are."""
    queries = torch.tensor([[EAST], [EAST]])
    assert patch_contrast(queries, queries).item() == pytest.approx(0, abs=1e-6)


def test_queries_learn_and_keys_do_not():
    queries = torch.nn.functional.normalize(torch.randn(2, 5, 3), dim=-1).requires_grad_()
    keys = torch.nn.functional.normalize(torch.randn(2, 5, 3), dim=-1).requires_grad_()
    patch_contrast(queries, keys).backward()
    assert queries.grad.abs().sum() > 0
    assert keys.grad is None


def test_half_precision_is_compared_in_single():
    queries = torch.nn.functional.normalize(torch.randn(1, 9, 4), dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        found = patch_contrast(queries, queries)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(patch_contrast(queries, queries).item(), rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 2), (1, 2, 3), (2, 2)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"\(1, 2, 2\).*both must be one \(B, P, C\)|both must be one"):
        patch_contrast(torch.zeros(1, 2, 2), torch.zeros(shape))


def test_places_are_distinct_and_within_their_map():
    torch.manual_seed(0)
    few, many = draw_locations([torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 40, 50)], patches=100)
    assert sorted(few.tolist()) == list(range(12))
    assert len(set(many.tolist())) == 100 and min(many) >= 0 and max(many) < 2000


def test_places_follow_from_the_seed():
    maps = [torch.zeros(1, 1, 20, 20)]
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(draw_locations(maps, 10)[0])
    assert torch.equal(*drawn)

"""Styles: k-means on points whose clusters are plain, memory of the last ones, draws that repeat."""

import pytest
import torch

from translate.layouts import regions
from translate.styles import StyleMemory, k_means, style_keys


def test_k_means_by_hand():
    points = torch.tensor([[0.0], [0.2], [10.0], [10.4], [5.0]])
    assert sorted(k_means(points, 3).flatten().tolist()) == pytest.approx([0.1, 5.0, 10.2])


def test_k_means_finds_no_more_centres_than_there_are_points():
    assert k_means(torch.tensor([[1.0], [1.0], [2.0]]), 10).shape == (2, 1)


def test_k_means_repeats():
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    torch.rand(5)
    assert torch.equal(k_means(points, 10), k_means(points, 10))


def memory():
    kept = StyleMemory(classes=3, features=1, clusters=2, capacity=4)
    # Class 1 sees 0 (forgotten), 1, 1, 9, 9; class 2 sees 5; class 0 nothing.
    kept.remember(torch.tensor([[0.0], [1], [1], [9], [9], [5]]), torch.tensor([1, 1, 1, 1, 1, 2]))
    kept.form_clusters()
    return kept


def test_the_oldest_are_forgotten():
    kept = memory()
    assert kept.seen.tolist() == [0, 5, 1]
    assert sorted(kept.centres[1].flatten().tolist()) == [1, 9] and kept.found.tolist() == [0, 2, 1]


def test_draws_are_centres_of_their_class():
    kept = memory()
    drawn = kept.draw(torch.tensor([0, 2, *[1] * 40]), list(range(42))).flatten().tolist()
    assert drawn[:2] == [0, 5] and set(drawn[2:]) == {1, 9}
    assert drawn == kept.draw(torch.tensor([0, 2, *[1] * 40]), list(range(42))).flatten().tolist()


def test_memory_is_saved_with_its_clusters():
    other = StyleMemory(classes=3, features=1, clusters=2, capacity=4)
    other.load_state_dict(memory().state_dict())
    assert torch.equal(other.centres, memory().centres)


def test_clusters_formed_elsewhere_are_adopted():
    kept = memory()
    kept.adopt({0: torch.tensor([[3.0], [4.0]]), 1: torch.tensor([[7.0]])})
    assert kept.found.tolist() == [2, 1, 1]
    drawn = kept.draw(torch.tensor([*[0] * 40, 1, 2]), list(range(42))).flatten().tolist()
    assert set(drawn[:40]) == {3, 4} and drawn[40:] == [7, 5]
    kept.remember(torch.tensor([[6.0]]), torch.tensor([2]))
    kept.form_clusters()
    assert kept.centres[0].flatten().tolist() == [3, 4]  # nothing of that class was seen: its clusters stay


def test_keys_depend_on_layout_thing_and_seed_and_not_on_the_batch():
    one = torch.tensor([[[0, 1, 1, 2]]])
    other = torch.tensor([[[0, 1, 2, 2]]])
    ids = torch.tensor([[[0, 3, 4, 0]]])
    alone = style_keys(regions(one, ids), one, 0)
    assert len(set(alone)) == 4
    assert not set(alone) & set(style_keys(regions(one, ids), one, 1))
    both = torch.cat([other, one])
    together = style_keys(regions(both, torch.cat([ids, ids])), both, 0)
    assert together[-4:] == alone and not set(together[:-4]) & set(alone)


def test_refuses_to_have_no_clusters():
    with pytest.raises(ValueError, match="at least 1 cluster"):
        StyleMemory(classes=2, features=3, clusters=0)

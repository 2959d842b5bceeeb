"""The plain passes that a step of adaptation is timed against are its passes: both teach the same."""

import pytest
import torch

from benchmarks.adaptation_step import PASSES, Passes, batch_of, compare, cost_of, main, method_of, our_step

NETWORK, SIZE = "ddrnet23_slim", (64, 64)
WITHOUT_DRAWS = sorted(PASSES.keys() - {"dacs", "mic"})


@pytest.mark.parametrize("name", WITHOUT_DRAWS)
def test_the_passes_teach_what_a_step_teaches(name):
    batch = batch_of(SIZE, 2)
    method = method_of(name, NETWORK)
    passes = Passes(method)
    before = weights(method.network)
    our_step(method, batch)()
    PASSES[name](passes, batch)
    ours = weights(method.network) - before
    plain = weights(passes.network) - before
    assert plain.norm() > 0
    assert (ours - plain).norm() < 1e-3 * plain.norm()  # sums in another order


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_both_sides_and_the_costs_are_measured():
    batch = batch_of(SIZE, 2)
    row = compare("dacs", NETWORK, batch, rounds=1)
    assert row["ratio"] == pytest.approx(row["step_s"] / row["passes_s"]) and row["passes_s"] > 0
    costs = cost_of("mic", NETWORK, batch)
    assert costs["step_s"] > 0 and 0.1 < costs["peak_gib"] < 64


def test_a_method_whose_passes_are_not_written_out_is_refused_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["adaptation_step.py", "--methods", "fda", "mic"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    assert "--methods fda: no passes are written out; those of supervised" in said.err and said.out == ""


def test_label_maps_are_patches_of_the_frames_size():
    batch = batch_of((70, 40), 3)
    assert batch.source.image.shape == (3, 3, 40, 70) and batch.target.shape == (3, 3, 40, 70)
    label_map = batch.source.label_map
    assert label_map.shape == batch.pseudo_label.shape == (3, 40, 70) and label_map.max() < 19
    assert (label_map[:, :32, :32] == label_map[:, :1, :1]).all()

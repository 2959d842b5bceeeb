"""What the network is given of a batch of frames, and what comes back: sizes, full batches, no gradients."""

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.data.images import read_image, write_image
from pipelines.errors import NumericalError, UserError
from tests.pipelines.batch_inference.translating import (
    negative,
    paint,
    run,
    run_folder,
    small_translator,
    tree,
)


def test_a_batch_holds_neighbours_of_one_size_and_is_always_full(source, tmp_path):
    """Sums are taken in another order in a smaller batch; a run that was killed would show in the last level."""
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return image

    run(source, tmp_path / "out", translate, batch_size=2)
    assert shapes == [(2, 3, 6, 8), (2, 3, 6, 8), (2, 3, 5, 7)]


def test_a_real_generator_keeps_sizes_that_do_not_divide_by_four(tmp_path):
    method = small_translator(4)
    for size in ((17, 23), (16, 24), (33, 16)):
        write_image(tmp_path / f"in/{size[0]}.png", paint(size[0], *size))
    run_folder(tmp_path / "in", tmp_path / "one", method.translate)
    run_folder(tmp_path / "in", tmp_path / "other", method.translate)
    assert read_image(tmp_path / "one/17.png").shape == (17, 23, 3)
    assert read_image(tmp_path / "one/33.png").shape == (33, 16, 3)
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


def test_the_network_sees_the_height_asked_for_and_the_file_keeps_its_own(tmp_path):
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return negative(image)

    flat = np.full((40, 60, 3), 50, np.uint8)
    flat[:, 30:] = 90
    write_image(tmp_path / "in/a.png", flat)
    run_folder(tmp_path / "in", tmp_path / "out", translate, height=10)
    result = read_image(tmp_path / "out/a.png")
    assert shapes == [(1, 3, 10, 15)]
    assert result.shape == (40, 60, 3)
    assert (result[:, :20] == 205).all() and (result[:, 40:] == 165).all()
    with pytest.raises(UserError, match="height was 10 and is left out"):
        run_folder(tmp_path / "in", tmp_path / "out")


def test_a_size_asked_for_and_the_way_back(tmp_path):
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return negative(image)

    write_image(tmp_path / "in/a.png", np.full((40, 60, 3), 50, np.uint8))
    run_folder(tmp_path / "in", tmp_path / "out", translate, size=(32, 16))
    assert shapes == [(1, 3, 16, 32)]
    assert (read_image(tmp_path / "out/a.png") == np.full((40, 60, 3), 205)).all()
    with pytest.raises(UserError, match="size was 32 16 and is left out"):
        run_folder(tmp_path / "in", tmp_path / "out")


def test_gradients_are_off(source, tmp_path):
    network = nn.Conv2d(3, 3, 1)
    seen = []

    def translate(image):
        seen.append(network(image).requires_grad)
        return image

    run(source, tmp_path / "out", translate)
    assert seen == [False] * 5


def test_a_network_that_has_diverged_is_named_and_writes_nothing(source, tmp_path):
    with pytest.raises(NumericalError, match=r"rgb/-rf\.png: .*not numbers"):
        run(source, tmp_path / "out", lambda image: image * float("nan"))
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_network_that_changes_the_size_is_our_mistake(source, tmp_path):
    with pytest.raises(ValueError, match=r"made \(1, 3, 4, 8\) of \(1, 3, 6, 8\)"):
        run(source, tmp_path / "out", lambda image: image[..., :4, :])


def test_memory_that_runs_out_names_the_settings_to_change(source, tmp_path):
    def translate(image):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(
        UserError, match=r"-rf\.png: out of memory for 2 frame\(s\) of 8x6 on cpu; lower the batch size"
    ):
        run(source, tmp_path / "out", translate, batch_size=2)

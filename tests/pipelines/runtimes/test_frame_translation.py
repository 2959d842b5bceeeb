"""The one way from a frame to its translation: sizes there and back, and the translator itself but for rounding."""

import numpy as np
import pytest
import torch

from pipelines.engine.launch import Machine
from pipelines.errors import UserError
from pipelines.runtimes.frame_translation import FrameTranslator, mode_on, open_translation, refuse_unlearnt, resized
from tests.pipelines.batch_inference.translating import small_translator

CPU = Machine(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def method():
    return small_translator(4)


def test_an_opened_translator_is_the_translator_but_for_rounding(method):
    image = torch.rand(2, 3, 18, 25, generator=torch.Generator().manual_seed(0))
    translate = open_translation(method, CPU)
    with torch.inference_mode():
        torch.testing.assert_close(translate(image), method.translate(image), rtol=0, atol=1e-4)


def test_fast_is_bf16_where_that_pays_and_autocast_where_it_is_asked_for_by_name(monkeypatch):
    in_bf16 = Machine(torch.device("cpu"), "bf16")
    for able in (True, False):
        monkeypatch.setattr(Machine, "bf16_pays", able)
        assert mode_on(CPU, fast=True) == ("fast" if able else "exact") and mode_on(CPU, fast=False) == "exact"
        assert mode_on(in_bf16, fast=True) == "fast" and mode_on(in_bf16, fast=False) == "autocast"


def test_a_runtime_with_autocast_is_refused(method):
    with pytest.raises(UserError, match="--runtime openvino: choose --fast or --precision fp32 with it"):
        open_translation(method, Machine(torch.device("cpu"), "bf16"), runtime="openvino")


def test_a_runtime_of_the_cpu_is_refused_on_a_gpu(method):
    with pytest.raises(UserError, match="--runtime openvino computes on the CPU alone; use --device cpu, or"):
        open_translation(method, Machine(torch.device("cuda"), "bf16"), fast=True, runtime="openvino")


def test_a_direction_that_was_not_learnt_is_refused(method):
    refuse_unlearnt(method, "source_to_target")
    with pytest.raises(UserError, match=r"--direction target_to_source: .* it has learnt source_to_target"):
        refuse_unlearnt(method, "target_to_source")


def test_a_shrunk_pixel_is_the_mean_of_its_area_and_a_grown_one_stays_in_range():
    image = torch.tensor([[[[0.0, 1.0], [0.5, 0.9]]]])
    assert resized(image, (1, 1)).item() == pytest.approx(0.6)  # (0 + 1 + 0.5 + 0.9) / 4
    grown = resized(image, (8, 8))
    assert grown.shape == (1, 1, 8, 8) and grown.min() >= 0 and grown.max() <= 1
    assert resized(image, (2, 2)) is image
    # Each side by its own rule: stripes of one pixel are grey where two become one, however much the frame grows.
    stripes = torch.tensor([0.0, 1.0] * 4).expand(1, 3, 2, 8)
    torch.testing.assert_close(resized(stripes, (6, 4)), torch.full((1, 3, 6, 4), 0.5))


def test_a_label_map_keeps_its_ids():
    ids = torch.tensor([[[3, 200]]])
    assert resized(ids, (1, 4)).tolist() == [[[3, 3, 200, 200]]] and resized(ids, (1, 4)).dtype == torch.int64


def test_sizes_that_the_network_sees():
    def seen(**options):
        return FrameTranslator(lambda image: image, **options).seen_size(90, 160)

    assert seen() == (90, 160) and seen(height=45) == (45, 80) and seen(size=(64, 32)) == (32, 64)


def test_a_batch_is_filled_and_what_filled_it_left_out():
    shapes = []

    def translate(image):
        shapes.append(tuple(image.shape))
        return 1 - image

    frame = np.full((4, 6, 3), 55, np.uint8)
    assert FrameTranslator(translate, batch_size=3).translated([frame]).mul(255).round().eq(200).all()
    assert shapes == [(3, 3, 4, 6)]

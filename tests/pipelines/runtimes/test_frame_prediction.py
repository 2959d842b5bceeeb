"""The one way from a frame to a label map: exact by default, the same but for rounding by any runtime."""

import math

import numpy as np
import pytest
import torch

from pipelines.engine.launch import Machine
from pipelines.errors import NumericalError
from pipelines.runtimes.frame_prediction import (
    EXACT,
    Inference,
    TestTimeAugmentation,
    as_seen,
    likeliest_classes,
    open_predictor,
)
from segment.inference import predict
from tests.pipelines.narrow import narrow_ddrnet

CPU = Machine(torch.device("cpu"), "fp32")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return narrow_ddrnet().eval()


@pytest.fixture(scope="module")
def frame():
    return np.random.default_rng(0).integers(0, 256, (40, 72, 3), np.uint8)


def test_what_is_seen_is_the_frame_at_the_height_in_unit_range(frame):
    seen = as_seen(frame, 40, "cpu")
    assert seen.shape == (1, 3, 40, 72) and seen.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal((seen[0] * 255).round().byte().permute(1, 2, 0), torch.from_numpy(frame))
    assert as_seen(frame, 20, "cpu").shape == (1, 3, 20, 36)
    assert as_seen(np.zeros((1000, 1, 3), np.uint8), 10, "cpu").shape[-1] == 1, "a stripe keeps a column"


def test_by_default_it_is_the_network_to_the_bit(network, frame):
    ready = open_predictor(network, 32, CPU)
    expected = predict(network, as_seen(frame, 32, "cpu"), (40, 72))[0]
    assert np.array_equal(ready(frame, (40, 72)), expected.numpy()) and ready(frame, (40, 72)).dtype == np.uint8
    assert ready.logits(frame, (7, 9)).shape == (1, 19, 7, 9)


@pytest.mark.parametrize("augmentation", [TestTimeAugmentation(), TestTimeAugmentation(flip=True, scales=(0.75, 1.0))])
def test_a_runtime_answers_the_same_but_for_rounding(network, frame, augmentation):
    exact = open_predictor(network, 64, CPU, Inference(augmentation=augmentation))
    sooner = open_predictor(network, 64, CPU, Inference("torch", "exact", augmentation))
    expected, found = (one.logits(frame, (40, 72)).softmax(1) for one in (exact, sooner))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (exact(frame, (40, 72)) == sooner(frame, (40, 72))).mean() > 0.99


def test_a_frame_may_be_changed_before(network, frame):
    from dataclasses import replace

    ready = open_predictor(network, 40, CPU)
    turned = replace(ready, before=lambda image: 255 - image)
    assert np.array_equal(turned(frame, (40, 72)), ready(255 - frame, (40, 72)))


def test_names_and_identities_tell_what_differs_from_the_exact_single_look():
    assert EXACT.name == "" and EXACT.identity() == {}
    fast = Inference("openvino", "fast", TestTimeAugmentation(flip=True))
    assert fast.name == "flip_openvino-fast"
    assert fast.identity() == {"looks": "flip", "runtime": "openvino", "mode": "fast"}
    assert Inference("torch").name == "torch"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_have_no_class(value):
    """`max` would find one for every pixel, and a score would be printed."""
    logits = torch.zeros(1, 19, 4, 6)
    logits[0, 7] = 1
    assert likeliest_classes(logits).eq(7).all() and likeliest_classes(logits).dtype == torch.uint8
    logits[0, 3, 2, 5] = value
    with pytest.raises(NumericalError, match=r"logits are no numbers.*its training has diverged"):
        likeliest_classes(logits)

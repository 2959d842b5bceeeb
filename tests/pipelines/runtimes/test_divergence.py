"""What a trained network computes and is no number is never scored."""

import pytest
import torch

from pipelines.errors import NumericalError
from pipelines.runtimes.divergence import refuse_diverged


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_value_that_is_no_number_is_enough(value, dtype):
    logits = torch.zeros(1, 19, 4, 4, dtype=dtype)
    refuse_diverged(logits, "logits")
    logits[0, 18, 3, 3] = value
    with pytest.raises(NumericalError, match=r"^the segmenter's logits are no numbers, .*; train it again with"):
        refuse_diverged(logits, "logits")


def test_values_at_the_end_of_their_range_are_numbers():
    features = torch.tensor([torch.finfo(torch.float32).max, torch.finfo(torch.float32).tiny])
    refuse_diverged(features, "features")
    with pytest.raises(NumericalError, match="the segmenter's features are no numbers"):
        refuse_diverged(2 * features, "features")

"""Networks whose weights are numbers and whose outputs are not.

A training that diverges can leave statistics of batch normalisation with which a network overflows, though every loss
was a number. A class is found in such logits all the same, and a score would be printed.
"""

from torch import Tensor

from pipelines.errors import NumericalError


def refuse_diverged(values: Tensor, what: str) -> None:
    """NumericalError if values that a trained network computed are not all finite; `what` names them: "logits"."""
    if not values.isfinite().all():
        raise NumericalError(
            f"the segmenter's {what} are no numbers, though its weights are: its training has diverged; train it again "
            "with a lower learning rate or more segmenter.warmup_steps"
        )

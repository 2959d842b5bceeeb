"""Which segmenter predicts frames, and how: what `segment predict` and `segment stream` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipelines.commands.options import Decorator, refuse_odd_weights, several_checkpoints


@dataclass(frozen=True)
class TypedSegmenter:
    """Which segmenter, and what it does, as it was typed."""

    checkpoints: tuple[Path, ...]
    weights: tuple[float, ...] | None
    flip: bool
    labels: Any
    height: int | None
    runtime: Any
    fast: bool

    def __post_init__(self) -> None:
        refuse_odd_weights(self.checkpoints, self.weights)


def segmenter_options(of_labels: str, *more: Decorator) -> tuple[Decorator, ...]:
    """The options of `TypedSegmenter`; `more` are those that only one command has, listed after --labels."""
    return (
        *several_checkpoints(),
        click.option("--flip", is_flag=True, help="Look at the mirror image, too, and average."),
        click.option("--labels", type=click.Choice(("train_ids", "label_ids", "colour")), default=None, help=of_labels),
        *more,
        click.option("--height", type=click.IntRange(16), default=None,
                     help="Predict at this height instead of that of the training; results keep the image's own size."),
        click.option("--runtime", type=click.Choice(("torch", "compile", "onnxruntime", "openvino")), default=None,
                     help="What computes; two of them are extras.  [default: the fastest present]"),
        click.option("--fast", is_flag=True,
                     help="In bf16 where that is faster here, which changes pixels on borders between classes."),
    )  # fmt: skip

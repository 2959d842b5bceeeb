"""`sim2real segment pseudo-label`: what trained segmenters are surest of in the target frames, as labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from pipelines.commands.options import (
    A_FOLDER,
    Amount,
    gathered,
    refuse_odd_weights,
    several_checkpoints,
    training_options,
)
from pipelines.commands.request import Request, on_experiment
from pipelines.declared import settings_class

USUAL = settings_class("segment.methods.cbst.CBSTSettings")()
"""The choice of labels where nothing is said, as it stands beside the method that learns from them."""


@dataclass(frozen=True)
class TypedOptions:
    """Who labels, and which labels count."""

    checkpoints: tuple[Path, ...]
    weights: tuple[float, ...] | None
    kept_share: float
    largest_threshold: float
    assignment: Literal["balanced", "likeliest"]
    flip: bool
    prototype_temperature: float
    output: Path

    def __post_init__(self) -> None:
        refuse_odd_weights(self.checkpoints, self.weights)


pseudo_label_options = gathered(
    "typed",
    TypedOptions,
    *several_checkpoints(),
    click.option("--kept-share", type=Amount(0, 1), default=USUAL.kept_share, show_default=True,
                 help="Share of each class's pixels, its surest, that become labels."),
    click.option("--largest-threshold", type=Amount(0, 1), default=USUAL.largest_threshold, show_default=True,
                 help="Pixels that are likelier than this become labels in any case."),
    click.option("--assignment", type=click.Choice(("balanced", "likeliest")), default=USUAL.assignment,
                 show_default=True,
                 help="balanced: a pixel's class is the one most above its threshold; likeliest: the likeliest."),
    click.option("--flip/--no-flip", default=USUAL.flip, show_default=True, help="Look at the mirror image, too."),
    click.option("--prototype-temperature", type=Amount(0), default=USUAL.prototype_temperature,
                 show_default=True,
                 help="Above 0: weigh by the nearness of features to the classes' means, distances over this."),
    click.option("--output", type=A_FOLDER, required=True, help="The set; the reader pseudo_labelled opens it."),
)  # fmt: skip


@click.command("pseudo-label")
@on_experiment(pseudo_label_options, training_options)
def segment_pseudo_label(request: Request, typed: TypedOptions) -> None:
    """Label the target frames by trained segmenters. Carries on after a kill.

    Writes labels, what they were chosen from (the likeliest classes and their
    confidences), a manifest and the thresholds of the classes. Another choice
    of labels asks no network again, but for prototypes.
    """
    target, session = request.workspace.target, request.session

    from pipelines.experiment.trained import load_ensemble
    from pipelines.stages.predicting.pseudo_labels import Choice, write_pseudo_labels

    trained = load_ensemble(typed.checkpoints, session.machine, typed.weights)
    choice = Choice(
        typed.kept_share, typed.largest_threshold, typed.assignment, typed.flip, typed.prototype_temperature
    )
    chosen = write_pseudo_labels(target, trained, typed.output, choice, session)
    click.echo(chosen.table())
    click.echo(f"pseudo-labels in {typed.output}")

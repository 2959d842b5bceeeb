"""`sim2real segment features`: what segmenters make of source, translated and target frames, drawn and measured."""

import os
from dataclasses import dataclass
from pathlib import Path

import click

from pipelines.commands.options import A_PATH, Amount, gathered, machine_options, seed_option
from pipelines.commands.request import Request, on_experiment
from pipelines.data.disk.files import refuse_unwritable
from pipelines.errors import UserError


@dataclass(frozen=True)
class TypedOptions:
    """What is looked at, and how closely."""

    checkpoints: tuple[str, ...]
    frames: int
    per_class: int
    points: int
    perplexity: float
    output: Path | None


feature_options = gathered(
    "typed",
    TypedOptions,
    click.option(
        "--checkpoint", "checkpoints", multiple=True, metavar="[NAME=]PATH",
        help="A segmenter: run folder or checkpoint; may be repeated.  [default: the experiment's trained arms]",
    ),
    click.option("--frames", type=click.IntRange(2), default=60, show_default=True,
                 help="Look at so many frames of each domain, evenly spread."),
    click.option("--per-class", type=click.IntRange(10), default=200, show_default=True,
                 help="Cells of each class and domain that the numbers are made from."),
    click.option("--points", type=click.IntRange(30), default=3000, show_default=True,
                 help="Points of all pictures together; time grows with the square."),
    click.option("--perplexity", type=Amount(2, 200), default=30.0, show_default=True,
                 help="Of t-SNE: about how many neighbours count."),
    click.option("--output", type=A_PATH, default=None, help="The page.  [default: features.html in the run folder]"),
)  # fmt: skip


@click.command("features")
@on_experiment(seed_option, feature_options, machine_options)
def segment_features(request: Request, typed: TypedOptions) -> None:
    """Look inside: do features of source, translated and target frames lie together?

    Writes a page with the features as points (t-SNE and principal components, colour = class, mark = domain), one panel
    a segmenter, and how far apart the domains are; and the same as JSON beside it.
    """
    named = named_checkpoints(typed.checkpoints)
    page = typed.output or request.workspace.run / "features.html"
    if page.suffix != ".html":
        raise UserError(f"--output {page}: the page is HTML and its numbers go beside it; give a name such as x.html")
    refuse_unwritable(page)

    from pipelines.report.feature_study import FeatureStudyOptions
    from pipelines.report.figures import amount, percent
    from pipelines.report.pages.features_page import headline, pair_title
    from pipelines.stages.features.feature_study import study_features

    options = FeatureStudyOptions(typed.frames, typed.per_class, typed.points, typed.perplexity)
    study = study_features(request.workspace, request.seed, named, options, request.session, page)
    if study is None:
        return
    for one in study.checkpoints:
        for pair in one.pairs:
            click.echo(
                f"{one.title:<12} {pair_title(pair):<22} class centres {amount(pair.centroid_distance, 2):>5} apart, "
                f"probe {percent(pair.probe_accuracy):>5}, MMD² {amount(pair.mmd, 3)}"
            )
    for note in study.notes:
        click.echo(note, err=True)
    click.echo(headline(study))
    click.echo(f"page: {page}")


def named_checkpoints(given: tuple[str, ...]) -> dict[str, Path]:
    """The paths by title; without one a path is called by its run folder.

    Raises:
        UserError: Two have one title.
    """
    named: dict[str, Path] = {}
    for text in given:
        title, separator, path = text.partition("=")
        if not separator:
            title, path = _run_folder(Path(text)).name, text
        if not title or not path:
            raise UserError(f"--checkpoint {text}: expected NAME=PATH or PATH")
        if title in named:
            raise UserError(f"--checkpoint: two are called {title!r}; name them: --checkpoint NAME=PATH")
        named[title] = Path(os.path.expanduser(path))
    return named


def _run_folder(path: Path) -> Path:
    resolved = path.resolve()
    return resolved.parent.parent if resolved.parent.name == "checkpoints" else resolved

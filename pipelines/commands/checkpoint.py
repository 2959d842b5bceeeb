"""`sim2real checkpoint`: other people's trained networks."""

from pathlib import Path
from typing import get_args

import click

from pipelines.commands.options import A_FOLDER, A_PATH
from pipelines.errors import UserError
from pipelines.experiment.segmenters import NetworkName


@click.group()
def checkpoint() -> None:
    """Published checkpoints of other projects."""


@checkpoint.command("import")
@click.argument("file", type=A_PATH)
@click.option(
    "--output", type=A_FOLDER, required=True, help="The run folder to write, for `translate run` or `segment`."
)
@click.option(
    "--direction",
    type=click.Choice(("source_to_target", "target_to_source")),
    default="source_to_target",
    show_default=True,
    help="What the generator translates.",
)
@click.option("--reverse", type=A_PATH, default=None, help="The generator the other way.")
@click.option(
    "--discriminator",
    "discriminators",
    type=A_PATH,
    multiple=True,
    help="Of target images, then of source images; needed only to train on.",
)
@click.option("--encoder", type=A_PATH, default=None, help="pix2pixHD's encoder of instances.")
@click.option(
    "--clusters", type=A_PATH, default=None, help="pix2pixHD's looks to choose from: features_clustered_010.npy."
)
@click.option(
    "--labels",
    type=click.IntRange(1, 255),
    default=None,
    help="Label ids that a pix2pixHD network knows.  [default: 35]",
)
@click.option(
    "--network",
    type=click.Choice(get_args(NetworkName)),
    metavar="NAME",
    default=None,
    help="What a segmenter is, as in `segmenter.network`.  [default: found out]",
)
@click.option(
    "--height",
    type=click.IntRange(1),
    default=None,
    help="To which a segmenter's frames are brought before prediction.  [default: 1024]",
)
@click.option("--restart", is_flag=True, help="Set aside (rename) another run that is in the output folder.")
def checkpoint_import(
    file: Path, output: Path, direction: str, reverse: Path | None, discriminators: tuple[Path, ...],
    encoder: Path | None, clusters: Path | None, labels: int | None, network: str | None, height: int | None,
    restart: bool,
) -> None:  # fmt: skip
    """Make a run folder of a published .pth FILE.

    Translators: CycleGAN, pix2pix, CUT, pix2pixHD, TLlib. Segmenters: DDRNet, PIDNet and whatever else
    `segmenter.network` may name, in their authors' own names.

    What the file holds is found out from the names and shapes of its tensors. It is unpickled in a process of its own,
    with limits, and never runs code. Networks with batch norm use their saved statistics, and none uses dropout.
    """
    from pipelines.pretrained.published_segmenters import find_segmenter, import_segmenter
    from pipelines.pretrained.published_translators import import_published, read_published

    networks = read_published(file)
    found = find_segmenter(networks, network)
    if found is None:
        if height is not None:
            raise UserError(f"{file} holds no segmenter that is known here; leave --height out, or name its --network")
        imported = import_published(
            file, output, direction, reverse, discriminators, encoder, labels, restart, networks, clusters
        )
    else:
        of_translators = {
            "--direction": direction != "source_to_target",
            "--reverse": reverse,
            "--discriminator": discriminators,
            "--encoder": encoder,
            "--clusters": clusters,
            "--labels": labels,
        }
        given = [name for name, value in of_translators.items() if value]
        if given:
            raise UserError(f"{file} holds a segmenter ({found[1].network}); leave {', '.join(given)} out")
        imported = import_segmenter(file, *found, output, height, restart)
    for line in imported.lines:
        click.echo(line)
    click.echo(f"{'translator' if found is None else 'segmenter'} in {imported.run}")

"""`sim2real checkpoint`: other people's trained networks."""

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from pipelines.commands.options import A_FOLDER, A_PATH, gathered
from pipelines.declared import names_in
from pipelines.errors import UserError
from pipelines.pretrained.imports import TranslatorImport

translator_options = gathered(
    "of_translator",
    TranslatorImport,
    click.option(
        "--direction",
        type=click.Choice(("source_to_target", "target_to_source")),
        default="source_to_target",
        show_default=True,
        help="What the generator translates.",
    ),
    click.option("--reverse", type=A_PATH, default=None, help="The generator the other way."),
    click.option(
        "--discriminator",
        "discriminators",
        type=A_PATH,
        multiple=True,
        help="Of target images, then of source images; needed only to train on.",
    ),
    click.option("--encoder", type=A_PATH, default=None, help="pix2pixHD's encoder of instances."),
    click.option(
        "--clusters", type=A_PATH, default=None, help="pix2pixHD's looks to choose from: features_clustered_010.npy."
    ),
    click.option(
        "--labels",
        type=click.IntRange(1, 255),
        default=None,
        help="Label ids that a pix2pixHD network knows: 35 (Cityscapes' labelIds), or 19 (train ids) and one channel "
        "for ignored pixels.  [default: 35]",
    ),
    click.option(
        "--norm-statistics",
        type=click.Choice(("frame", "saved")),
        default=None,
        help="By which statistics a generator with batch norm translates: each frame's own, as its authors' test.py, "
        "or those of training, as test.py with its option eval.  [default: frame]",
    ),
)


@dataclass(frozen=True)
class OfSegmenter:
    """What only the import of a segmenter is told; `network` may also say that the file holds one."""

    network: str | None
    height: int | None
    expected_input: str | None
    align_corners: bool | None

    def given(self) -> list[str]:
        """The options of which a translator has no use."""
        values = {
            "--height": self.height,
            "--input": self.expected_input,
            "--align-corners": self.align_corners,
        }
        return [name for name, value in values.items() if value is not None]


segmenter_options = gathered(
    "of_segmenter",
    OfSegmenter,
    click.option(
        "--network",
        type=click.Choice(names_in("segment.networks.NETWORKS")),
        metavar="NAME",
        default=None,
        help="What a segmenter is, as in `segmenter.network`.  [default: found out]",
    ),
    click.option(
        "--height",
        type=click.IntRange(1),
        default=None,
        help="To which a segmenter's frames are brought before prediction.  [default: as the network's known code]",
    ),
    click.option(
        "--input",
        "expected_input",
        metavar="INPUT",
        default=None,
        help="What a segmenter is given of an image: imagenet, cityscapes, caffe, half, efficientnet_lite, or mean and "
        'deviation of red, green and blue as six numbers; "bgr:" before it for blue, green, red.  '
        "[default: as the network's known code]",
    ),
    click.option(
        "--align-corners/--no-align-corners",
        default=None,
        help="How a segmenter's logits are resized to the image.  [default: as the network's known code]",
    ),
)


@dataclass(frozen=True)
class WithinFile:
    """Which of what the file holds is meant."""

    entry: str | None
    leave_out: tuple[str, ...]


within_options = gathered(
    "within",
    WithinFile,
    click.option("--entry", metavar="NAME", default=None, help="Which of several networks in the file."),
    click.option(
        "--leave-out",
        metavar="NAME",
        multiple=True,
        help="Beginning of the names of tensors that prediction does without, such as a projection for training.",
    ),
)


@click.group()
def checkpoint() -> None:
    """Published checkpoints of other projects."""


@checkpoint.command("import")
@click.argument("file", type=A_PATH)
@click.option(
    "--output", type=A_FOLDER, required=True, help="The run folder to write, for `translate run` or `segment`."
)
@translator_options
@segmenter_options
@within_options
@click.option("--restart", is_flag=True, help="Set aside (rename) another run that is in the output folder.")
def checkpoint_import(
    file: Path,
    output: Path,
    of_translator: TranslatorImport,
    of_segmenter: OfSegmenter,
    within: WithinFile,
    restart: bool,
) -> None:
    """Make a run folder of a published FILE: .pth, .pt, .safetensors.

    Translators: CycleGAN, pix2pix, CUT, pix2pixHD, TLlib, HyPER-GAN. Segmenters: DDRNet, PIDNet and whatever else
    `segmenter.network` may name, in their authors' own names.

    What the file holds is found out from the names and shapes of its tensors. It is unpickled in a process of its own,
    with limits, and never runs code. What does not follow from the file (input, resizing, size of frames, statistics of
    norms) is taken from the code that its network is known from, and the import says so. None uses dropout.
    """
    from pipelines.pretrained.inputs import parse_input
    from pipelines.pretrained.published_segmenters import SegmenterImport, find_segmenter, import_segmenter
    from pipelines.pretrained.published_translators import import_published
    from pipelines.pretrained.read_published import read_published
    from pipelines.pretrained.wrappers import chosen

    given_input = None if of_segmenter.expected_input is None else parse_input(of_segmenter.expected_input)
    told = SegmenterImport(of_segmenter.height, given_input, of_segmenter.align_corners)
    networks = chosen(read_published(file), within.entry, within.leave_out)
    found = find_segmenter(networks, of_segmenter.network)
    if found is None:
        if given := of_segmenter.given():
            raise UserError(
                f"{file} holds no segmenter that is known here; leave {', '.join(given)} out, or name its --network"
            )
        imported = import_published(file, output, of_translator, restart, networks)
    else:
        if given := _given(of_translator):
            raise UserError(f"{file} holds a segmenter ({found[1].network}); leave {', '.join(given)} out")
        imported = import_segmenter(file, *found, output, told, restart)
    for line in imported.lines:
        click.echo(line)
    click.echo(f"{'translator' if found is None else 'segmenter'} in {imported.run}")


def _given(of_translator: TranslatorImport) -> list[str]:
    """The options of which a segmenter has no use."""
    values = asdict(of_translator) | {"direction": of_translator.direction != "source_to_target"}
    names = {"discriminators": "--discriminator", "norm_statistics": "--norm-statistics"}
    return [names.get(name, f"--{name}") for name, value in values.items() if value]

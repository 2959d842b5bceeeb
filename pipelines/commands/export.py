"""`sim2real export`: a trained translator or segmenter for other runtimes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import A_PATH, checkpoint_option, data_option, gathered
from pipelines.commands.request import open_workspace
from pipelines.data.disk.files import refuse_unwritable
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.data.frames import FrameSet
    from pipelines.stages.export.fewer_bits import FewerBits

ONWARD = "source_to_target"


@dataclass(frozen=True)
class TypedPrecision:
    """In how many bits, and by which frames it is seen whether they are enough, as it was typed."""

    precision: Any
    frames: Path | None
    data: Path | None
    for_elsewhere: bool

    def __post_init__(self) -> None:
        if self.precision == "float32" and (self.frames is not None or self.for_elsewhere):
            raise UserError("--frames and --for-elsewhere belong to --precision half and int8")
        if self.precision != "float32" and self.frames is None:
            raise UserError(
                f"--precision {self.precision} is judged by frames; name a folder of some, or the experiment's config, "
                "with --frames"
            )
        of_config = self.frames is not None and self.frames.suffix == ".toml"
        if self.frames is not None and not of_config and not self.frames.is_dir():
            raise UserError(f"--frames {self.frames}: expected a folder of frames or an experiment's config, NAME.toml")
        if self.data is not None and not of_config:
            raise UserError(f"--data {self.data} is for the sets of a config, --frames NAME.toml; leave it out")

    def fewer_bits(self, domain: str, learnt_from: str | None = None) -> "FewerBits | None":
        """What is wanted, by frames such as the network sees; None: float32.

        Args:
            domain: "source" or "target", of the sets that it was trained with.
            learnt_from: Of a translator the way that its teacher goes. A student of the experiment's way back was
                trained with the sets the other way round.
        """
        if self.frames is None:
            return None
        from pipelines.stages.export.fewer_bits import FewerBits

        return FewerBits(self.precision, self._sets(self.frames, domain, learnt_from), not self.for_elsewhere)

    def _sets(self, frames: Path, domain: str, learnt_from: str | None) -> "list[FrameSet]":
        if frames.suffix == ".toml":
            workspace = open_workspace(frames, self.data, None, ())
            # A student's own config names its sets as the student does; it has a teacher that goes the same way.
            its_own = getattr(workspace.experiment.translator, "teacher_direction", ONWARD)
            swapped = learnt_from is not None and learnt_from != its_own
            return workspace.source if (domain == "source") != swapped else workspace.target
        from pipelines.data.frames import open_frame_set
        from pipelines.data.readers.folder import FolderSettings

        return [open_frame_set(FolderSettings(reader="folder", root="."), frames)]


@click.command("export")
@checkpoint_option
@click.option(
    "--output",
    type=A_PATH,
    required=True,
    help="NAME.onnx, or NAME.xml for OpenVINO, or NAME.pt2 for torch.export; of a translator also NAME.pth, its "
    "generator's weights as its authors publish theirs.",
)
@click.option(
    "--direction",
    type=click.Choice(("source_to_target", "target_to_source")),
    default=None,
    help="Of a translator.  [default: source_to_target]",
)
@click.option("--with-argmax", is_flag=True, help="A segmenter gives a label map (uint8 train ids) instead of logits.")
@gathered(
    "typed",
    TypedPrecision,
    click.option(
        "--precision",
        type=click.Choice(("float32", "half", "int8")),
        default="float32",
        show_default=True,
        help="half stores float16; int8 is post-training quantisation by NNCF (extra `int8`). Refused unless it is "
        "near the network and faster than float32 on this machine.",
    ),
    click.option(
        "--frames",
        type=A_PATH,
        default=None,
        help="What half and int8 are judged on, and int8 learns its ranges from: a folder of frames, or an "
        "experiment's config, for the frames that a translator starts from or, of a segmenter, target frames.",
    ),
    data_option,
    click.option("--for-elsewhere", is_flag=True, help="Write half or int8 also where it is not faster: for others."),
)
def export(checkpoint: Path, output: Path, direction: str | None, with_argmax: bool, typed: TypedPrecision) -> None:
    """Write a translator or a segmenter for other runtimes, any size of image; refused unless both sides agree."""
    from pipelines.stages.export.suffixes import PLAIN, refuse_unknown_format

    refuse_unknown_format(output, typed.precision != "float32", plain=True)
    refuse_unwritable(output)

    from pipelines.engine.checkpoint_files import read_state, resolve_checkpoint, settings_in
    from pipelines.stages.export.export_formats import refuse_missing_extras
    from pipelines.stages.export.export_plain import export_plain
    from pipelines.stages.export.export_segmenter import export_segmenter
    from pipelines.stages.export.export_translator import export_translator

    refuse_missing_extras(output, typed.precision)
    found = resolve_checkpoint(checkpoint)
    of_segmenter = read_state(found)["about"].get("stage") == "segmenter"
    if of_segmenter and direction is not None:
        raise UserError(f"--direction {direction}: {checkpoint} is a segmenter; leave it out")
    if not of_segmenter and with_argmax:
        raise UserError(f"--with-argmax: {checkpoint} is a translator; leave it out")
    direction = direction or ONWARD
    if output.suffix == PLAIN and not of_segmenter:
        click.echo(f"{output}: {export_plain(checkpoint, output, direction)} tensors")
        return
    # Said first: converters take a minute for a large network, and do not tell how far they are.
    click.echo(f"export to {output}: converted, then compared with the network", err=True)
    if of_segmenter:
        click.echo(f"{output}: {export_segmenter(checkpoint, output, with_argmax, typed.fewer_bits('target'))}")
        return
    learnt_from = settings_in(found, "translator").get("teacher_direction", ONWARD)
    fewer = typed.fewer_bits(direction.partition("_")[0], learnt_from)
    click.echo(f"{output}: {export_translator(checkpoint, output, direction, fewer)}")

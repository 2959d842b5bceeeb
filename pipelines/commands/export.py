"""`sim2real export`: a trained translator or segmenter for other runtimes."""

from pathlib import Path

import click

from pipelines.commands.options import A_PATH, checkpoint_option
from pipelines.errors import UserError


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
def export(checkpoint: Path, output: Path, direction: str | None, with_argmax: bool) -> None:
    """Write a translator or a segmenter for other runtimes, any size of image; refused unless both sides agree."""
    from pipelines.engine.checkpoint_files import read_state, resolve_checkpoint
    from pipelines.stages.export.export_plain import SUFFIX, export_plain
    from pipelines.stages.export.export_segmenter import export_segmenter
    from pipelines.stages.export.export_translator import export_translator

    if read_state(resolve_checkpoint(checkpoint))["about"].get("stage") == "segmenter":
        if direction is not None:
            raise UserError(f"--direction {direction}: {checkpoint} is a segmenter; leave it out")
        click.echo(f"{output}: {export_segmenter(checkpoint, output, with_argmax)}")
        return
    if with_argmax:
        raise UserError(f"--with-argmax: {checkpoint} is a translator; leave it out")
    if output.suffix == SUFFIX:
        click.echo(f"{output}: {export_plain(checkpoint, output, direction or 'source_to_target')} tensors")
        return
    click.echo(f"{output}: {export_translator(checkpoint, output, direction or 'source_to_target')}")

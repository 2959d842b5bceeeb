"""`sim2real export`: a trained translator for other runtimes."""

from pathlib import Path

import click

from pipelines.commands.options import A_PATH, checkpoint_option


@click.command("export")
@checkpoint_option
@click.option("--output", type=A_PATH, required=True, help="NAME.onnx, or NAME.xml for OpenVINO.")
@click.option(
    "--direction",
    type=click.Choice(("source_to_target", "target_to_source")),
    default="source_to_target",
    show_default=True,
)
def export(checkpoint: Path, output: Path, direction: str) -> None:
    """Write a translator as ONNX or OpenVINO, any size of image; refused unless both sides agree."""
    from pipelines.stages.export import export_translator

    parity = export_translator(checkpoint, output, direction)
    click.echo(f"{output}: {parity}")

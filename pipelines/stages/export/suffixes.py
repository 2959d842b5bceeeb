"""What an export may be called; asked before torch is loaded and anything is converted."""

from pathlib import Path

from pipelines.errors import UserError

CONVERTED = (".onnx", ".xml", ".pt2")
"""Of networks that compute in another runtime."""
OF_FEWER_BITS = (".onnx", ".xml")
"""Of those that may be written in half precision or int8."""
PLAIN = ".pth"
"""Of a translator's weights alone."""


def refuse_unknown_format(output: Path, fewer_bits: bool = False, plain: bool = False) -> None:
    """Refuse a name that no export can have.

    Args:
        output: The name.
        fewer_bits: Whether it is to be written in such.
        plain: Whether NAME.pth is known here.

    Raises:
        UserError: The suffix names no format, or none that is written so; or a folder is called like that.
    """
    if output.suffix not in (*CONVERTED, *([PLAIN] if plain else [])):
        raise UserError(
            f"--output {output}: expected NAME.onnx, NAME.xml for OpenVINO, NAME.pt2 for torch.export, or of a "
            f"translator NAME{PLAIN} for its weights alone"
        )
    if fewer_bits and output.suffix not in OF_FEWER_BITS:
        raise UserError(f"--output {output}: half and int8 are for NAME.onnx and NAME.xml; choose one of them")
    if output.is_dir():
        raise UserError(f"--output {output} is a folder; give the export a name of its own")

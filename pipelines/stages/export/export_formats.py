"""Writing a network for other runtimes: ONNX, OpenVINO, or PyTorch's own exported program; any batch, height and width.

An export that computes something else is worse than none, so both sides run before the file gets its name, and it gets
it only if they agree.
"""

import io
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.data.files import storage_errors, write_atomically
from pipelines.errors import UserError
from pipelines.runtimes.conversion import (
    compiled_for_openvino,
    converted_to_openvino,
    converting,
    free_sides,
    load_openvino,
    maps_of_one_pixel,
    onnx_bytes,
    onnx_session,
    openvino_core,
    require,
)

Compute = Callable[[np.ndarray], Any]
"""An exported network as its runtime runs it: images (B, 3, H, W) float32 to an array."""


class Agreement(Protocol):
    """How near an export is to the network it was made of; said to people as a string."""

    def check(self, output: Path) -> None:
        """Raise UserError, naming `output`, where it is too far off."""
        ...


@dataclass(frozen=True)
class Exportable:
    """A network and what is needed to write and to judge it.

    Attributes:
        network: Images (B, 3, H, W) in [0, 1] to one tensor; on the CPU, in evaluation mode.
        result: Name of that tensor; the input is "image".
        example: What converters watch it on; a batch of two or more.
        multiple: Of which both sides of an image are.
        smallest: What they are at least.
        about: Metadata that the file carries.
        compare: Runs both on other images than the example, of several shapes.
    """

    network: nn.Module
    result: str
    example: Tensor
    multiple: int
    smallest: int
    about: Mapping[str, str]
    compare: Callable[[Compute], Agreement]


def write_export(exportable: Exportable, output: Path) -> Agreement:
    """Write in the format of the suffix.

    Args:
        exportable: The network.
        output: NAME.onnx; NAME.xml for OpenVINO, with its weights in NAME.bin; or NAME.pt2 for torch.export.

    Returns:
        How near both sides are, within the bounds.

    Raises:
        UserError: An extra is missing, the suffix is unknown, the converter fails, or both sides disagree.
    """
    refuse_unknown_format(output)
    with torch.no_grad():
        return FORMATS[output.suffix](exportable, output)


def refuse_unknown_format(output: Path) -> None:
    """UserError unless the suffix names a format."""
    if output.suffix not in FORMATS:
        raise UserError(f"--output {output}: expected NAME.onnx, NAME.xml for OpenVINO, or NAME.pt2 for torch.export")


def write_onnx(exportable: Exportable, output: Path) -> Agreement:
    """Write NAME.onnx once onnxruntime agrees with torch."""
    data = onnx_bytes(
        exportable.network,
        exportable.result,
        dict(exportable.about),
        exportable.example,
        exportable.multiple,
        exportable.smallest,
    )
    session = onnx_session(data)
    agreement = exportable.compare(lambda image: session.run(None, {"image": image})[0])
    agreement.check(output)
    write_atomically(output, data)
    return agreement


def write_openvino(exportable: Exportable, output: Path) -> Agreement:
    """Write NAME.bin, then NAME.xml, once OpenVINO, reading what will be written, agrees with torch."""
    require("openvino", "openvino")
    openvino = load_openvino()
    model = converted_to_openvino(exportable.network, exportable.result)
    for key, value in exportable.about.items():
        model.set_rt_info(value, ["sim2real", key])
    part = output.with_name(f".{output.stem}.{os.getpid()}.part")
    try:
        with storage_errors(output):
            part.mkdir(parents=True)
            openvino.save_model(model, part / output.name, compress_to_fp16=False)
        saved = compiled_for_openvino(openvino_core().read_model(part / output.name), "exact")
        agreement = exportable.compare(lambda image: saved([image])[0])
        agreement.check(output)
        for name in (output.with_suffix(".bin").name, output.name):  # whoever finds the .xml finds its weights
            write_atomically(output.with_name(name), (part / name).read_bytes())
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return agreement


def write_program(exportable: Exportable, output: Path) -> Agreement:
    """Write NAME.pt2 once what will be written, read again, agrees with the network; `about` lies in `about.KEY`."""
    stream = io.BytesIO()
    sides = free_sides(exportable.multiple, exportable.smallest)
    with converting("a torch.export program"), maps_of_one_pixel(exportable.smallest <= exportable.multiple):
        program = torch.export.export(exportable.network, (exportable.example,), dynamic_shapes=sides)
        torch.export.save(program, stream, extra_files={f"about.{key}": v for key, v in exportable.about.items()})
    data = stream.getvalue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = torch.export.load(io.BytesIO(data)).module()
    agreement = exportable.compare(lambda image: saved(torch.from_numpy(image)).numpy())
    agreement.check(output)
    write_atomically(output, data)
    return agreement


FORMATS: dict[str, Callable[[Exportable, Path], Agreement]] = {
    ".onnx": write_onnx,
    ".xml": write_openvino,
    ".pt2": write_program,
}
"""Suffix -> what writes it."""

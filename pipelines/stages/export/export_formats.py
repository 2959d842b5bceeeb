"""Writing a network for other runtimes: ONNX, OpenVINO, or PyTorch's own exported program; any batch, height and width.

An export that computes something else is worse than none, so both sides run before the file gets its name, and it gets
it only if they agree. In fewer bits (`fewer_bits.py`) it must also be faster than in float32.
"""

import io
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipelines.data.disk.files import storage_errors, write_atomically
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
    require_for,
)
from pipelines.runtimes.quantisation import quantised
from pipelines.stages.export.fewer_bits import Agreement, Compute, InHalf, Reduction, compared
from pipelines.stages.export.suffixes import OF_FEWER_BITS, refuse_unknown_format

RUN_BY = {".onnx": "onnxruntime", ".xml": "openvino"}
"""Suffix -> the runtime that judges what is written."""


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
        compare: Runs both on other images than the example, of several shapes; of a reduction, on its own.
        reduction: To fewer bits, or None.
    """

    network: nn.Module
    result: str
    example: Tensor
    multiple: int
    smallest: int
    about: Mapping[str, str]
    compare: Callable[[Compute], Agreement]
    reduction: Reduction | None = None


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


def refuse_missing_extras(output: Path, precision: str = "float32") -> None:
    """For before a checkpoint or a frame is read: UserError names the extra that a format or int8 takes, if not here.

    Args:
        output: Of an unknown suffix nothing is asked; `refuse_unknown_format` speaks of it.
        precision: "float32", "half" or "int8".
    """
    if precision == "int8" and output.suffix in OF_FEWER_BITS:
        require("nncf", "int8")
    require_for(RUN_BY.get(output.suffix, "torch"))


def write_onnx(exportable: Exportable, output: Path) -> Agreement:
    """Write NAME.onnx once onnxruntime agrees with torch."""
    exact = _as_onnx(exportable, exportable.network)
    data = _onnx_of_fewer_bits(exportable, exact)
    agreement = _accepted(exportable, output, _in_onnxruntime(data), lambda: _in_onnxruntime(exact))
    write_atomically(output, data)
    return agreement


def _as_onnx(exportable: Exportable, network: nn.Module) -> bytes:
    return onnx_bytes(
        network,
        exportable.result,
        dict(exportable.about),
        exportable.example,
        exportable.multiple,
        exportable.smallest,
    )


def _onnx_of_fewer_bits(exportable: Exportable, exact: bytes) -> bytes:
    """The reduction of a float32 model; itself where there is none."""
    reduction = exportable.reduction
    if reduction is None:
        return exact
    if reduction.precision == "half":
        return _as_onnx(exportable, InHalf(exportable.network))
    import onnx

    return quantised(onnx.load_from_string(exact), reduction.learnt_from).SerializeToString()


def _in_onnxruntime(model: bytes) -> Compute:
    session = onnx_session(model)
    return lambda image: session.run(None, {"image": image})[0]


def write_openvino(exportable: Exportable, output: Path) -> Agreement:
    """Write NAME.bin, then NAME.xml, once OpenVINO, reading what will be written, agrees with torch.

    A former NAME.xml goes first: whoever finds one finds its own weights, also after a kill in between.
    """
    openvino = load_openvino()
    exact = converted_to_openvino(exportable.network, exportable.result)
    reduction = exportable.reduction
    half = reduction is not None and reduction.precision == "half"
    model = exact if reduction is None or half else quantised(exact, reduction.learnt_from)
    for key, value in exportable.about.items():
        model.set_rt_info(value, ["sim2real", key])
    part = output.with_name(f".{output.stem}.{os.getpid()}.part")
    try:
        with storage_errors(output):
            part.mkdir(parents=True)
            openvino.save_model(model, part / output.name, compress_to_fp16=half)
        saved = openvino_core().read_model(part / output.name)
        computed = _in_openvino(saved, "fast" if half else "exact")
        agreement = _accepted(exportable, output, computed, lambda: _in_openvino(exact, "exact"))
        with storage_errors(output):
            output.unlink(missing_ok=True)
        for name in (output.with_suffix(".bin").name, output.name):
            write_atomically(output.with_name(name), (part / name).read_bytes())
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return agreement


def _in_openvino(model: Any, mode: Literal["exact", "fast"]) -> Compute:
    plan = compiled_for_openvino(model, mode)
    return lambda image: plan([image])[0]


def _accepted(exportable: Exportable, output: Path, compute: Compute, exact: Callable[[], Compute]) -> Agreement:
    """How near the export is, once that is near enough; of fewer bits, and once they are faster than `exact`."""
    agreement = exportable.compare(compute)
    if exportable.reduction is not None:
        agreement.check(output)
        agreement = compared(exportable.reduction, agreement, compute, exact())
    agreement.check(output)
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

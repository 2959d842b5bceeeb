"""A trained translator as one file that other runtimes read: ONNX or OpenVINO, any batch, height and width.

An export that computes something else is worse than none, so both sides run before the file gets its name, and it gets
it only if they agree.
"""

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.data.files import storage_errors, write_atomically
from pipelines.engine.acceleration import compiled_for_openvino, converted_to_openvino, require
from pipelines.engine.checkpoints import checkpoint_hash
from pipelines.engine.launch import choose_machine
from pipelines.errors import UserError
from pipelines.stages.trained_translator import load_translator
from translate.tiling import chain
from translate.value_range import to_signed

MAXIMUM_LEVELS = 0.5
"""Largest difference, in levels of 255, that an export may show anywhere: no pixel moves by a level but by rounding."""
MEAN_LEVELS = 0.05
OPSET = 18


@dataclass(frozen=True)
class Parity:
    """How far an export is from the network it was made of, in levels of 255."""

    maximum: float
    mean: float

    def check(self, output: Path) -> None:
        """Refuse what is further off than rounding explains."""
        if not (self.maximum <= MAXIMUM_LEVELS and self.mean <= MEAN_LEVELS):  # not (...): numbers that are none, too
            raise UserError(
                f"{output} is not written: the export differs from the network by {self.maximum:.3f} levels of 255 at "
                f"most and {self.mean:.4f} in the mean; allowed are {MAXIMUM_LEVELS} and {MEAN_LEVELS}. Export to the "
                "other format, or update the runtime"
            )

    def __str__(self) -> str:
        return f"largest difference {self.maximum:.4f} levels of 255, mean {self.mean:.6f}"


class UnitGenerator(nn.Module):
    """A generator with the range of image files: (B, 3, H, W) in [0, 1] on both sides."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.side_multiple = getattr(generator, "side_multiple", 1)
        self.smallest_side = getattr(generator, "smallest_side", 1)
        modules = chain(generator)  # without the forward's questions about sizes, which a graph cannot ask
        self.body = nn.Sequential(*modules)

    def forward(self, image: Tensor) -> Tensor:
        return ((self.body(to_signed(image)) + 1) / 2).clamp(0, 1)


def export_translator(checkpoint: Path, output: Path, direction: str = "source_to_target") -> Parity:
    """Export the generator of one direction.

    Args:
        checkpoint: Of a translator; a run folder or one of its checkpoints.
        output: NAME.onnx; or NAME.xml for OpenVINO, with its weights in NAME.bin. Input "image" and output
            "translation" are float32 (B, 3, H, W) RGB in [0, 1]; sides divide by the generator's multiple.
        direction: "source_to_target" or "target_to_source".

    Returns:
        The difference between both sides, within the bounds.

    Raises:
        UserError: An extra is missing, the suffix is unknown, the direction is not learnt, or both sides disagree.
        CheckpointError: The checkpoint is damaged or of something else.
    """
    formats: dict[str, Callable[[UnitGenerator, Path, dict[str, str]], Parity]] = {
        ".onnx": write_onnx,
        ".xml": write_openvino,
    }
    if output.suffix not in formats:
        raise UserError(f"--output {output}: expected NAME.onnx, or NAME.xml for OpenVINO")
    method, found = load_translator(checkpoint, choose_machine("cpu"))
    try:
        generator = method.generator(direction)
    except ValueError as error:
        raise UserError(f"--direction {direction}: {error}") from error
    network = UnitGenerator(generator).float().eval().requires_grad_(False)
    about = {
        "checkpoint_sha256": checkpoint_hash(found),
        "direction": direction,
        "range": "0..1",
        "side_multiple": str(network.side_multiple),
        "smallest_side": str(network.smallest_side),
    }
    with torch.no_grad():
        return formats[output.suffix](network, output, about)


def write_onnx(network: UnitGenerator, output: Path, about: dict[str, str]) -> Parity:
    """Write NAME.onnx once onnxruntime agrees with torch; `about` becomes the model's metadata."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "export")
    import onnxruntime

    sides = torch.export.Dim("rows", min=2), torch.export.Dim("columns", min=2)
    multiple = network.side_multiple
    height, width = (multiple * side for side in sides) if multiple > 1 else sides
    shapes = {"image": {0: torch.export.Dim("batch"), 2: height, 3: width}}
    with _quietly():
        program = torch.onnx.export(
            network, (_example(network, 2, 16, 24),), dynamo=True, dynamic_shapes=shapes, opset_version=OPSET,
            input_names=["image"], output_names=["translation"], verbose=False,
        )  # fmt: skip
    model = program.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    parity = measured_parity(network, lambda image: session.run(None, {"image": image})[0])
    parity.check(output)
    write_atomically(output, data)
    return parity


def write_openvino(network: UnitGenerator, output: Path, about: dict[str, str]) -> Parity:
    """Write NAME.bin, then NAME.xml, once OpenVINO, reading what will be written, agrees with torch."""
    require("openvino", "openvino")
    import openvino

    with _quietly():
        model = converted_to_openvino(network)
    for key, value in about.items():
        model.set_rt_info(value, ["sim2real", key])
    part = output.with_name(f".{output.stem}.{os.getpid()}.part")
    try:
        with storage_errors(output):
            part.mkdir(parents=True)
            openvino.save_model(model, part / output.name, compress_to_fp16=False)
        saved = compiled_for_openvino(openvino.Core().read_model(part / output.name), "exact")
        parity = measured_parity(network, lambda image: saved([image])[0])
        parity.check(output)
        for name in (output.with_suffix(".bin").name, output.name):  # whoever finds the .xml finds its weights
            write_atomically(output.with_name(name), (part / name).read_bytes())
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return parity


def measured_parity(network: UnitGenerator, other: Callable[[np.ndarray], Any]) -> Parity:
    """Run both on smooth images of two sizes and batches, none of them the one that the export has seen."""
    differences = []
    for batch, rows, columns in ((1, 32, 20), (3, 18, 26)):
        image = _example(network, batch, rows, columns)
        differences.append((torch.from_numpy(other(image.numpy())) - network(image)).abs().flatten() * 255)
    difference = torch.cat(differences)
    return Parity(difference.max().item(), difference.mean().item())


def _example(network: UnitGenerator, batch: int, rows: int, columns: int) -> Tensor:
    """Images in [0, 1] with `rows` and `columns` times the network's multiple pixels, drawn the same every time."""
    drawn = torch.rand(batch, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    sides = [max(network.smallest_side, network.side_multiple * count) for count in (rows, columns)]
    sides = [-(-side // network.side_multiple) * network.side_multiple for side in sides]
    return nn.functional.interpolate(drawn, sides, mode="bilinear")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Converters warn about their own insides; what matters is measured afterwards."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)

"""A trained translator as one file that other runtimes read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.engine.checkpoint_files import checkpoint_hash, settings_in
from pipelines.engine.launch import choose_machine
from pipelines.errors import UserError
from pipelines.experiment.trained import load_translator
from pipelines.stages.export.export_formats import Exportable, write_export
from pipelines.stages.export.fewer_bits import Agreement, Compute, FewerBits, Reduction
from pipelines.stages.export.suffixes import refuse_unknown_format
from translate.tiling import chain
from translate.value_range import to_signed

MAXIMUM_LEVELS, MAXIMUM_OF_FEWER_BITS = 0.5, 255.0
"""Largest difference, in levels of 255, that an export may show anywhere: no pixel moves by a level but by rounding. In
fewer bits single pixels may be far off, and the mean counts."""
MEAN_LEVELS, MEAN_OF_FEWER_BITS = 0.05, 1.5
"""Of fewer bits: somewhat more than `translate run --fast`, bf16, is off (1.1)."""
WATCHED = (2, 64, 96)
"""Batch, height and width, at least, of the images that converters watch a generator on."""
COMPARED = (1, 128, 80), (3, 72, 104)
"""Batch, height and width, at least, of the images that both sides are compared on, none like `WATCHED`. A U-Net of 8
halvings works at multiples of 256 pixels, so its images are larger; sizes counted in its multiples, as they once were,
came to 8192x5120."""


@dataclass(frozen=True)
class Parity:
    """How far an export is from the network it was made of, in levels of 255, and how far it may be."""

    maximum: float
    mean: float
    allowed_maximum: float = MAXIMUM_LEVELS
    allowed_mean: float = MEAN_LEVELS

    def check(self, output: Path) -> None:
        """Refuse what is further off than rounding explains, or fewer bits may cost."""
        # not (...): numbers that are none, too
        if not (self.maximum <= self.allowed_maximum and self.mean <= self.allowed_mean):
            raise UserError(
                f"{output} is not written: the export differs from the network by {self.maximum:.3f} levels of 255 at "
                f"most and {self.mean:.4f} in the mean; allowed are {self.allowed_maximum:g} and "
                f"{self.allowed_mean:g}. Export to the other format, in float32, or update the runtime"
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


def export_translator(
    checkpoint: Path, output: Path, direction: str = "source_to_target", fewer: FewerBits | None = None
) -> Agreement:
    """Export the generator of one direction.

    Args:
        checkpoint: Of a translator; a run folder or one of its checkpoints.
        output: As in `write_export`. Input "image" and output "translation" are float32 (B, 3, H, W) RGB in [0, 1];
            sides divide by the generator's multiple.
        direction: "source_to_target" or "target_to_source".
        fewer: Bits than it was trained in; None: float32.

    Returns:
        The difference between both sides, within the bounds.

    Raises:
        UserError: It translates label maps; or an extra is missing, the suffix is unknown, the direction is not learnt,
            or both sides disagree; or fewer bits are not faster.
        CheckpointError: The checkpoint is damaged or of something else.
    """
    refuse_unknown_format(output, fewer is not None)
    method, found = load_translator(checkpoint, choose_machine("cpu"))
    if method.takes == "label_map":
        raise UserError(
            f"{found} translates label maps, whose encoding an export would lack; export a student of it, which takes "
            "images (docs/students.md)"
        )
    try:
        generator = method.generator(direction)
    except ValueError as error:
        raise UserError(f"--direction {direction}: {error}") from error
    network = UnitGenerator(generator).float().eval().requires_grad_(False)
    about = {"checkpoint_sha256": checkpoint_hash(found), "direction": direction}
    reduction = None
    if fewer is not None:
        height = settings_in(found, "translator").get("height")  # none of a published generator
        reduction = fewer.reduction(height, network.side_multiple, network.smallest_side)
    return write_export(exportable(network, about, reduction), output)


def exportable(network: UnitGenerator, about: dict[str, str], reduction: Reduction | None = None) -> Exportable:
    """A generator with all that its export needs; `about` and what a caller of it must know become metadata."""
    images, allowed = drawn_images(network), (MAXIMUM_LEVELS, MEAN_LEVELS)
    if reduction is not None:
        images = [torch.from_numpy(image) for image in reduction.judged_on]
        allowed = (MAXIMUM_OF_FEWER_BITS, MEAN_OF_FEWER_BITS)
    return Exportable(
        network,
        "translation",
        _example(network, *WATCHED),
        network.side_multiple,
        network.smallest_side,
        about
        | {"range": "0..1", "side_multiple": str(network.side_multiple), "smallest_side": str(network.smallest_side)},
        lambda other: measured_parity(network, other, images, *allowed),
        reduction,
    )


def drawn_images(network: UnitGenerator) -> list[Tensor]:
    """Smooth images of two sizes and batches, none the one that the export has seen, and one of the smallest size."""
    smallest = -(-network.smallest_side // network.side_multiple) * network.side_multiple
    return [_example(network, *shape) for shape in COMPARED] + [_smooth(1, smallest, smallest)]


def measured_parity(
    network: UnitGenerator,
    other: Compute,
    images: Sequence[Tensor],
    allowed_maximum: float = MAXIMUM_LEVELS,
    allowed_mean: float = MEAN_LEVELS,
) -> Parity:
    """Run both on images; see `Parity` for what is allowed."""
    differences = []
    for image in images:
        differences.append((torch.from_numpy(other(image.numpy())) - network(image)).abs().flatten() * 255)
    difference = torch.cat(differences)
    return Parity(difference.max().item(), difference.mean().item(), allowed_maximum, allowed_mean)


def _example(network: UnitGenerator, batch: int, height: int, width: int) -> Tensor:
    """Images in [0, 1], smooth and drawn the same every time, of about a size that the network takes.

    The shorter side has two of the network's multiples at least and the longer one three, because maps of one pixel
    make converters take what holds for one as true for all sizes.
    """
    multiple = network.side_multiple
    counts = (3, 2) if height > width else (2, 3)
    sides = [
        -(-max(side, network.smallest_side, count * multiple) // multiple) * multiple
        for side, count in zip((height, width), counts, strict=True)
    ]
    return _smooth(batch, *sides)


def _smooth(batch: int, height: int, width: int) -> Tensor:
    drawn = torch.rand(batch, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(drawn, (height, width), mode="bilinear")

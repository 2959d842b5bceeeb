"""A trained segmenter as one file that other runtimes read: normalisation, network and upsampling in one graph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.launch import choose_machine
from pipelines.errors import UserError
from pipelines.experiment.trained import load_segmenter
from pipelines.runtimes.divergence import refuse_diverged
from pipelines.runtimes.segmenter_runtime import CoarseSegmenter
from pipelines.stages.export.export_formats import Exportable, write_export
from pipelines.stages.export.fewer_bits import Agreement, Compute, FewerBits, Reduction
from pipelines.stages.export.suffixes import refuse_unknown_format
from segment.classes import CLASS_NAMES
from segment.networks.segmenter import Segmenter

LEAST_AGREEMENT, LEAST_OF_FEWER_BITS = 0.999, 0.98
"""Share of pixels that must get the same class, in float32 and in fewer bits."""
LARGEST_ERROR = 1e-3
"""Of a logit, over the largest logit, in float32: runtimes that sum in another order differ by 1e-6 to 1e-5. In fewer
bits the classes count alone."""
WATCHED = (576, 640)
"""Height and width, at least, of the image that converters watch a network on. On a smaller one, maps of one pixel
appear (DDRNet pools 1/64 of the image by 8), and converters take what holds for one as true for all sizes."""


@dataclass(frozen=True)
class SegmenterParity:
    """How near an export is to the network it was made of."""

    agreement: float
    """Share of pixels with the same class."""
    error: float | None
    """Largest difference of logits over the largest logit; None where the export has no logits."""
    least: float = LEAST_AGREEMENT
    allowed_error: float = LARGEST_ERROR
    one_class: bool = False
    """Whether the network gives all pixels the same class, so that label maps of many a wrong export would agree."""

    def check(self, output: Path) -> None:
        """Refuse what is further off than near-ties and rounding explain, or fewer bits may cost."""
        remedy = "Export to another format, in float32, or update the runtime"
        if not self.agreement >= self.least:
            raise UserError(
                f"{output} is not written: the export gives the network's class to {self.agreement:.3%} of pixels; "
                f"{self.least:.1%} are expected. {remedy}"
            )
        if self.error is not None and not self.error <= self.allowed_error:
            raise UserError(
                f"{output} is not written: a logit of the export differs from the network's by {self.error:.1e} of the "
                f"largest logit; {self.allowed_error:.0e} is allowed. {remedy}"
            )

    def __str__(self) -> str:
        error = "" if self.error is None else f", largest error of a logit {self.error:.1e} of the largest logit"
        if self.error is None and self.one_class:
            error = ", but all are of one class: compare on frames of your own, or export logits, which say more"
        return f"same class at {self.agreement:.3%} of pixels{error}"


class GraphSegmenter(nn.Module):
    """A segmenter without questions about sizes, which a graph cannot ask: sides must divide by the stride."""

    def __init__(self, network: Segmenter, with_argmax: bool) -> None:
        super().__init__()
        self.coarse = CoarseSegmenter(network)
        self.align_corners = network.align_corners
        self.with_argmax = with_argmax

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits (B, K, H, W), or to a uint8 label map (B, H, W)."""
        logits = self.coarse(image)
        logits = functional.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return logits.argmax(dim=1).to(torch.uint8) if self.with_argmax else logits


def export_segmenter(
    checkpoint: Path, output: Path, with_argmax: bool = False, fewer: FewerBits | None = None
) -> Agreement:
    """Export a segmenter.

    Args:
        checkpoint: Of a segmenter; a run folder or one of its checkpoints.
        output: As in `write_export`. The input "image" is float32 (B, 3, H, W) RGB in [0, 1], sides divide by the
            network's stride; the output is "logits", float32 (B, K, H, W), or "label_map", uint8 (B, H, W) train ids.
            A .pt2 refuses images on which a pooled map shrinks to one pixel (sides up to 512 for DDRNet), unless it is
            opened by `module(check_guards=False)`, which computes them as well.
        with_argmax: Whether it ends in a label map. Some accelerators lack the operator.
        fewer: Bits than it was trained in; None: float32.

    Returns:
        How near both sides are, within the bounds.

    Raises:
        UserError: An extra is missing, the suffix is unknown, or both sides disagree; or fewer bits are not faster.
        NumericalError: The network has diverged.
        CheckpointError: The checkpoint is damaged or of something else.
    """
    refuse_unknown_format(output, fewer is not None)
    network, settings, found = load_segmenter(checkpoint, choose_machine("cpu"))
    about = {"checkpoint_sha256": checkpoint_hash(found), "network": settings.network, "height": str(settings.height)}
    reduction = None if fewer is None else fewer.reduction(settings.height, network.stride, 2 * network.stride)
    return write_export(exportable(network, with_argmax, about, reduction), output)


def exportable(
    network: Segmenter, with_argmax: bool, about: dict[str, str], reduction: Reduction | None = None
) -> Exportable:
    """A network in evaluation mode with all that its export needs; what its caller must know becomes metadata."""
    graph = GraphSegmenter(network, with_argmax).float().eval().requires_grad_(False)
    smallest = 2 * network.stride
    about = about | {"range": "0..1", "side_multiple": str(network.stride), "smallest_side": str(smallest)}
    about["classes"] = ",".join(CLASS_NAMES)
    name, example = "label_map" if with_argmax else "logits", street_like(2, network.stride, *WATCHED)
    images, allowed = drawn_images(network), (LEAST_AGREEMENT, LARGEST_ERROR)
    if reduction is not None:
        images, allowed = [torch.from_numpy(image) for image in reduction.judged_on], (LEAST_OF_FEWER_BITS, math.inf)
    return Exportable(
        graph,
        name,
        example,
        network.stride,
        smallest,
        about,
        lambda other: measured_parity(network, other, with_argmax, images, *allowed),
        reduction,
    )


def drawn_images(network: Segmenter) -> list[Tensor]:
    """Images of two sizes and batches, none of them the one that the export has seen."""
    return [street_like(batch, network.stride, *size) for batch, size in ((1, (640, 576)), (3, (576, 704)))]


@torch.no_grad()
def measured_parity(
    network: Segmenter,
    other: Compute,
    with_argmax: bool,
    images: Sequence[Tensor],
    least: float = LEAST_AGREEMENT,
    allowed_error: float = LARGEST_ERROR,
) -> SegmenterParity:
    """Run both on images; see `SegmenterParity` for what is allowed.

    Raises:
        NumericalError: The network gives no numbers, of which both sides would find the same class.
    """
    agreeing, pixels, errors, classes = 0, 0, [], set()
    for image in images:
        expected, found = network(image), torch.from_numpy(other(image.numpy()))
        refuse_diverged(expected, "logits")
        labels = found
        if not with_argmax:
            errors.append(((found - expected).abs().max() / expected.abs().max()).item())
            labels = found.max(dim=1).indices
        wanted = expected.max(dim=1).indices
        agreeing += int((labels == wanted).sum())
        pixels += labels.numel()
        classes.update(wanted.unique().tolist())
    error = torch.tensor(errors).max().item() if errors else None  # keeps what is no number
    return SegmenterParity(agreeing / pixels, error, least, allowed_error, len(classes) == 1)


def street_like(batch: int, stride: int, height: int, width: int) -> Tensor:
    """Images in [0, 1] with flat surfaces, edges, shading and a sensor's noise, drawn the same every time.

    Args:
        batch: How many.
        stride: Sides are made a multiple of it.
        height: At least.
        width: At least.
    """
    random = torch.Generator().manual_seed(batch)
    size = [-(-side // stride) * stride for side in (height, width)]
    surfaces = functional.interpolate(torch.rand(batch, 3, 7, 9, generator=random), size, mode="nearest")
    shading = functional.interpolate(torch.rand(batch, 1, 3, 3, generator=random), size, mode="bilinear")
    noise = 0.01 * torch.randn(batch, 3, *size, generator=random)
    return (surfaces * (0.4 + 0.6 * shading) + noise).clamp(0, 1)

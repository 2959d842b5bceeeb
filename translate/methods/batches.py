"""What the methods of stage one are given at each step.

Images are float (B, 3, H, W) in [0, 1]; label maps int64 (B, H, W) of train ids, 255 = ignore.
"""

from dataclasses import dataclass

from torch import Tensor

from segment.batches import Batch


@dataclass(frozen=True)
class UnpairedBatch(Batch):
    """Images of both domains, of one shape, that have nothing to do with each other.

    Guidance adds labels: those of `source`, which come free (255 throughout where a frame has none), and a few labelled
    target images beside the unlabelled ones.
    """

    source: Tensor
    target: Tensor
    source_label_map: Tensor | None = None
    labelled_target: Tensor | None = None
    target_label_map: Tensor | None = None

    def __post_init__(self) -> None:
        if self.source.shape != self.target.shape:
            raise ValueError(
                f"Source images have shape {tuple(self.source.shape)}, target images {tuple(self.target.shape)}. "
                "Crop both domains to one size."
            )
        _check_labels("source", self.source, self.source_label_map)
        _check_labels("target", self.labelled_target, self.target_label_map)


@dataclass(frozen=True)
class PairedBatch(Batch):
    """Images with their label maps and, if there are any, instance maps: int64 (B, H, W), one id per thing."""

    image: Tensor
    label_map: Tensor
    instance_map: Tensor | None = None

    def __post_init__(self) -> None:
        _check_labels("paired", self.image, self.label_map)
        if self.instance_map is not None and self.instance_map.shape != self.label_map.shape:
            raise ValueError(
                f"Instance maps have shape {tuple(self.instance_map.shape)}, label maps {tuple(self.label_map.shape)}."
            )


@dataclass(frozen=True)
class TranslatedBatch(Batch):
    """Source images with their translations by a teacher, pixel by pixel, and the labels that guidance may want."""

    source: Tensor
    translated: Tensor
    source_label_map: Tensor | None = None

    def __post_init__(self) -> None:
        if self.source.shape != self.translated.shape:
            raise ValueError(
                f"Source images have shape {tuple(self.source.shape)}, their translations "
                f"{tuple(self.translated.shape)}. Crop both at one place."
            )
        _check_labels("source", self.source, self.source_label_map)


def _check_labels(domain: str, image: Tensor | None, label_map: Tensor | None) -> None:
    if label_map is None:
        return
    if image is None or label_map.shape != (image.shape[0], *image.shape[-2:]):
        shape = None if image is None else tuple(image.shape)
        raise ValueError(f"The {domain} label maps have shape {tuple(label_map.shape)}, their images {shape}.")

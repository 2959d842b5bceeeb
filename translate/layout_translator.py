"""A translator of layouts: label maps in, photos out, in looks that are chosen by a seed where it has learnt any.

Wang et al., CVPR 2018 (arXiv:1711.11585). What a layout is for the networks (classes, ignored pixels, edges, styles) is
the same in training and in use.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from translate.choices import Direction
from translate.layouts import borders, class_indices, one_hot, painted, regions
from translate.padding import pad_to_multiple
from translate.styles import StyleMemory, style_keys
from translate.translator import Translator, evaluating
from translate.value_range import to_unit


class LayoutTranslator(Translator):
    """One generator, and the looks that it can be asked for.

    Args:
        generator: Layout (with styles, if there are any) to signed image.
        labels: Classes; ids go from 0 to labels - 1.
        ignore_channel: Whether ignored pixels (255) have a channel of their own, after the classes.
        edges: Whether a channel of instance borders follows; of label borders where there are no instances.
        styles: The looks of each class; None for a generator that is given none.
    """

    takes: ClassVar[Literal["image", "label_map"]] = "label_map"
    directions = ("source_to_target",)

    def __init__(
        self, generator: nn.Module, labels: int, ignore_channel: bool, edges: bool, styles: StyleMemory | None = None
    ) -> None:
        super().__init__({"source_to_target": generator})
        self.labels, self.ignore_channel, self.edges = labels, ignore_channel, edges
        self.classes = labels + ignore_channel
        self.styles = styles

    def layout(self, indices: Tensor, instance_map: Tensor | None) -> Tensor:
        """Channel numbers int64 (B, H, W) to (B, C, H, W): one-hot classes and, if wanted, edges."""
        classes = one_hot(indices, self.classes)
        if not self.edges:
            return classes
        return torch.cat([classes, borders(indices if instance_map is None else instance_map)], dim=1)

    @torch.no_grad()
    def translate(
        self,
        label_map: Tensor,
        direction: Direction = "source_to_target",
        instance_map: Tensor | None = None,
        style_seed: int = 0,
    ) -> Tensor:
        """Turn label maps of any size into photos, without gradient.

        Args:
            label_map: Integers (B, H, W), train ids, 255 = ignore; mirrored at the right and bottom to a size that the
                generator takes.
            direction: "source_to_target", the only one.
            instance_map: Integers (B, H, W) of at least 0, one id per thing; None takes label borders for edges.
            style_seed: Chooses each instance's look among its class's clusters, where there are any. Equal layouts get
                equal looks whatever batch they come in; another seed gives others.

        Returns:
            (B, 3, H, W), float32 in [0, 1], every pixel where its label was.

        Raises:
            ValueError: Another direction, a label id out of range, or a map that is not (B, H, W).
        """
        generator = self.generator(direction)
        if label_map.ndim != 3:
            raise ValueError(f"The label map has shape {tuple(label_map.shape)}; expected (B, H, W).")
        if instance_map is not None and instance_map.shape != label_map.shape:
            raise ValueError(
                f"The instance map has shape {tuple(instance_map.shape)}, the label map {tuple(label_map.shape)}."
            )
        height, width = label_map.shape[-2:]
        indices = class_indices(label_map, self.labels, self.ignore_channel)
        multiple, smallest = generator.side_multiple, generator.smallest_side
        indices = _padded(indices, multiple, smallest)
        instance_map = None if instance_map is None else _padded(instance_map.long(), multiple, smallest)
        layout = self.layout(indices, instance_map)
        if self.styles is not None:
            things = regions(indices, instance_map)
            looks = self.styles.draw(things.label, style_keys(things, indices, style_seed))
            layout = torch.cat([layout, painted(looks, things.numbers)], dim=1)
        with evaluating(generator):
            return to_unit(generator(layout))[..., :height, :width]


def _padded(ids: Tensor, multiple: int, smallest: int) -> Tensor:
    """Ids int64 (B, H, W) mirrored at the right and bottom; torch mirrors floats only, exact here up to 2^53."""
    return pad_to_multiple(ids[:, None].double(), multiple, smallest)[:, 0].long()

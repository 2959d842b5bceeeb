"""Images of any size through networks that halve and double: pad, translate, crop back.

Padding, unlike resizing, leaves every pixel where it was, so the label map of a frame stays true.
"""

from torch import Tensor
from torch.nn import functional


def pad_to_multiple(image: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Pad at the right and the bottom until both sides divide by `multiple` and are at least `smallest`.

    Pixels are mirrored, which continues textures; a side too short to be mirrored that far repeats its last row or
    column. Undo with `padded[..., :height, :width]`.

    Args:
        image: (B, C, H, W), at least one pixel.
        multiple: Both sides of the result divide by it.
        smallest: Both sides of the result reach it.

    Returns:
        (B, C, H', W'); `image` itself where nothing is missing.

    Raises:
        ValueError: `image` is not of four dimensions, or has no pixels.
    """
    if image.ndim != 4 or 0 in image.shape:
        raise ValueError(f"Image has shape {tuple(image.shape)}; expected (B, C, H, W) with at least one pixel.")
    height, width = image.shape[-2:]
    below = _missing(height, multiple, smallest)
    right = _missing(width, multiple, smallest)
    if below:
        image = functional.pad(image, (0, 0, 0, below), mode="reflect" if below < height else "replicate")
    if right:
        image = functional.pad(image, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    return image


def check_sides(image: Tensor, multiple: int, smallest: int, what: str = "Image") -> None:
    """ValueError, naming the remedy, unless both sides of (B, C, H, W) divide by `multiple` and reach `smallest`."""
    height, width = image.shape[-2:]
    if height % multiple or width % multiple or min(height, width) < smallest:
        raise ValueError(
            f"{what} is {width}x{height}; sides must divide by {multiple} and be at least {smallest}. "
            "Pad it with translate.padding.pad_to_multiple."
        )


def _missing(side: int, multiple: int, smallest: int) -> int:
    wanted = max(side, smallest)
    return -(-wanted // multiple) * multiple - side

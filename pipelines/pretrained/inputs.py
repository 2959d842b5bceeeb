"""What published networks are given of an image: the order of its channels, their range, the statistics taken off them.

No file of weights says so, and the same network under the same names is trained with several. A wrong guess loads every
tensor and gives other classes, so what is assumed is said, and may be said otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from torch import Tensor

from pipelines.errors import UserError
from segment.networks.segmenter import IMAGENET_MEAN, IMAGENET_STD

Triple = tuple[float, float, float]
BLUE_FIRST = "bgr:"
"""What a person puts before an input whose channels are blue, green, red."""


@dataclass(frozen=True)
class NetworkInput:
    """Statistics of red, green and blue, in the range that the network takes."""

    mean: Triple
    std: Triple
    largest: int = 1
    """Value of white: 1 or 255."""
    blue_first: bool = False

    def unit_mean(self) -> Triple:
        """One for each of red, green and blue, in 0..1."""
        return tuple(value / self.largest for value in self.mean)

    def unit_std(self) -> Triple:
        """One for each of red, green and blue, in 0..1."""
        return tuple(value / self.largest for value in self.std)

    def __str__(self) -> str:
        """ "RGB in 0..1 less 0.485 0.456 0.406 over 0.229 0.224 0.225"; numbers in the order of the letters."""
        order = -1 if self.blue_first else 1
        mean, std = (" ".join(f"{value:g}" for value in one[::order]) for one in (self.mean, self.std))
        divided = "" if self.std == (1, 1, 1) else f" over {std}"
        return f"{'BGR' if self.blue_first else 'RGB'} in 0..{self.largest} less {mean}{divided}"


INPUTS = {
    "imagenet": NetworkInput(IMAGENET_MEAN, IMAGENET_STD),
    "cityscapes": NetworkInput((0.3257, 0.3690, 0.3223), (0.2112, 0.2148, 0.2115)),
    "caffe": NetworkInput((122.67891434, 116.66876762, 104.00698793), (1, 1, 1), 255, blue_first=True),
    "half": NetworkInput((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "efficientnet_lite": NetworkInput((127, 127, 127), (128, 128, 128), 255),
}
"""By the names that `--input` takes: ImageNet's statistics; those that CoinCheung's BiSeNet takes; what Caffe's
networks took and DeepLabV2's code still does; -1 to 1; and EfficientNet-Lite's, which is nearly that."""


def parse_input(text: str) -> NetworkInput:
    """What `--input` says: a name of INPUTS, or mean and deviation of red, green and blue; either after "bgr:".

    Raises:
        UserError: It is neither; the message says what may stand there.
    """
    blue_first = text.startswith(BLUE_FIRST)
    plain = text.removeprefix(BLUE_FIRST)
    if plain in INPUTS:
        known = INPUTS[plain]
        return NetworkInput(known.mean, known.std, known.largest, blue_first or known.blue_first)
    try:
        values = tuple(float(part) for part in plain.split(","))
    except ValueError:
        values = ()
    if len(values) != 6 or not all(isfinite(value) for value in values) or min(values[3:]) <= 0 or max(values) > 255:
        raise UserError(
            f"--input is {text!r}; expected {', '.join(INPUTS)}, or mean and deviation of red, green and blue, such as "
            f'0.485,0.456,0.406,0.229,0.224,0.225, in 0..1 or 0..255; "{BLUE_FIRST}" before it for blue, green, red'
        )
    return NetworkInput(values[:3], values[3:], 255 if max(values) > 1 else 1, blue_first)


def red_first(state: Mapping[str, Tensor], what: NetworkInput) -> dict[str, Tensor]:
    """The weights, such that all convolutions that see the image take red, green, blue."""
    if not what.blue_first:
        return dict(state)
    return {key: one.flip(1) if one.ndim == 4 and one.shape[1] == 3 else one for key, one in state.items()}

"""What a lens, a sensor and a codec do to a picture; pure functions on float32 (H, W, 3) in [0, 1]."""

from functools import lru_cache

import cv2
import numpy as np

BLOCK = 8


def aberrate(image: np.ndarray, fringe: float) -> np.ndarray:
    """Lateral chromatic aberration: red magnified and blue reduced by the share `fringe` about the centre."""
    height, width = image.shape[:2]
    channels = [image[..., channel] for channel in range(3)]
    for channel, scale in ((0, 1 + fringe), (2, 1 - fringe)):
        shift = np.array([[scale, 0, (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]])
        source = np.ascontiguousarray(channels[channel])
        channels[channel] = cv2.warpAffine(source, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.stack(channels, axis=-1)


def soften(image: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian blur of any (H, W) or (H, W, C) picture; `deviation` in pixels."""
    return cv2.GaussianBlur(image, (0, 0), max(deviation, 1e-3), borderType=cv2.BORDER_REFLECT_101)


def blur(image: np.ndarray, defocus: float, motion: tuple[float, float]) -> np.ndarray:
    """Defocus (Gaussian deviation in pixels) and a straight motion streak (dx, dy in pixels), centred on the pixel."""
    image = soften(image, defocus)
    reach = int(np.ceil(max(abs(motion[0]), abs(motion[1])) / 2))
    if reach == 0:
        return image
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * reach + 1):
        kernel[round(reach + share * motion[1]), round(reach + share * motion[0])] += 1
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)


def reduce_by_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mean over the pixels that fall into each of width x height coarser ones."""
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def vignette(image: np.ndarray, loss: float) -> np.ndarray:
    """Darken with the squared distance from the centre, by the share `loss` in the corners."""
    height, width = image.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return image * (1 - np.float32(loss) * (x * x + y * y) / 2)[..., None]


def sense(image: np.ndarray, shot: float, read: float, rng: np.random.Generator) -> np.ndarray:
    """Add sensor noise of deviation sqrt(shot**2 * brightness + read**2)."""
    deviation = np.sqrt(shot * shot * np.clip(image, 0, 1) + read * read)
    return image + deviation * rng.standard_normal(image.shape, dtype=np.float32)


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """Orthonormal 8-point DCT-II matrix."""
    frequency, place = np.mgrid[0:BLOCK, 0:BLOCK]
    matrix = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * place + 1) * frequency / (2 * BLOCK))
    matrix[0] /= np.sqrt(2)
    return matrix


def compress_blocks(image: np.ndarray, step: float) -> np.ndarray:
    """Quantise the cosine transform of 8x8 blocks, as JPEG does, with no codec's version to depend on.

    In float64: how processors round sums in float32 puts some coefficients on the other side of a quantiser's edge.

    Args:
        image: float32 (H, W, 3) in 8-bit units, RGB.
        step: Quantiser step of the flattest coefficients; a coefficient of frequencies (i, j) has 1 + 0.35 * (i + j)
            times that, and the two colour differences twice as much.

    Returns:
        float32 (H, W, 3) in 8-bit units.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % BLOCK), (0, -width % BLOCK), (0, 0)), mode="edge").astype(np.float64)
    to_luma = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
    rows, columns = padded.shape[0] // BLOCK, padded.shape[1] // BLOCK
    blocks = (padded @ to_luma.T).reshape(rows, BLOCK, columns, BLOCK, 3).transpose(0, 2, 4, 1, 3)
    cosines = _cosines()
    steps = step * (1 + 0.35 * np.add.outer(np.arange(BLOCK), np.arange(BLOCK))) * np.array([1, 2, 2])[:, None, None]
    coefficients = np.round((cosines @ blocks @ cosines.T) / steps) * steps
    restored = (cosines.T @ coefficients @ cosines).transpose(0, 3, 1, 4, 2).reshape(padded.shape)
    return (restored @ np.linalg.inv(to_luma).T)[:height, :width].astype(np.float32)

"""Prediction for a folder: one label map and, if wanted, one overlay per image, the folder tree mirrored."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipelines.data.files import write_atomically
from pipelines.data.images import encode_png, read_image, write_image
from pipelines.data.layout import files_below
from pipelines.errors import ImageError, NoInputsError, UserError
from pipelines.progress import Progress
from pipelines.stages.evaluate import Predictor
from pipelines.translation.plan import refuse_nested
from segment.classes import PALETTE

OVERLAY_STRENGTH = 0.55


@dataclass(frozen=True)
class PredictionSummary:
    """How many images were predicted, and which failed, with the reason."""

    predicted: int
    failed: list[tuple[Path, str]]


def predict_folder(predict_one: Predictor, source: Path, output: Path, overlays: bool) -> PredictionSummary:
    """Predict every image below `source`.

    Args:
        predict_one: The network.
        source: Any folder tree; hidden files are passed over.
        output: `labels/` gets label maps of train ids (8-bit PNG) at the image's own size, `overlays/` JPEGs.
        overlays: Whether to write overlays.

    Raises:
        UserError: `source` is no folder, `output` lies in `source` or holds it, or two images would have one output.
        NoInputsError: There is no image below `source`, or none could be read.
    """
    places = output_places(source)
    refuse_nested(source, output)
    failed = []
    with Progress("predict", len(places), "image") as progress:
        for done, (name, image_path) in enumerate(places.items(), 1):
            progress.reach(done)
            try:
                image = read_image(image_path)
            except ImageError as error:
                failed.append((image_path, str(error)))
                continue
            prediction = predict_one(image, image.shape[:2])
            write_atomically(output / "labels" / f"{name}.png", encode_png(prediction))
            if overlays:
                write_image(output / "overlays" / f"{name}.jpg", overlay(image, prediction))
    if len(failed) == len(places):
        raise NoInputsError(f"None of {len(places)} images could be read; the first: {failed[0][1]}")
    return PredictionSummary(len(places) - len(failed), failed)


def output_places(source: Path) -> dict[str, Path]:
    """Images below a folder by their path without suffix, in name order."""
    if not source.is_dir():
        raise UserError(f"--input {source} is not a folder")
    suffixes = {f".{s}" for s in ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff")}
    places: dict[str, Path] = {}
    for path in sorted(files_below(source)):
        if path.suffix.lower() not in suffixes:
            continue
        name = path.relative_to(source).with_suffix("").as_posix()
        if name in places:
            raise UserError(f"{path} and {places[name]} would have the same output {name}.png; rename one")
        places[name] = path
    if not places:
        raise NoInputsError(f"{source} holds no image ({', '.join(sorted(suffixes))})")
    return places


def overlay(image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """The image under its classes' colours; uint8 (H, W, 3), ignored pixels left as they are."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(PALETTE)] = PALETTE
    blended = cv2.addWeighted(image, 1 - OVERLAY_STRENGTH, table[label_map], OVERLAY_STRENGTH, 0)
    return np.where((label_map < len(PALETTE))[..., None], blended, image)

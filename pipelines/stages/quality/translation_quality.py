"""How near translated frames came to the target domain, and what of their sources they kept: one table, one JSON file.

Every distance is told for the untranslated source too, and between two halves of the target frames. KID does not depend
on how many images there are, so a perfect translation is about as far from the target as these halves from each other.
The other distances grow as sets shrink, and a half is a smaller set: there a perfect translation lies below the halves.
Figures over learnt features bear the name of the network.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.data.disk.json_files import write_json
from pipelines.data.images import image_error, image_size
from pipelines.data.sampling.augment import fitted_size
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.report.columns import in_columns
from pipelines.report.figures import significant
from pipelines.stages.quality.measurements import (
    ImageMeasurement,
    Measuring,
    PairMeasurement,
    measure_frames,
    measure_targets,
)
from pipelines.stages.quality.quality_inputs import QualityNetworks
from pipelines.stages.quality.translated_pairs import Expert, TranslatedFrame, scored_classes
from segment.metrics.regions import mean_iou
from translate.quality.colour import colour_difference, pooled_statistics
from translate.quality.distances import frechet_distance, kernel_distance, sliced_wasserstein
from translate.quality.pyramids import PATCH, coarsest_side, descriptors, level_heights
from translate.quality.spectrum import log_power_difference

HIGHEST = 256
"""Images are compared at this height, or at the lowest frame's if that is less: to enlarge would invent a spectrum."""
PATCHES_PER_IMAGE = 128
MOST_PATCHES = 2**15
"""Patches kept of each set and level; large sets give fewer from each image."""
SWD_SCALE = 1000
"""Sliced Wasserstein distances are told in thousandths, as in Karras et al., ICLR 2018."""
NO_NETWORKS = QualityNetworks()
HALVES = (
    "target halves: half as many images as the target on each side. KID does not depend on the number; FID, sliced "
    "Wasserstein and the other distances grow as there are fewer, so a good translation may lie below the halves."
)
"""What is to be known of the column, for below the table."""


@dataclass(frozen=True)
class Figure:
    """One row of the table; None where a column has no such figure."""

    name: str
    better: str
    """ "lower", "higher" or "near 0"."""
    translated: float | None
    source: float | None = None
    target_halves: float | None = None
    """Between two halves of the target frames; see HALVES."""
    deviation: float | None = None
    """Standard deviation of the translated frames' value over random subsets (KID)."""


def halves(images: Sequence[ImageMeasurement]) -> tuple[list[ImageMeasurement], list[ImageMeasurement]]:
    """Every other run of neighbours: neighbours are alike, and the ends of a drive need not be.

    Of fewer than 16 images each is a run; of more, eight to twelve runs are equally long, the last one perhaps shorter.
    """
    run = max(1, len(images) // 8)
    second = [index // run % 2 == 1 for index in range(len(images))]
    return list(compress(images, [not chosen for chosen in second])), list(compress(images, second))


def measure_quality(
    frames: Sequence[TranslatedFrame],
    target: Sequence[Path],
    session: Session,
    networks: QualityNetworks = NO_NETWORKS,
    sequence: bool = False,
    height: int | None = None,
) -> list[Figure]:
    """Compare translated frames with target images, and with their own sources where these are known.

    Several processes share the images out, and find the figures of one, all of them.

    Args:
        frames: Translated frames in name order.
        target: Images of the target domain.
        session: How to compute.
        networks: Networks for KID, FID and label consistency; what none is there for is left out.
        sequence: Frames of one folder are a sequence in name order: also measure flicker.
        height: At which images are compared; by default 256, or the lowest frame's height.

    Returns:
        The figures, in the order of the table.

    Raises:
        NoInputsError: A set has fewer than two images (four for the halves).
        UserError: A sequence is to be measured and the sources are not known, or the processes have different frames.
        ImageError: A file cannot be used, or is too small or too narrow to be measured.
    """
    with_source = all(frame.source is not None for frame in frames)
    if sequence and not with_source:
        raise UserError("the flicker of a sequence is measured along the sources' motion; name the sources (--source)")
    if len(frames) < 2 or len(target) < 4:
        raise NoInputsError(f"{len(frames)} translated and {len(target)} target images; expected at least 2 and 4")
    files = [*(frame.image for frame in frames), *target]
    sizes = {path: image_size(path) for path in files}
    height = height or min(HIGHEST, min(size[1] for size in sizes.values()))
    for path in sorted(sizes, key=lambda path: sizes[path][1]):  # the lowest first: it may decide the height of all
        _refuse_without_patches(path, sizes[path], height)

    processes, names = session.machine.processes, [extractor.name for extractor in networks.extractors]
    processes.refuse_difference([[frame.name for frame in frames], list(map(str, target)), names, sequence, height])

    def measuring(count: int) -> Measuring:
        patches = max(1, min(PATCHES_PER_IMAGE, MOST_PATCHES // count))
        return Measuring(height, patches, networks.extractors, session.machine.device)

    classes = scored_classes(frames, networks.expert_encodings)
    found = measure_frames(frames, measuring(len(frames)), networks.expert, classes, sequence, processes)
    real = measure_targets(target, measuring(len(target)), processes)
    translated, sources = [one for one, _, _ in found], [one for _, one, _ in found if one is not None]
    pairs = PairMeasurement.of_all([pair for _, _, pair in found])
    if sequence and not pairs.flicker:
        raise NoInputsError("no two frames lie in one folder, so there is no sequence")
    levels = level_heights(height)
    distances = [_distances(one, other, names, levels) for one, other in ((translated, real), halves(real))]
    of_source = _distances(sources, real, names, levels) if with_source else {}
    rows = [
        Figure(name, better, value, of_source.get(name, (None,) * 3)[1], distances[1][name][1], deviation)
        for name, (better, value, deviation) in distances[0].items()
    ]
    return rows + _pair_figures(pairs, networks.expert, classes.scored)


def write_quality(path: Path, figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """Write the figures and what they were measured on as JSON, atomically; what is no number is null."""
    rows = [{key: None if value != value else value for key, value in asdict(figure).items()} for figure in figures]
    write_json(path, {"about": about, "figures": rows})


def format_quality(figures: Sequence[Figure]) -> str:
    """The table for the terminal, and below it what is to be known of the halves where there are any."""
    rows = [["", "translated", "source", "target halves", "better"]]
    for figure in figures:
        deviation = "" if figure.deviation is None else f" ± {significant(figure.deviation)}"
        values = (figure.translated, figure.source, figure.target_halves)
        first, *others = map(significant, values)
        rows.append([figure.name, first + deviation, *others, figure.better])
    note = [HALVES] if any(figure.target_halves is not None for figure in figures) else []
    return "\n".join([*in_columns(rows, left=(0, 4)), *note])


def _refuse_without_patches(path: Path, size: tuple[int, int], height: int) -> None:
    """ImageError where the coarsest level of an image of (width, height) has no room for a patch."""
    levels = len(level_heights(height))
    seen = fitted_size(size[::-1], height, enlarge=True, least_width=1)
    coarsest = [coarsest_side(side, levels) for side in seen]
    if min(coarsest) < PATCH:
        raise image_error(
            path,
            f"it is {size[0]}x{size[1]}; compared at a height of {height} it is {seen[0]}x{seen[1]}, and its coarsest "
            f"level, {coarsest[0]}x{coarsest[1]}, is smaller than a patch of {PATCH}x{PATCH}; leave it out",
        )


def _distances(
    first: Sequence[ImageMeasurement],
    second: Sequence[ImageMeasurement],
    extractors: Sequence[str],
    levels: Sequence[int],
) -> dict[str, tuple[str, float, float | None]]:
    """Name of each distance between two sets: (which is better, value, deviation)."""
    rows: dict[str, tuple[str, float, float | None]] = {}
    for place, extractor in enumerate(extractors):
        features = [torch.stack([image.features[place] for image in one]) for one in (first, second)]
        mean, deviation = kernel_distance(*features)
        rows[f"KID-{extractor}"] = ("lower", mean, deviation)
        rows[f"FID-{extractor}"] = ("lower", frechet_distance(*features), None)
    for level, height in enumerate(levels):
        patches = (descriptors(torch.cat([image.patches[level] for image in one])) for one in (first, second))
        name = f"sliced Wasserstein x{SWD_SCALE}, {height} px"
        rows[name] = ("lower", SWD_SCALE * sliced_wasserstein(*patches), None)
    (mean1, spread1), (mean2, spread2) = (
        pooled_statistics(torch.stack([image.mean for image in one]), torch.stack([image.deviation for image in one]))
        for one in (first, second)
    )
    rows["mean colour (Lab), Delta E"] = ("lower", colour_difference(mean1, mean2), None)
    rows["spread of colour (Lab), Delta E"] = ("lower", colour_difference(spread1, spread2), None)
    absolute, upper = log_power_difference(*(torch.stack([image.spectrum for image in one]) for one in (first, second)))
    rows["log power spectrum, dB"] = ("lower", absolute, None)
    rows["fine structure (upper half), dB"] = ("near 0", upper, None)
    return rows


def _pair_figures(pairs: PairMeasurement, expert: Expert | None, scored: Sequence[int]) -> list[Figure]:
    rows = []
    if pairs.structure:
        rows.append(Figure("edges kept (gradient SSIM)", "higher", float(np.mean(pairs.structure)), 1.0))
        rows.append(Figure("edges kept, worst 5 %", "higher", float(np.quantile(pairs.structure, 0.05)), 1.0))
    if pairs.confusions and expert is not None:
        both = [
            (_mean(scores), float(mean_iou(torch.stack(counts).sum(0), scored))) if counts else (None, None)
            for scores, counts in (
                (pairs.consistency, pairs.confusions),
                (pairs.source_consistency, pairs.source_confusions),
            )
        ]
        for place, name in enumerate(("mean of frames", "mIoU of the set")):
            title = f"label consistency, {name}, by {expert.name}"
            rows.append(Figure(title, "higher", both[0][place], both[1][place]))
    if pairs.flicker:
        name = "flicker (flow-warped difference of 255)"
        rows.append(Figure(name, "lower", float(np.mean(pairs.flicker)), float(np.mean(pairs.source_flicker))))
    return rows


def _mean(values: Sequence[float]) -> float:
    """Mean over the frames that have a score; NaN if none has."""
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")

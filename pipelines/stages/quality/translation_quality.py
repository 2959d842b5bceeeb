"""How near translated frames came to the target domain, and what of their sources they kept: one table, one JSON file.

Every distance is told for the untranslated source too, and between two halves of the target frames, which is as near as
a perfect translation could be measured to come. Figures over learnt features bear the name of the network.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch

from pipelines.data.images import image_size, read_image, to_batch
from pipelines.data.labels.shared_classes import SharedClasses
from pipelines.engine.runs import write_json
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.progress import Progress
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.stages.quality.feature_extractors import Extractor
from pipelines.stages.quality.quality_inputs import QualityNetworks
from pipelines.stages.quality.translated_pairs import Expert, TranslatedFrame, scored_classes
from segment.metrics.merged_classes import merge_classes
from segment.metrics.regions import confusion_matrix, mean_iou
from translate.quality.colour import colour_difference, lab_statistics, pooled_statistics
from translate.quality.consistency import label_consistency
from translate.quality.distances import frechet_distance, kernel_distance, sliced_wasserstein
from translate.quality.motion import flow_warped_difference, visible_before
from translate.quality.pyramids import descriptors, draw_patches, laplacian_pyramid, level_heights
from translate.quality.spectrum import log_power_difference, radial_log_power
from translate.quality.structure import structure_score

Item = TypeVar("Item")

HIGHEST = 256
"""Images are compared at this height, or at the lowest frame's if that is less: to enlarge would invent a spectrum."""
PATCHES_PER_IMAGE = 128
MOST_PATCHES = 2**15
"""Patches kept of each set and level; large sets give fewer from each image."""
SWD_SCALE = 1000
"""Sliced Wasserstein distances are told in thousandths, as in Karras et al., ICLR 2018."""
NO_NETWORKS = QualityNetworks()


@dataclass(frozen=True)
class Figure:
    """One row of the table; None where a column has no such figure."""

    name: str
    better: str
    """ "lower" or "higher"; empty where the source's own value is the yardstick."""
    translated: float | None
    source: float | None = None
    target_halves: float | None = None
    deviation: float | None = None
    """Standard deviation of the translated frames' value over random subsets (KID)."""


@dataclass
class SetMeasurement:
    """What is kept of each image of a set: rows by image, in order."""

    height: int
    patches_per_image: int
    extractors: Sequence[Extractor]
    device: torch.device
    means: list[torch.Tensor] = field(default_factory=list)
    deviations: list[torch.Tensor] = field(default_factory=list)
    spectra: list[torch.Tensor] = field(default_factory=list)
    patches: list[list[torch.Tensor]] = field(default_factory=list)
    features: list[list[torch.Tensor]] = field(default_factory=list)

    def add(self, image: np.ndarray) -> None:
        """Measure one image, uint8 (H, W, 3)."""
        tensor = as_seen(image, self.height, self.device)
        mean, deviation = lab_statistics(tensor)
        self.means.append(mean[0].cpu())
        self.deviations.append(deviation[0].cpu())
        self.spectra.append(radial_log_power(tensor)[0].cpu())
        generator = torch.Generator().manual_seed(len(self.patches))
        levels = laplacian_pyramid(tensor, len(level_heights(self.height)))
        self.patches.append([draw_patches(level[0], self.patches_per_image, generator).cpu() for level in levels])
        self.features.append([extractor.extract(image) for extractor in self.extractors])

    def halves(self) -> tuple["SetMeasurement", "SetMeasurement"]:
        """Every other of eight runs of neighbours: neighbours are alike, and the ends of a drive need not be."""
        run = max(1, len(self.means) // 8)
        second = [index // run % 2 == 1 for index in range(len(self.means))]
        return self._part([not chosen for chosen in second]), self._part(second)

    def _part(self, chosen: Sequence[bool]) -> "SetMeasurement":
        rows = (self.means, self.deviations, self.spectra, self.patches, self.features)
        parts = (list(compress(row, chosen)) for row in rows)
        return SetMeasurement(self.height, self.patches_per_image, self.extractors, self.device, *parts)


@dataclass
class PairMeasurement:
    """What is only known of a translated frame and its source together."""

    structure: list[float] = field(default_factory=list)
    consistency: list[float] = field(default_factory=list)
    source_consistency: list[float] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)
    confusions: list[torch.Tensor] = field(default_factory=list)
    source_confusions: list[torch.Tensor] = field(default_factory=list)
    flicker: list[float] = field(default_factory=list)
    source_flicker: list[float] = field(default_factory=list)


def measure_quality(
    frames: Sequence[TranslatedFrame],
    target: Sequence[Path],
    session: Session,
    networks: QualityNetworks = NO_NETWORKS,
    sequence: bool = False,
    height: int | None = None,
) -> list[Figure]:
    """Compare translated frames with target images, and with their own sources where these are known.

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
        UserError: A sequence is to be measured and the sources are not known.
        ImageError: A file cannot be used.
    """
    with_source = all(frame.source is not None for frame in frames)
    if sequence and not with_source:
        raise UserError("the flicker of a sequence is measured along the sources' motion; name the sources (--source)")
    if len(frames) < 2 or len(target) < 4:
        raise NoInputsError(f"{len(frames)} translated and {len(target)} target images; expected at least 2 and 4")
    files = [*(frame.image for frame in frames), *target]
    height = height or min(HIGHEST, min(image_size(path)[1] for path in files))

    def empty(count: int) -> SetMeasurement:
        patches = min(PATCHES_PER_IMAGE, MOST_PATCHES // count)
        return SetMeasurement(height, patches, networks.extractors, session.machine.device)

    translated, source, real = empty(len(frames)), empty(len(frames)), empty(len(target))
    pairs = _measure_frames(frames, translated, source, networks, sequence)
    with Progress("measure target frames", len(target), "frame") as progress:
        for done, path in enumerate(target, 1):
            real.add(read_image(path))
            progress.reach(done)
    distances = [_distances(one, other) for one, other in ((translated, real), real.halves())]
    of_source = _distances(source, real) if with_source else {}
    rows = [
        Figure(name, better, value, of_source.get(name, (None,) * 3)[1], distances[1][name][1], deviation)
        for name, (better, value, deviation) in distances[0].items()
    ]
    return rows + _pair_figures(pairs, networks.expert)


def evenly(items: Sequence[Item], most: int | None) -> list[Item]:
    """At most so many of the items, evenly spread; all for None."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).astype(int)]


def write_quality(path: Path, figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """Write the figures and what they were measured on as JSON, atomically; what is no number is null."""
    rows = [{key: None if value != value else value for key, value in asdict(figure).items()} for figure in figures]
    write_json(path, {"about": about, "figures": rows})


def format_quality(figures: Sequence[Figure]) -> str:
    """The table for the terminal."""
    head = ("", "translated", "source", "target halves", "better")
    rows = [head]
    for figure in figures:
        deviation = "" if figure.deviation is None else f" ± {_shown(figure.deviation)}"
        values = (figure.translated, figure.source, figure.target_halves)
        first, *others = map(_shown, values)
        rows.append((figure.name, first + deviation, *others, figure.better))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4], strict=True)),
        ]
        lines.append("  ".join([*cells, row[4]]).rstrip())
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    """Four significant digits; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:.4g}"


# ----------------------------------------------------------------------------------------------------------- measuring


def _measure_frames(
    frames: Sequence[TranslatedFrame],
    translated: SetMeasurement,
    source: SetMeasurement,
    networks: QualityNetworks,
    sequence: bool,
) -> PairMeasurement:
    """Fill both measurements; return what belongs to pairs."""
    classes = scored_classes(frames, networks.expert_encodings)
    pairs = PairMeasurement(scored=classes.scored)
    before: tuple[TranslatedFrame, np.ndarray, np.ndarray] | None = None
    with Progress("measure translated frames", len(frames), "frame") as progress:
        for done, frame in enumerate(frames, 1):
            image, original = frame.read()
            translated.add(image)
            if original is not None:
                source.add(original)
                both = (to_batch([one], str(translated.device)) for one in (original, image))
                pairs.structure.append(float(structure_score(*both)))
            if networks.expert is not None and frame.label is not None and frame.encoding is not None:
                _add_consistency(pairs, frame, image, original, networks.expert, classes)
            if sequence and original is not None:
                if before is not None and Path(before[0].name).parent == Path(frame.name).parent:
                    _add_flicker(pairs, before[1:], (image, original))
                before = frame, image, original
            progress.reach(done)
    if sequence and not pairs.flicker:
        raise NoInputsError("no two frames lie in one folder, so there is no sequence")
    return pairs


def _add_consistency(
    pairs: PairMeasurement,
    frame: TranslatedFrame,
    image: np.ndarray,
    original: np.ndarray | None,
    expert: Expert,
    classes: SharedClasses,
) -> None:
    label = frame.read_label(image)
    for seen, scores, confusions in (
        (image, pairs.consistency, pairs.confusions),
        (original, pairs.source_consistency, pairs.source_confusions),
    ):
        if seen is None:
            continue
        prediction = expert.predict(seen, label.shape)
        counts = merge_classes(confusion_matrix(torch.from_numpy(label), torch.from_numpy(prediction)), classes.groups)
        confusions.append(counts)
        scores.append(label_consistency(counts, classes.scored))


def _add_flicker(
    pairs: PairMeasurement, previous: tuple[np.ndarray, np.ndarray], current: tuple[np.ndarray, np.ndarray]
) -> None:
    """Differences left when the motion of the source is taken out, in levels of 255; nothing for a cut."""
    if previous[1].shape != current[1].shape:
        return
    there, back = (optical_flow(*pair) for pair in ((current[1], previous[1]), (previous[1], current[1])))
    visible = visible_before(there, back)
    if not visible.any():
        return
    for values, first, second in zip((pairs.flicker, pairs.source_flicker), previous, current, strict=True):
        difference = flow_warped_difference(to_batch([first]), to_batch([second]), there, visible)
        values.append(255 * float(difference))


def optical_flow(image: np.ndarray, other: np.ndarray) -> torch.Tensor:
    """Where each pixel of one frame is in another, (1, 2, H, W) in pixels: Kroeger et al., ECCV 2016 (DIS)."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (image, other)]
    return torch.from_numpy(method.calc(*grey, None)).permute(2, 0, 1)[None]


# ------------------------------------------------------------------------------------------------------------- figures


def _distances(first: SetMeasurement, second: SetMeasurement) -> dict[str, tuple[str, float, float | None]]:
    """Name of each distance between two sets: (which is better, value, deviation)."""
    rows: dict[str, tuple[str, float, float | None]] = {}
    for place, extractor in enumerate(first.extractors):
        features = [torch.stack([row[place] for row in one.features]) for one in (first, second)]
        mean, deviation = kernel_distance(*features)
        rows[f"KID-{extractor.name}"] = ("lower", mean, deviation)
        rows[f"FID-{extractor.name}"] = ("lower", frechet_distance(*features), None)
    levels = level_heights(first.height)
    for level, height in enumerate(levels):
        patches = (descriptors(torch.cat([row[level] for row in one.patches])) for one in (first, second))
        name = f"sliced Wasserstein x{SWD_SCALE}, {height} px"
        rows[name] = ("lower", SWD_SCALE * sliced_wasserstein(*patches), None)
    (mean1, spread1), (mean2, spread2) = (
        pooled_statistics(torch.stack(one.means), torch.stack(one.deviations)) for one in (first, second)
    )
    rows["mean colour (Lab), Delta E"] = ("lower", colour_difference(mean1, mean2), None)
    rows["spread of colour (Lab), Delta E"] = ("lower", colour_difference(spread1, spread2), None)
    absolute, upper = log_power_difference(torch.stack(first.spectra), torch.stack(second.spectra))
    rows["log power spectrum, dB"] = ("lower", absolute, None)
    rows["fine structure (upper half), dB"] = ("near 0", upper, None)
    return rows


def _pair_figures(pairs: PairMeasurement, expert: Expert | None) -> list[Figure]:
    rows = []
    if pairs.structure:
        rows.append(Figure("edges kept (gradient SSIM)", "higher", float(np.mean(pairs.structure)), 1.0))
        rows.append(Figure("edges kept, worst 5 %", "higher", float(np.quantile(pairs.structure, 0.05)), 1.0))
    if pairs.confusions and expert is not None:
        both = [
            (_mean(scores), float(mean_iou(torch.stack(counts).sum(0), pairs.scored))) if counts else (None, None)
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

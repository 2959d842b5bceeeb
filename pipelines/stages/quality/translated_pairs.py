"""Translated frames beside what they were made from, and the expert that looks at both.

A set of ours says in its manifest which file became which; a folder of another tool's is matched by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.images import image_error, read_image, to_batch
from pipelines.data.labels.encodings import LabelEncoding
from pipelines.data.labels.shared_classes import SharedClasses, shared_classes
from pipelines.data.readers.folder import FolderSettings
from pipelines.data.readers.translated import frame_of
from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.launch import Machine
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.trained import load_segmenter
from pipelines.runtimes.frame_prediction import Predictor, open_predictor
from segment.networks.segmenter import Segmenter
from translate.quality.structure import structure_score


@dataclass(frozen=True)
class TranslatedFrame:
    """A translated image, its source and its label map, as far as they are known."""

    name: str
    image: Path
    source: Path | None = None
    label: Path | None = None
    encoding: LabelEncoding | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The translated image and its source, uint8 (H, W, 3) each; ImageError if unusable or of different sizes."""
        translated = read_image(self.image)
        if self.source is None:
            return translated, None
        source = read_image(self.source)
        if source.shape != translated.shape:
            sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (translated, source)]
            raise image_error(
                self.image, f"it is {sizes[0]}, its source {self.source} is {sizes[1]}; expected one size"
            )
        return translated, source

    def read_label(self, image: np.ndarray) -> np.ndarray | None:
        """The label map, uint8 (H, W) of train ids, of the size of the frame's `image`; None if there is none."""
        if self.label is None or self.encoding is None:
            return None
        label = self.encoding.decode(self.label)
        if label.shape != image.shape[:2]:
            sizes = [f"{array.shape[1]}x{array.shape[0]}" for array in (label, image)]
            raise image_error(self.label, f"the label map is {sizes[0]}, its image {self.image} is {sizes[1]}")
        return label


def edges_kept(frame: TranslatedFrame, source: np.ndarray, translated: np.ndarray, device: torch.device) -> float:
    """The structure score of a frame's two images; ImageError where they are too small for one."""
    try:
        return float(structure_score(*(to_batch([image], str(device)) for image in (source, translated))))
    except ValueError as error:
        raise image_error(frame.image, f"{error} Leave it out") from error


def translated_frames(folder: Path, sources: Sequence[FrameSet] | Path | None) -> list[TranslatedFrame]:
    """The frames of a translated folder in name order, each with its source and its label map.

    Args:
        folder: A set that our translator wrote, or any folder of images (then without label maps).
        sources: The data sets that were translated, or the folder; None if neither is at hand.

    Raises:
        UserError: The folder is missing, or a frame's source is.
        NoInputsError: There is no frame.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of translated frames")
    if (folder / MANIFEST).exists():
        frames = _listed(folder, sources)
    else:
        found = open_frame_set(FolderSettings(reader="folder", root="."), folder).frames
        by_name = _by_name(sources)
        frames = [TranslatedFrame(frame.name, frame.image, by_name.get(frame.name)) for frame in found]
    if not frames:
        raise NoInputsError(f"{folder}: the manifest lists no frame")
    missing = [frame.name for frame in frames if frame.source is None or not frame.source.is_file()]
    if missing and sources is not None:
        raise UserError(
            f"{folder}: {len(missing)} of {len(frames)} frames have no source, the first {missing[0]!r}; "
            "name the folder or the experiment that they were translated from, or none"
        )
    return frames


def _listed(folder: Path, sources: Sequence[FrameSet] | Path | None) -> list[TranslatedFrame]:
    by_name, found = {} if isinstance(sources, Path) else _by_name(sources), []
    for entry in sorted(read_manifest(folder / MANIFEST), key=lambda entry: entry.frame):
        source = sources / entry.source if isinstance(sources, Path) else by_name.get(entry.frame)
        frame = frame_of(folder, entry)
        found.append(TranslatedFrame(frame.name, frame.image, source, frame.label, frame.encoding))
    return found


def _by_name(sources: Sequence[FrameSet] | Path | None) -> dict[str, Path]:
    """Source images by the names that their translations have."""
    if isinstance(sources, Path):
        found = open_frame_set(FolderSettings(reader="folder", root="."), sources).frames
        return {frame.name: frame.image for frame in found}
    return {frames.full_name(frame): frame.image for frames in sources or () for frame in frames.frames}


# -------------------------------------------------------------------------------------------------------------- expert


@dataclass(frozen=True)
class Expert:
    """A frozen segmenter that says what it sees in a frame."""

    name: str
    """Network and the first digits of the checkpoint's hash: ddrnet23_slim@0f3a9c12."""
    sha256: str
    network: Segmenter
    network_name: str
    height: int
    predict: Predictor


def load_expert(path: Path, machine: Machine) -> Expert:
    """The segmenter of a run folder or checkpoint; CheckpointError if it is none."""
    network, settings, checkpoint = load_segmenter(path, machine)
    sha256 = checkpoint_hash(checkpoint)
    predict = open_predictor(network, settings.height, machine)
    return Expert(f"{settings.network}@{sha256[:8]}", sha256, network, settings.network, settings.height, predict)


def scored_classes(frames: Sequence[TranslatedFrame], expert_encodings: Sequence[LabelEncoding]) -> SharedClasses:
    """What the label maps of frames can tell apart, and those that the expert learnt from, as far as they are known."""
    return shared_classes({frame.encoding for frame in frames if frame.encoding is not None} | set(expert_encodings))

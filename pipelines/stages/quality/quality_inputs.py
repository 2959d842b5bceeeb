"""What a look at a translation needs: its frames, their sources, target images, an expert; from an experiment or named.

Options name single things; an experiment fills in the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.labels.encodings import LabelEncoding
from pipelines.data.readers.folder import FolderSettings
from pipelines.engine.checkpoint_files import is_finished
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained.packaged_encoders import REQUIRED, is_installed
from pipelines.stages.quality.feature_extractors import (
    Extractor,
    inception_extractor,
    packaged_extractor,
    segmenter_extractor,
)
from pipelines.stages.quality.translated_pairs import Expert, TranslatedFrame, load_expert, translated_frames

Features = Literal["auto", "package", "expert"]
"""Whose features KID and FID are of: those of the packaged encoder, which are the same for every experiment, or of the
expert, which learnt in this one; "auto" takes the package where it is installed, else the expert."""


@dataclass(frozen=True)
class QualityNetworks:
    """The networks that look at translated frames."""

    extractors: Sequence[Extractor] = ()
    """Networks that give the features behind KID and FID."""
    expert: Expert | None = None
    """For the label consistency of frames with label maps."""
    expert_encodings: Sequence[LabelEncoding] = ()
    """Encodings of the labels that the expert learnt from, if known: a class that these lack is not scored."""


@dataclass(frozen=True)
class QualityInputs:
    """A translated folder and what to hold beside it; `expert` is a run folder or checkpoint."""

    folder: Path
    frames: list[TranslatedFrame]
    target: list[FrameSet] = field(default_factory=list)
    expert: Path | None = None
    expert_encodings: tuple[LabelEncoding, ...] = ()
    """Encodings of the experiment's target labels: what an expert that learnt from them can tell apart."""

    def target_images(self) -> list[Path]:
        """All images of the target domain, set after set; UserError if no target is known."""
        if not self.target:
            raise UserError("no target images to compare with; give an experiment's config, or --target FOLDER")
        return [frame.image for frames in self.target for frame in frames.frames]

    def networks(self, session: Session, inception: Path | None = None, features: Features = "auto") -> QualityNetworks:
        """The expert, if there is one, and the feature extractors: that of `features`, and Inception from a file.

        Raises:
            UserError: The package or the expert, asked for by name, is not there.
            CheckpointError: The expert or a file of weights cannot be used.
        """
        machine = session.machine
        expert = None if self.expert is None else load_expert(self.expert, machine)
        if features == "expert" and expert is None:
            raise UserError(
                "features of the expert, and there is none; name a segmenter with --expert (run folder or checkpoint), "
                "or train the experiment's oracle first"
            )
        extractors = []
        if features == "package" or (features == "auto" and is_installed(REQUIRED)):
            extractors.append(packaged_extractor(machine))
        elif expert is not None:
            extractors.append(segmenter_extractor(expert, machine))
        if inception is not None:
            extractors.append(inception_extractor(inception, machine))
        return QualityNetworks(extractors, expert, self.expert_encodings)


def find_inputs(
    workspace: Workspace | None,
    seed: int,
    *,
    translated: Path | None = None,
    source: Path | None = None,
    target: Sequence[Path] = (),
    expert: Path | None = None,
) -> QualityInputs:
    """Put together what options name and what the experiment knows.

    Args:
        workspace: The experiment; None if everything is named.
        seed: Whose translation is meant.
        translated: Folder of translated frames; None for the experiment's.
        source: Folder that they were made from; None for the experiment's source sets, if there is an experiment.
        target: Folders of real images; empty for the experiment's target sets.
        expert: Segmenter; None for the experiment's oracle, if it is trained to its end.

    Raises:
        UserError: Neither names the translated frames; or a folder or a frame's source is missing.
    """
    targets = [open_frame_set(FolderSettings(reader="folder", name=str(path), root="."), path) for path in target]
    if workspace is None:
        if translated is None:
            raise UserError("which translated frames? Give an experiment's config, or --translated FOLDER")
        return QualityInputs(translated, translated_frames(translated, source), targets, expert)
    folder = translated or workspace.translated(seed)
    oracle = workspace.segmenter(workspace.translator_seed(seed), "oracle")  # frames of all seeds have one judge
    if expert is None and is_finished(oracle):
        expert = oracle
    encodings = {f.encoding for frames in workspace.labelled_target for f in frames.frames if f.encoding}
    return QualityInputs(
        folder,
        translated_frames(folder, source or workspace.source),
        targets or workspace.target,
        expert,
        tuple(sorted(encodings, key=lambda encoding: encoding.name)),
    )

"""An experiment at work: its frames opened, their content known by hash, and where each stage puts its output.

RUN/frames/...               what toy world drew, where the experiment uses it
RUN/seed-S/translator/       run folder
RUN/seed-S/translated/       data set: the labelled source frames, translated
RUN/seed-S/ARM/              run folder of a segmenter; ARM is source_only, translated_net, oracle or few_labels
RUN/unguided/                translator and translated net without guidance, where the guided ones build on them
RUN/results.json results.md report.html features.json features.html
RUN/variants/NAME/           of each variant: translator, translated frames, translated net; what is the same is shared
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.data.drawn import ToyWorldSettings
from pipelines.data.files import sha256_of, storage_errors, write_atomically
from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.subset import labelled_subset
from pipelines.engine.checkpoints import checkpoint_hash, resolve_checkpoint
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.config import AnyFrameSetSettings, Experiment
from pipelines.experiment.translators import UNGUIDED, GuidanceSettings
from pipelines.progress import Progress

ARMS = ("source_only", "translated", "oracle")
"""The arms of a comparison."""

TRAINED_ARMS = (*ARMS, "few_labels")
"""All that can be trained; the last learns from the labelled subset of the target alone."""


class Workspace:
    """One experiment, the data folder, and the folder that everything is written to.

    Args:
        experiment: The settings.
        data: Folder that the sets' roots start from.
        run: Folder of the experiment.
        shared: Folder of what does not depend on the translator (drawn frames, arms without translated frames), where
            several variants of an experiment share it; None: `run`.
        stage_one: Folder of translator and translated frames, where another variant has the same; None: `run`.
    """

    def __init__(
        self, experiment: Experiment, data: Path, run: Path, shared: Path | None = None, stage_one: Path | None = None
    ) -> None:
        self.experiment, self.data, self.run = experiment, data, run
        self.shared, self.stage_one = shared or run, stage_one or run
        self._hashes = HashCache(self.shared / ".hashes.json")

    def translator(self, seed: int) -> Path:
        """Run folder of the translator that serves `seed`."""
        first = self.experiment.compare.seeds[0]
        return self.stage_one / f"seed-{first if self.experiment.compare.one_translator else seed}" / "translator"

    def translated(self, seed: int) -> Path:
        """The translated data set that serves `seed`."""
        return self.translator(seed).parent / "translated"

    def segmenter(self, seed: int, arm: str) -> Path:
        """Run folder of one arm's segmenter."""
        if arm == "translated":
            return self.run / f"seed-{seed}" / "translated_net"
        if arm == "few_labels":  # a variant may have another number of labels
            return self.stage_one / f"seed-{seed}" / arm
        return self.shared / f"seed-{seed}" / arm

    @cached_property
    def source(self) -> list[FrameSet]:
        """All synthetic frames."""
        return self._open(self.experiment.source)

    @cached_property
    def labelled_source(self) -> list[FrameSet]:
        """The synthetic frames that have label maps."""
        sets = _only_labelled(self.source)
        if not sets:
            raise NoInputsError("no source frame has a label map; the segmenter has nothing to learn from")
        return sets

    @cached_property
    def target(self) -> list[FrameSet]:
        """The real training frames."""
        return self._open(self.experiment.target)

    @cached_property
    def labelled_target(self) -> list[FrameSet]:
        """The real training frames that have label maps; there may be none."""
        return _only_labelled(self.target)

    def labelled_subset(self, seed: int) -> list[FrameSet]:
        """The labelled target frames that anything but the oracle may learn from (`labelled_target`)."""
        wanted = self.experiment.labelled_target
        return labelled_subset(self.labelled_target, wanted, self.translator_seed(seed), self.data)

    def target_labels(self, seed: int, arm: str) -> list[FrameSet]:
        """The labelled target frames that an arm's share of them is drawn from."""
        return self.labelled_target if arm == "oracle" else self.labelled_subset(seed)

    @cached_property
    def validation(self) -> list[FrameSet]:
        """The real labelled frames for evaluation."""
        return self._open(self.experiment.validation)

    def _open(self, settings: Sequence[AnyFrameSetSettings]) -> list[FrameSet]:
        return [open_frame_set(one, self._root(one)) for one in settings]

    def _root(self, settings: AnyFrameSetSettings) -> Path:
        """Where a set's root is looked up: the data folder, or the run folder for what toy world draws."""
        if not isinstance(settings, ToyWorldSettings):
            return self.data
        output = self.shared / "frames"
        with Progress(f"draw {settings.name}", settings.frames, "frame") as progress:
            settings.draw(output, progress.reach)
        return output

    def fingerprint(self, sets: Sequence[FrameSet]) -> str:
        """A hash of the names and contents of all images and label maps, and of how the labels are read.

        Changes when any byte does, and not when a file is merely touched.
        """
        digest = hashlib.sha256()
        for frames in sets:
            for frame in frames.frames:
                parts = [frames.name, frame.name, self._hashes.of(frame.image)]
                parts.append(self._hashes.of(frame.label) if frame.label else "")
                parts.append(frame.encoding.name if frame.encoding else "")
                digest.update(json.dumps(parts).encode())
        self._hashes.save()
        return digest.hexdigest()

    def translator_inputs(self, seed: int) -> dict[str, Any]:
        """What decides the translator's outcome: its settings, frames, seed, and the runs that it builds on."""
        settings = self.experiment.translator
        inputs = {
            "stage": "translator",
            "seed": seed,
            "settings": settings.model_dump(mode="json"),
            "frames": self._translator_frames(seed),
        }
        if settings.initial == UNGUIDED:
            inputs["initial"] = self.unguided().translator_inputs(seed)
        elif settings.initial is not None:
            inputs["settings"]["initial"] = checkpoint_hash(resolve_checkpoint(Path(settings.initial)))
        if settings.guided_by is not None:
            inputs |= self._guidance_inputs(settings.guided_by, seed, inputs)
        return inputs

    def _translator_frames(self, seed: int) -> dict[str, str]:
        """The frames that a translator learns from, by part."""
        if self.experiment.translator.learns_from == "paired":
            return {"labelled_target": self.fingerprint(self.labelled_subset(seed))}
        return {"source": self.fingerprint(self.source), "target": self.fingerprint(self.target)}

    def _guidance_inputs(self, guidance: GuidanceSettings, seed: int, inputs: dict[str, Any]) -> dict[str, Any]:
        """What guidance adds to a translator's inputs: the expert, by what it was made from, and the few labels."""
        added: dict[str, Any] = {}
        arm = self.expert_arm(guidance)
        if arm is None:
            inputs["settings"]["guidance"]["expert"] = checkpoint_hash(resolve_checkpoint(Path(guidance.expert)))
        else:
            added["expert"] = self.expert_workspace(arm).segmenter_inputs(seed, arm)
        if guidance.task_weight > 0:
            added["frames"] = inputs["frames"] | {"labelled_target": self.fingerprint(self.labelled_subset(seed))}
        return added

    def expert_arm(self, guidance: GuidanceSettings) -> str | None:
        """The arm that guides; None for a segmenter from elsewhere.

        Raises:
            UserError: It is neither an arm nor a path.
        """
        if guidance.expert in TRAINED_ARMS:
            return guidance.expert
        if not Path(guidance.expert).exists():
            raise UserError(
                f"translator.guidance.expert is {guidance.expert!r}; expected one of {', '.join(TRAINED_ARMS)}, "
                "or the run folder or checkpoint of a segmenter"
            )
        return None

    def expert_workspace(self, arm: str) -> "Workspace":
        """Where an arm that guides is trained: the one of translated frames learns from an unguided translator."""
        return self.unguided() if arm == "translated" else self

    def unguided(self) -> "Workspace":
        """The same experiment with a translator that nothing guides, in a folder of its own."""
        experiment = self.experiment.model_copy(update={"translator": self.experiment.translator.unguided()})
        return Workspace(experiment, self.data, self.stage_one / UNGUIDED, self.shared)

    def segmenter_inputs(self, seed: int, arm: str) -> dict[str, Any]:
        """What decides an arm's outcome: the settings, the frames of the shares it uses, its seed."""
        shares = arm_shares(self.experiment, arm)
        used: dict[str, Any] = {}
        if shares["source"] > 0:
            used["source"] = self.fingerprint(self.labelled_source)
        if shares["target"] > 0:
            used["target"] = self.fingerprint(self.target_labels(seed, arm))
        if shares["translated"] > 0:
            used |= self.translation_inputs(seed)
        segmenter = self.experiment.segmenter
        if segmenter.style_from_target > 0 and shares["target"] < 1:
            used["style"] = self.fingerprint(self.target)
        settings = segmenter.model_dump(mode="json") | {"shares": shares}
        settings["encoder_weights"] = self._encoder_weights(segmenter.encoder_weights)
        if shares["translated"] == 0:  # what only concerns translated frames
            settings = {
                k: v for k, v in settings.items() if k not in ("least_label_consistency", "weigh_by_consistency")
            }
        return {"stage": "segmenter", "seed": seed, "settings": settings, "frames": used}

    def _encoder_weights(self, source: str | None) -> str | None:
        """The hash of the file that an encoder starts from. The names of torchvision's files hold theirs already."""
        if source is None or source == "torchvision":
            return source
        if not Path(source).is_file():
            raise UserError(
                f"segmenter.encoder_weights: {source} does not exist; give a file of weights, or leave it out for "
                "random ones"
            )
        return self._hashes.of(Path(source))

    def translator_seed(self, seed: int) -> int:
        """The seed of the translator that serves `seed`."""
        return self.experiment.compare.seeds[0] if self.experiment.compare.one_translator else seed

    def translation_inputs(self, seed: int) -> dict[str, Any]:
        """What decides the translated frames."""
        return {
            "translator": self.translator_inputs(self.translator_seed(seed)),
            "translation": self.experiment.translation.model_dump(mode="json"),
        }

    def report_inputs(self) -> dict[str, Any]:
        """What decides the report: every arm's inputs and the frames that it is evaluated on."""
        arms = {
            f"{seed}/{arm}": self.segmenter_inputs(seed, arm) for seed in self.experiment.compare.seeds for arm in ARMS
        }
        return {"stage": "report", "arms": arms, "validation": self.fingerprint(self.validation)}


def _only_labelled(sets: Sequence[FrameSet]) -> list[FrameSet]:
    """The labelled frames of each set; sets without any are left out."""
    return [labelled for labelled in (frames.only_labelled() for frames in sets) if len(labelled)]


def arm_shares(experiment: Experiment, arm: str) -> dict[str, float]:
    """Of what an arm's batches are made: source frames, the experiment's mixture, or real labelled frames."""
    alone = {"source_only": "source", "oracle": "target", "few_labels": "target"}
    if arm in alone:
        return {name: float(name == alone[arm]) for name in ("translated", "source", "target")}
    return experiment.segmenter.shares.model_dump()


class HashCache:
    """SHA-256 of files, computed again only where size, times or inode say that a file may have changed.

    The inode's change time counts too, and it cannot be set back by `touch`, `cp -p` or `git checkout`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._read()
        self._changed = False

    def of(self, file: Path) -> str:
        """The file's hash."""
        with storage_errors(file):
            stat = file.stat()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(str(file))
        if known is None or known[:-1] != state:
            known = [*state, sha256_of(file)]
            self._known[str(file)] = known
            self._changed = True
        return known[-1]

    def _read(self) -> dict[str, list[Any]]:
        """What was kept. It is a cache: whatever of it cannot be used is computed again."""
        try:
            known = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        entries = known.items() if isinstance(known, dict) else ()
        return {file: entry for file, entry in entries if isinstance(entry, list) and len(entry) == 5}

    def save(self) -> None:
        """Keep what was computed, if anything was."""
        if self._changed:
            write_atomically(self.path, json.dumps(self._known).encode())
            self._changed = False

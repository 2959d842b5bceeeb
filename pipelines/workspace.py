"""An experiment at work: its frames opened, their content known by hash, and where each stage puts its output.

RUN/frames/...               what toy world drew, where the experiment uses it
RUN/seed-S/translator/       run folder
RUN/seed-S/translated/       data set: the labelled source frames, translated
RUN/seed-S/ARM/              run folder of a segmenter; ARM is source_only, translated_net or oracle
RUN/results.json results.md report.html
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.config import AnyFrameSetSettings, Experiment
from pipelines.data.drawn import ToyWorldSettings
from pipelines.data.files import sha256_of, storage_errors, write_atomically
from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.errors import NoInputsError
from pipelines.progress import Progress

ARMS = ("source_only", "translated", "oracle")


class Workspace:
    """One experiment, the data folder, and the folder that everything is written to."""

    def __init__(self, experiment: Experiment, data: Path, run: Path) -> None:
        self.experiment, self.data, self.run = experiment, data, run
        self._hashes = HashCache(run / ".hashes.json")

    def translator(self, seed: int) -> Path:
        """Run folder of the translator that serves `seed`."""
        first = self.experiment.compare.seeds[0]
        return self.run / f"seed-{first if self.experiment.compare.one_translator else seed}" / "translator"

    def translated(self, seed: int) -> Path:
        """The translated data set that serves `seed`."""
        return self.translator(seed).parent / "translated"

    def segmenter(self, seed: int, arm: str) -> Path:
        """Run folder of one arm's segmenter."""
        return self.run / f"seed-{seed}" / ("translated_net" if arm == "translated" else arm)

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
        output = self.run / "frames"
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
        """What decides the translator's outcome: its settings, its frames, its seed."""
        return {
            "stage": "translator",
            "seed": seed,
            "settings": self.experiment.translator.model_dump(mode="json"),
            "frames": {"source": self.fingerprint(self.source), "target": self.fingerprint(self.target)},
        }

    def segmenter_inputs(self, seed: int, arm: str) -> dict[str, Any]:
        """What decides an arm's outcome: the settings, the frames of the shares it uses, its seed."""
        shares = arm_shares(self.experiment, arm)
        used: dict[str, Any] = {}
        if shares["source"] > 0:
            used["source"] = self.fingerprint(self.labelled_source)
        if shares["target"] > 0:
            used["target"] = self.fingerprint(self.labelled_target)
        if shares["translated"] > 0:
            used["translator"] = self.translator_inputs(self.translator_seed(seed))
            used["translation"] = self.experiment.translation.model_dump(mode="json")
        settings = self.experiment.segmenter.model_dump(mode="json") | {"shares": shares}
        return {"stage": "segmenter", "seed": seed, "settings": settings, "frames": used}

    def translator_seed(self, seed: int) -> int:
        """The seed of the translator that serves `seed`."""
        return self.experiment.compare.seeds[0] if self.experiment.compare.one_translator else seed

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
    alone = {"source_only": "source", "oracle": "target"}
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

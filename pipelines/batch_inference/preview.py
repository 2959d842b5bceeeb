"""What a run would do, said before it does it: a dry run reads headers, writes nothing, refuses what the run would."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipelines.batch_inference.folder import ForeignPlanError, Intent, refuse_foreign
from pipelines.batch_inference.plan import PlannedFrame, refuse_touching_inputs, refuse_unwritable_name
from pipelines.batch_inference.record import refuse_strays
from pipelines.batch_inference.shards import Part, candidates
from pipelines.batch_inference.video import refuse_places
from pipelines.data.decoding.headers import Header
from pipelines.data.disk.files import refuse_unwritable, refuse_unwritable_folder, size_in_words
from pipelines.data.disk.manifest import ManifestEntry
from pipelines.data.images import LOSSY, read_file_header
from pipelines.data.video.pieces import encoder_of, refuse_sound
from pipelines.data.video.recorded import VideoFacts, read_facts
from pipelines.errors import ImageError
from pipelines.printable import printable

BYTES_PER_PIXEL = {
    ".png": 1.9, ".apng": 1.9, ".webp": 1.6, ".bmp": 3.0, ".dib": 3.0, ".tif": 2.3, ".tiff": 2.3,
    **dict.fromkeys(LOSSY, 0.45),
}  # fmt: skip
"""Measured on driving frames of 2 megapixels; what is simpler (toy world, label-like pictures) takes less."""
MOST_LISTED = 5


@dataclass(frozen=True)
class Preview:
    """What `preview` found. Sizes are (width, height) in pixels with the number of frames, the most frequent first."""

    frames: int
    listed_as_finished: int
    formats: Mapping[str, int]
    sizes: Sequence[tuple[tuple[int, int], int]]
    unreadable: Sequence[str]
    labels: int
    sidecars: int
    bytes_needed: int
    bytes_free: int
    part: Part | None

    @property
    def lines(self) -> list[str]:
        """For people."""
        formats = ", ".join(f"{count} {suffix}" for suffix, count in sorted(self.formats.items()))
        sizes = ", ".join(f"{count} of {width}x{height}" for (width, height), count in self.sizes[:MOST_LISTED])
        more = len(self.sizes) - MOST_LISTED
        whose = "" if self.part is None else f" in part {self.part}"
        lines = [
            f"{self.frames} frames{whose}: {formats}; {self.listed_as_finished} of them listed as finished",
            f"sizes: {sizes or 'none could be read'}" + (f" and {more} more sizes" if more > 0 else ""),
            f"carried along: {self.labels} label maps, {self.sidecars} other files",
            f"disk: about {size_in_words(self.bytes_needed)} more, {size_in_words(self.bytes_free)} free",
        ]
        lines += [f"would fail: {reason}" for reason in self.unreadable[:MOST_LISTED]]
        if (hidden := len(self.unreadable) - MOST_LISTED) > 0:
            lines.append(f"would fail: {hidden} more")
        return [*lines, "dry run: nothing was written"]


def preview(frames: Sequence[PlannedFrame], output: Path, intent: Intent, part: Part | None = None) -> Preview:
    """Look at every frame's header and at the output folder.

    Args:
        frames: All of them.
        output: Folder of what would be made.
        intent: What that would be.
        part: Look at this part of the frames alone.

    Raises:
        UserError: An output would lie over an input, or the folder holds what the run would refuse.
        StorageError: There can be no such folder, or nothing may be written there.
    """
    refuse_touching_inputs(frames, output)
    frames = sorted(frames, key=lambda frame: frame.name)
    own = frames if part is None else part.of(frames)
    known = _carried_on(frames, output, intent)
    refuse_unwritable_folder(output)
    with ThreadPoolExecutor(4) as pool:
        headers = list(pool.map(_header, own))
    readable = [(frame, header) for frame, header in zip(own, headers, strict=True) if isinstance(header, Header)]
    needed = sum(
        header.width * header.height * BYTES_PER_PIXEL[frame.output_image.suffix.lower()]
        for frame, header in readable
        if str(frame.output_image) not in known
    )
    return Preview(
        frames=len(own),
        listed_as_finished=sum(str(frame.output_image) in known for frame in own),
        formats=Counter(frame.output_image.suffix.lower() for frame in own),
        sizes=Counter(header.shown_size for _, header in readable).most_common(),
        unreadable=[header for header in headers if isinstance(header, str)],
        labels=sum(frame.label is not None for frame in own),
        sidecars=sum(len(frame.sidecars) for frame in own),
        bytes_needed=round(needed),
        bytes_free=shutil.disk_usage(_existing(output)).free,
        part=part,
    )


def _carried_on(frames: Sequence[PlannedFrame], output: Path, intent: Intent) -> Mapping[str, Sequence[ManifestEntry]]:
    """By image, what is noted in the folder and would be carried on."""
    try:
        refuse_foreign(output, intent)
        known = candidates(output) if output.is_dir() else {}
        refuse_strays(known, frames, output)
    except ForeignPlanError:
        if not intent.restart:
            raise
        return {}
    return known


def _header(frame: PlannedFrame) -> Header | str:
    try:
        refuse_unwritable_name(frame)
        return read_file_header(frame.image)
    except ImageError as error:
        return printable(str(error))


def _existing(path: Path) -> Path:
    """The path itself or the nearest folder above it that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def describe_video(source: Path, output: Path) -> Sequence[str]:
    """What a dry run says of a video. It does not read one that is there, to know whether that would be left alone.

    Raises:
        ImageError, UserError, StorageError: As `make_video`, which decodes nothing before.
    """
    facts: VideoFacts = read_facts(source)
    encoder, options = encoder_of(output)
    refuse_places(source, output)
    refuse_sound(source, output)
    refuse_unwritable(output)
    there = [f"{output} exists: left alone if it is what would be made, else refused, or set aside by --restart"]
    return (
        f"{len(facts)} frames of {facts.width}x{facts.height} at {float(facts.rate):.3f} per second",
        f"written with {encoder} ({', '.join(f'{key} {value}' for key, value in options.items())})",
        *(there if output.exists() else ()),
        "dry run: nothing was written",
    )

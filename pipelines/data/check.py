"""A look at every file of a data set before hours of training depend on it.

Reads all images and labels, goes on past bad ones, and says what is there and what is wrong. Labels that are valid and
wrong, for they are read by the wrong reader, order or release, are known by what they show: no street, no road at the
pictures' bottom (`labels/classless.py`, `labels/carla_release.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.data.disk.files import sha256_of
from pipelines.data.frames import FrameSet
from pipelines.data.images import read_image
from pipelines.data.labels.carla_release import StoredValues, remark_on_release
from pipelines.data.labels.classless import likelier_readers
from pipelines.data.labels.encodings import IGNORE, LabelEncoding
from pipelines.data.readers.layout import Frame
from pipelines.errors import ImageError, StorageError
from segment.classes import CLASS_NAMES

SHOWN_DRIVES = 5
LISTED = 20
"""Lines shown of each kind of trouble; the count is of all."""


@dataclass
class SetReport:
    """What `check_frame_set` found. Sizes are (width, height); troubles are one-line messages that name the file."""

    name: str
    root: Path
    frames: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    class_pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    unreadable: list[str] = field(default_factory=list)
    unknown_values: list[str] = field(default_factory=list)
    size_mismatches: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    reading_doubts: list[str] = field(default_factory=list)
    images_without_labels: list[str] = field(default_factory=list)
    labels_without_images: list[str] = field(default_factory=list)
    single_colour: list[str] = field(default_factory=list)
    all_ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drives: int = 0
    drives_known: bool = False
    """Whether the names of all frames tell their drives; else consecutive frames are taken to be of one."""
    left_out: int = 0
    """Frames that the settings pass over."""
    leaves_out: bool = False
    """Whether frames that cannot be used are left out (the set's `bad_frames`)."""
    bad_frames: set[str] = field(default_factory=set)
    """The names of those that cannot."""

    @property
    def ok(self) -> bool:
        """Whether every frame can be used, or is to be left out, and the labels make sense. What is merely unpaired or
        odd is reported only.
        """
        usable = len(self.bad_frames) < self.frames if self.leaves_out else not self.bad_frames
        return usable and not (self.changed or self.reading_doubts or self.without_class)

    @property
    def without_class(self) -> bool:
        """Whether there are label maps, and no pixel of them has a class."""
        return bool(self.class_pixels.any()) and not self.class_pixels[: len(CLASS_NAMES)].any()

    @property
    def class_shares(self) -> dict[str, float]:
        """Share of each class among all labelled pixels that are not ignored."""
        counts = self.class_pixels[: len(CLASS_NAMES)]
        return dict(zip(CLASS_NAMES, (counts / max(counts.sum(), 1)).tolist(), strict=True))

    @property
    def ignored_share(self) -> float:
        """Share of ignored pixels among all pixels of the label maps."""
        return float(self.class_pixels[IGNORE] / max(self.class_pixels.sum(), 1))


def check_frame_set(frame_set: FrameSet, progress: Callable[[int], None] | None = None) -> SetReport:
    """Read every frame of a set; never stops at a bad file.

    Args:
        frame_set: The set.
        progress: Called with the number of frames done.
    """
    report = SetReport(
        frame_set.name,
        frame_set.root,
        len(frame_set),
        notes=list(frame_set.notes),
        leaves_out=frame_set.bad_frames == "leave_out",
    )
    report.drives, report.left_out = len(set(frame_set.drives)), frame_set.left_out
    report.drives_known = all(frame.drive is not None for frame in frame_set.frames)
    report.labels_without_images = [str(path) for path in frame_set.unpaired_labels]
    seen: dict[LabelEncoding, StoredValues] = {}
    for done, frame in enumerate(frame_set.frames, 1):
        size = _check_image(frame, report)
        if frame.label is None or frame.encoding is None:
            report.images_without_labels.append(frame.name)
        else:
            _check_label(frame, frame.label, frame.encoding, size, seen, report)
        _check_hashes(frame, report)
        if progress:
            progress(done)
    for encoding, values in seen.items():
        remark = remark_on_release(encoding, values) if encoding.description["reader"] == "carla" else None
        if remark is not None:
            (report.reading_doubts if remark.is_doubt else report.notes).append(remark.text)
    if not report.reading_doubts and (likelier := likelier_readers(frame_set)):
        report.reading_doubts.append(
            f"as read, label maps show no street with road at the bottom; with {' or '.join(likelier)} they do"
        )
    return report


def shared_drives(evaluated: FrameSet, before: FrameSet) -> list[str]:
    """The drives that both sets have frames of, as far as names tell; and the frames that are in both.

    A network that is scored on neighbours of what it learnt from is scored too high.
    """
    learnt = {key for frame in before.frames for key in _origins(before, frame)}
    shared = {frame.drive or frame.name: None for frame in evaluated.frames if learnt & _origins(evaluated, frame)}
    return list(shared)


def _origins(frames: FrameSet, frame: Frame) -> set[tuple[Path, str]]:
    """What a frame has in common with its neighbours, and with itself in another set."""
    image = frame.image.resolve()  # of a link, what it leads to
    origins = {(image.parent, image.name)}
    return origins if frame.drive is None else origins | {(frames.root.resolve(), f"drive {frame.drive}")}


def describe_shared_drives(evaluated: FrameSet, before: FrameSet, part: str) -> str | None:
    """A warning of `shared_drives`, in one line; None where there are none."""
    shared = shared_drives(evaluated, before)
    if not shared:
        return None
    more = f" and {len(shared) - SHOWN_DRIVES} more" if len(shared) > SHOWN_DRIVES else ""
    return (
        f"WARNING: {evaluated.name} shares {len(shared)} {'drive' if len(shared) == 1 else 'drives'} with {part} "
        f"{before.name} ({', '.join(shared[:SHOWN_DRIVES])}{more}): scores on what is learnt from are too high; "
        "choose frames of other drives for one of the two"
    )


def _check_image(frame: Frame, report: SetReport) -> tuple[int, int] | None:
    try:
        image = read_image(frame.image)
    except ImageError as error:
        report.unreadable.append(str(error))
        report.bad_frames.add(frame.name)
        return None
    size = image.shape[1], image.shape[0]
    report.sizes[size] += 1
    if (image == image[0, 0]).all():
        report.single_colour.append(str(frame.image))
    return size


def _check_label(
    frame: Frame,
    label: Path,
    encoding: LabelEncoding,
    size: tuple[int, int] | None,
    seen: dict[LabelEncoding, StoredValues],
    report: SetReport,
) -> None:
    try:
        stored = encoding.stored(label)
    except ImageError as error:
        report.unreadable.append(str(error))
        report.bad_frames.add(frame.name)
        return
    seen.setdefault(encoding, StoredValues()).add(stored)
    height, width = stored.shape[:2]
    if size is not None and size != (width, height):
        report.bad_frames.add(frame.name)
        report.size_mismatches.append(f"{label}: {width}x{height}, its image {frame.image} is {size[0]}x{size[1]}")
    try:
        label_map = encoding.to_train_ids(stored, label)
    except ImageError as error:
        report.unknown_values.append(str(error))
        report.bad_frames.add(frame.name)
        return
    report.class_pixels += np.bincount(label_map.ravel(), minlength=256)
    if (label_map == IGNORE).all():
        report.all_ignored.append(str(label))


def _check_hashes(frame: Frame, report: SetReport) -> None:
    """Whether the files are those that the set's manifest speaks of, where it has one."""
    for file, noted in ((frame.image, frame.image_sha256), (frame.label, frame.label_sha256)):
        if file is None or noted is None:
            continue
        try:
            if sha256_of(file) != noted:
                report.changed.append(str(file))
        except StorageError:
            report.changed.append(f"{file} is not there or cannot be read")


# --- for people ----------------------------------------------------------------------------------


def format_report(report: SetReport) -> str:
    """The report as lines of text, for a terminal."""
    labels = report.frames - len(report.images_without_labels)
    lines = [
        f"{report.name}: {'ok' if report.ok else 'NOT OK'}",
        f"  folder  {report.root}",
        f"  frames  {report.frames}, of which {labels} with labels{_left_out(report)}",
        f"  drives  {report.drives}{'' if report.drives_known else ' (stretches of consecutive frames)'}",
        "  sizes   " + ", ".join(f"{w}x{h} ({count})" for (w, h), count in report.sizes.most_common(LISTED)),
    ]
    lines += _section("cannot be read", report.unreadable)
    lines += _section("hold unknown values", report.unknown_values)
    lines += _section("differ in size from their image", report.size_mismatches)
    lines += _section("are not what the set's manifest was written of", report.changed)
    lines += _section("setting in doubt", report.reading_doubts)
    if labels:
        lines += _section("images without label", report.images_without_labels)
    lines += _section("labels without image", report.labels_without_images)
    lines += _section("images of a single colour", report.single_colour)
    lines += _section("labels with nothing but ignored pixels", report.all_ignored)
    if report.without_class:
        lines += [
            "  no label map shows a class: there is nothing to learn from or to score by",
            '    Change how they are read, or use the images alone (labels = "")',
        ]
    if report.bad_frames and report.leaves_out:
        lines.append(f"  frames that are left out (bad_frames): {len(report.bad_frames)}, as said above")
    elif report.bad_frames:
        lines.append(
            f"  frames that cannot be used: {len(report.bad_frames)}; the set is refused with them "
            '(bad_frames = "leave_out" leaves them out)'
        )
    lines += _section("notes", report.notes)
    if report.class_pixels.any():
        lines.append("  classes, as shares of the labelled pixels")
        lines += [f"    {name:<14}{share:9.3%}" for name, share in report.class_shares.items()]
        lines.append(f"    ignored, of all pixels: {report.ignored_share:.3%}")
    return "\n".join(lines)


def _left_out(report: SetReport) -> str:
    return f"; {report.left_out} left out by the settings" if report.left_out else ""


def _section(title: str, items: Iterable[str]) -> list[str]:
    entries = list(items)
    if not entries:
        return []
    rest = [f"    and {len(entries) - LISTED} more"] if len(entries) > LISTED else []
    return [f"  {title} ({len(entries)})", *(f"    {entry}" for entry in entries[:LISTED]), *rest]

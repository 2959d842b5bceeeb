"""What `sim2real translate run` was given as input, and the frames that it means.

A folder tree, a data set with label maps, a list file, or one image. (A video is one file and has a stage of its own.)
Nothing is written here, and no network is needed.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipelines.batch_inference.plan import (
    PlannedFrame,
    plan_image,
    plan_listing,
    plan_set,
    with_sidecars,
)
from pipelines.data.frames import AnyFrameSetSettings, open_frame_set
from pipelines.data.images import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from pipelines.data.video.formats import is_video
from pipelines.errors import UserError
from pipelines.settings import explain


def plan_input(
    source: Path,
    output: Path,
    reader: str = "folder",
    reader_settings: Sequence[str] = (),
    suffix: str | None = None,
    carry: Sequence[str] = (),
) -> tuple[list[PlannedFrame], dict[str, int]]:
    """The frames of an input, and for each pattern of `carry` how many of them have no such file.

    Args:
        source: A folder, a data set's root, a list file or an image.
        output: Gets the same tree.
        reader: "folder", or the data set's kind.
        reader_settings: KEY=VALUE settings of the reader, such as "version=0.9.14".
        suffix: Format of all images written, such as ".png"; None: each keeps its own.
        carry: Patterns of files that go along with each frame, such as "instance/{name}.png".

    Raises:
        UserError: The input cannot be read as what it is said to be, or two files would get one name.
        NoInputsError: It holds no frame.
    """
    if source.is_dir():
        settings = {"reader": reader, "name": source.resolve().name or "root", "root": "."}
        frame_set = open_frame_set(_reader_settings(settings, _pairs(reader_settings)), source)
        frames, root = plan_set(frame_set, output, suffix), source
    else:
        if reader != "folder" or reader_settings:
            raise UserError(f"--input {source} is not a folder; --reader and --frames are for data sets in folders")
        frames, root = _plan_file(source, suffix), source.parent
    return with_sidecars(frames, root, carry)


def _plan_file(source: Path, suffix: str | None) -> list[PlannedFrame]:
    if not source.is_file():
        raise UserError(f"--input {source} is not a folder, and no list file, image or video either")
    if is_video(source):
        raise UserError(f"--input {source}: a video is translated into a video; give --output a name such as out.mp4")
    if source.suffix.lower() in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES):
        return plan_image(source, suffix)
    return plan_listing(source, suffix)


def _reader_settings(settings: dict[str, str], more: dict[str, str]) -> AnyFrameSetSettings:
    for key, option in (("reader", "--reader"), ("root", "--input")):
        if key in more:
            raise UserError(f"--frames {key}={more[key]}: give it as {option}")
    if "bad_frames" in more:
        raise UserError(
            f"--frames bad_frames={more['bad_frames']}: frames that cannot be used are left out and listed here anyway "
            "(exit code 3); leave it out"
        )
    try:
        return TypeAdapter(AnyFrameSetSettings).validate_python(settings | more)
    except ValidationError as error:
        problem = explain(error, AnyFrameSetSettings)
        raise UserError(f"--reader {settings['reader']} with --frames: {problem}") from error


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    wrong = [text for text in settings if "=" not in text]
    if wrong:
        raise UserError(f"--frames {wrong[0]}: expected KEY=VALUE, such as --frames version=0.9.14")
    pairs: dict[str, str] = {}
    for text in settings:
        key, _, value = text.partition("=")
        if key in pairs:
            raise UserError(f"--frames {key} is given as {pairs[key]} and as {value}; give it once")
        pairs[key] = value
    return pairs

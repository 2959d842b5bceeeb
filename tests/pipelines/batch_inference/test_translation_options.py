"""What of a translation's options is part of its identity, and which contradict each other."""

import pytest

from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.translation_options import TranslationOptions
from pipelines.errors import UserError

USUAL = {"computation": 2, "direction": "source_to_target"}


def test_what_is_as_usual_is_not_told():
    """So that folders made before an option came are still known."""
    assert TranslationOptions().identity == USUAL


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"direction": "target_to_source"}, {"direction": "target_to_source"}),
        ({"tile": 256}, {"tile": 256}),
        ({"fast": True, "runtime": "openvino"}, {"fast": True, "runtime": "openvino"}),
        ({"style_seed": 3}, {"style_seed": 3}),
    ],
)
def test_what_changes_the_result_is_told(options, told):
    assert TranslationOptions(**options).identity == USUAL | told


def test_what_the_folder_is_told_otherwise_or_changes_nothing_is_not_told():
    """Height, size, batch and quality are of `translate_frames`; a part makes the frames that a whole run makes."""
    options = TranslationOptions(height=64, batch_size=4, quality=80, part=Part(1, 2))
    assert options.identity == TranslationOptions(size=(8, 4)).identity == USUAL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 64, "size": (128, 64)}, "--height and --size: give one of them"),
        ({"tile": 256, "runtime": "openvino"}, "--tile: OpenVINO takes frames whole; use --runtime torch"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        TranslationOptions(**options)

"""`segment predict` and `segment stream` offer the same segmenters, in the same words."""

from pathlib import Path

import pytest

from pipelines.commands.segment.predict import segment_predict
from pipelines.commands.segmenter_options import TypedSegmenter
from pipelines.commands.stream import segment_stream
from pipelines.errors import UserError


def test_both_commands_have_them_in_the_same_words():
    """But for --labels, which stand beside overlays or in their place."""
    ours, theirs = ({option.name: option.help for option in one.params} for one in (segment_predict, segment_stream))
    shared = set(TypedSegmenter.__dataclass_fields__)
    assert shared <= ours.keys() & theirs.keys()
    assert {name for name in shared if ours[name] != theirs[name]} == {"labels"}


def test_weights_are_one_for_each_checkpoint():
    with pytest.raises(UserError, match="--weights holds 2 for 1 --checkpoint"):
        TypedSegmenter((Path("a"),), (1.0, 2.0), False, None, None, None, False)

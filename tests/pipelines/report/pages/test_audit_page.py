"""The page of an audit: its words and its numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pipelines.report.pages.audit_page import (
    Audit,
    AuditedFrame,
    AuditPicture,
    headline,
    render_audit,
    sentences,
    sorted_scores,
    thresholds,
    worst_first,
)
from pipelines.report.pictures import painting
from segment.classes import CLASS_NAMES
from tests.pipelines.report.conftest import street, street_labels
from translate.quality.consistency import Flip

SKY, TREE, ROAD = 10, 8, 0


def audited(name, score, source=0.6):
    return AuditedFrame(name, score, source, 0.8, [Flip(SKY, TREE, 0.5, 0.05)] if score < 0.4 else [])


def shown(frame, seed):
    label = street_labels(seed)
    seen = label.copy()
    seen[label == SKY] = TREE
    return AuditPicture(frame, street(seed), street(seed, 0.7), label, seen, label)


@pytest.fixture
def audit():
    frames = [audited(f"game/{number:03d}", 0.2 + number / 20) for number in range(10)]
    return Audit(
        folder="translated",
        expert="ddrnet23_slim@0f3a9c12",
        frames=frames,
        flips=[Flip(SKY, TREE, 0.42, 0.02), Flip(ROAD, 1, 0.15, 0.08)],
        titles=dict(enumerate(CLASS_NAMES)),
        scored=[ROAD, TREE, SKY],
        with_sources=True,
        command="sim2real translate audit toyworld.toml",
        date="2026-11-21",
        machine="2 threads",
        lowest=[shown(frames[0], 1), shown(frames[1], 2)],
        lost=[shown(frames[2], 3)],
    )


def test_classes_that_count_as_one_have_one_colour_and_one_name(audit):
    """A pole that the label calls a sign is painted like the sign that the expert sees."""
    pole, sign = CLASS_NAMES.index("pole"), CLASS_NAMES.index("traffic sign")
    (one, *_) = audit.lowest
    seen = replace(one, label=np.full_like(one.seen, sign), seen=np.full_like(one.seen, pole))
    page = render_audit(replace(audit, lowest=[seen], lost=[], groups=[[pole, sign]]))
    assert page.count(painting(seen.seen)) == 2 and painting(seen.label) not in page
    assert "pole + traffic sign</li>" in page and '<li><i style="background:#dcdc00"' not in page


def test_the_headline_names_the_worst_flip(audit):
    assert headline(audit) == "40 % of sky turned into vegetation in translation."
    assert headline(replace(audit, flips=[])) == "No class lost more than 5 % of its pixels to another in translation."
    unknown = replace(audit, with_sources=False)
    assert "mean IoU of 0.425" in headline(unknown) and "own mistakes" in sentences(unknown)[0]
    none = replace(audit, frames=[audited("a", math.nan)])
    assert headline(none).startswith("No frame could be scored")


def test_what_a_threshold_leaves_out(audit):
    """Scores of 0.2, 0.25, ..., 0.65: below 0.3 are two; a frame without a score is left out by every threshold."""
    assert audit.below(0.3) == 2 and audit.mean("label_consistency") == pytest.approx(0.425)
    assert dict(thresholds(audit))[0.3] == 2 and min(dict(thresholds(audit))) == 0.25
    assert replace(audit, frames=[*audit.frames, audited("x", math.nan)]).below(0.3) == 3


def test_frames_without_a_score_come_last_and_are_not_counted_beside_a_mean(audit):
    """Of 13 frames one has no score, and another's source has none."""
    alone = audited("alone", 0.9, math.nan)
    frames = [audited("b", math.nan), *reversed(audit.frames[1:]), alone, audited("a", 0.25), audited("c", 0.25)]
    mixed = replace(audit, frames=frames)
    assert [frame.name for frame in worst_first(mixed)][:3] == ["a", "c", "game/001"]
    assert [frame.name for frame in worst_first(mixed)][-2:] == ["alone", "b"]
    assert mixed.frames_in_words() == "12 frames; 1 has no score" and audit.frames_in_words() == "10 frames"
    page = render_audit(mixed)
    assert "mean of 12 frames; 1 has no score" in page and "All 13 frames, the worst first" in page
    listed = page[page.index("the worst first") : page.index('id="worst"')]
    order = [listed.index(f"<bdi>{name}</bdi>") for name in ("a", "c", "game/001", "game/009", "alone", "b")]
    assert order == sorted(order)
    # 0.25 twice, and game/001 to game/007 with 0.25 to 0.55, lie below their sources' 0.6; game/008 has 0.6 itself.
    assert "; 9 of 11 frames that have both scores lost." in sentences(mixed)[0]


def test_without_flips_the_page_names_sources_only_where_there_are_some(audit):
    none = replace(audit, flips=[])
    assert "recognised in the sources lost more than 5 %" in render_audit(none)
    bare = render_audit(replace(none, with_sources=False, lowest=[], lost=[]))
    assert "recognised in the sources" not in bare and "for another class in more than 5 % of them." in bare


def test_scores_are_drawn_from_worst_to_best(audit):
    translated, source = sorted_scores(replace(audit, frames=audit.frames[::-1]))
    assert translated.points[0] == (1, 0.2) and translated.points[-1] == (10, 0.65) and source.points[0] == (1, 0.6)


def test_the_page_holds_the_numbers(audit):
    page = render_audit(audit)
    for text in ("game/000", "ddrnet23_slim@0f3a9c12", "sky → vegetation", "45 %", "Frames left out", "2026-11-21"):
        assert text in page
    assert page.count("data:image/png") == 3 * 3


def test_a_page_without_sources_labels_or_pictures_is_whole(audit):
    bare = AuditPicture(audit.frames[0], None, street(1), None, street_labels(1), None)
    page = render_audit(replace(audit, with_sources=False, lowest=[bare], lost=[]))
    assert page.count("<figure>") == 2
    assert "none is the worst" in render_audit(replace(audit, frames=[audited("a", math.nan)], lowest=[], lost=[]))

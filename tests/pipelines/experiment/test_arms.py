"""The arms: the frames they learn from, who adapts, and what they and what they do are called."""

import pytest

from pipelines.experiment.arms import ARMS, COMPARED, few_labels_name, names, titles, what_closes_the_gap
from pipelines.experiment.identity import segmenter_inputs
from pipelines.experiment.segmenters import SegmenterSettings

MIXED = SegmenterSettings(shares={"translated": 0.7, "target": 0.3})


def test_shares():
    assert ARMS["source_only"].shares(MIXED) == {"translated": 0.0, "source": 1.0, "target": 0.0}
    assert ARMS["oracle"].shares(MIXED) == {"translated": 0.0, "source": 0.0, "target": 1.0}
    assert ARMS["few_labels"].shares(MIXED) == ARMS["oracle"].shares(MIXED)
    assert ARMS["translated"].shares(MIXED) == {"translated": 0.7, "source": 0.0, "target": 0.3}


def test_the_reference_arms_never_adapt():
    adapting = SegmenterSettings(adaptation={"method": "duda"}, initial="source_only", teachers=("oracle",))
    for name in ("source_only", "oracle", "few_labels"):
        assert ARMS[name].settings(adapting) == SegmenterSettings()
    assert ARMS["translated"].settings(adapting) == adapting


def test_adaptation_changes_the_identity_of_the_adapted_arm_alone(make_workspace):
    plain, adapted = make_workspace(), make_workspace('segmenter.adaptation={method = "maxsquare"}')
    for arm in ("source_only", "oracle"):
        assert segmenter_inputs(plain, 0, arm) == segmenter_inputs(adapted, 0, arm)
    before, after = (segmenter_inputs(one, 0, "translated") for one in (plain, adapted))
    assert before != after and after["settings"]["adaptation"]["method"] == "maxsquare"
    assert after["frames"].keys() - before["frames"].keys() == {"adaptation"}


@pytest.mark.parametrize(
    ("settings", "title", "name", "act"),
    [
        ({}, "Translated", "translated", "Translation"),
        ({"shares": {"translated": 0.5, "source": 0.5}}, "Translated", "translated", "Translation"),
        ({"shares": {"translated": 0, "source": 0.5, "target": 0.5}}, "Mixed", "mixed", "The mixture"),
        (
            {"adaptation": {"method": "dacs"}},
            "Translated + DACS",
            "translated + DACS",
            "Translation with adaptation by DACS",
        ),
        (
            {"adaptation": {"method": "adaptsegnet"}, "shares": {"translated": 0, "source": 1}},
            "AdaptSegNet",
            "AdaptSegNet",
            "Adaptation by AdaptSegNet",
        ),
        (
            {"adaptation": {"method": "dacs", "feature_norm": {}}, "shares": {"translated": 0, "source": 1}},
            "DACS + feature norm",
            "DACS + feature norm",
            "Adaptation by DACS + feature norm",
        ),
    ],
)
def test_titles_and_sentences_follow_the_arm(settings, title, name, act):
    record = SegmenterSettings(**settings).model_dump(mode="json")
    assert titles(record) == {"source_only": "Source-only", "translated": title, "oracle": "Oracle"}
    assert what_closes_the_gap(record) == act
    assert names(record) == {"source_only": "source-only", "translated": name, "oracle": "oracle"}
    assert tuple(titles({})) == COMPARED and titles({})["translated"] == "Translated"


def test_networks_of_few_labels_are_called_by_their_number():
    assert few_labels_name(2) == "few_labels_2" and few_labels_name(0) == "few_labels_all"

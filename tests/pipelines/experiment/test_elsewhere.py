"""What is named from elsewhere is looked up before anything is trained: there, of the right stage, and fitting."""

import pytest

from pipelines.errors import CheckpointError
from pipelines.experiment.elsewhere import segmenter_elsewhere, translator_elsewhere


def test_a_run_of_the_right_kind_is_its_newest_checkpoint(tiny_run, make_workspace):
    settings = make_workspace().experiment.translator
    oracle, translator = (str(tiny_run / "seed-0" / name) for name in ("oracle", "translator"))
    assert segmenter_elsewhere("s", oracle, "ddrnet23_slim").name == "step-00000003"
    assert translator_elsewhere("s", translator, settings).name == "step-00000004"


@pytest.mark.parametrize(
    ("find", "run", "said"),
    [
        (segmenter_elsewhere, "translator", "checkpoints/step-00000004 is a translator, expected a segmenter$"),
        (translator_elsewhere, "oracle", "checkpoints/step-00000003 is a segmenter, expected a translator$"),
        (segmenter_elsewhere, "nowhere", "nowhere does not exist; give a run folder or one of its"),
        (translator_elsewhere, "nowhere", "nowhere does not exist; give a run folder or one of its"),
    ],
)
def test_another_kind_is_refused_by_the_setting_that_names_it(tiny_run, find, run, said):
    with pytest.raises(CheckpointError, match=f"^a.setting: .*{said}"):
        find("a.setting", str(tiny_run / "seed-0" / run))


def test_another_network_is_refused(tiny_run, make_workspace):
    run = tiny_run / "seed-0"
    with pytest.raises(CheckpointError, match=r"^s: .* is a ddrnet23_slim, whose weights do not fit lraspp; name one"):
        segmenter_elsewhere("s", str(run / "oracle"), "lraspp")
    other = make_workspace("translator.generator_channels=8").experiment.translator
    with pytest.raises(CheckpointError, match=r"^s: .* is another network: generator_channels is 4 there and 8 here"):
        translator_elsewhere("s", str(run / "translator"), other)
    another_method = make_workspace('translator={ method = "cut", generator_channels = 8 }').experiment.translator
    assert translator_elsewhere("s", str(run / "translator"), another_method)  # its generator may well begin so

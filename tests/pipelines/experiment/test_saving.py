"""When a training saves and what it keeps: one table for both stages."""

import pytest
from pydantic import ValidationError

from pipelines.engine.checkpoint_files import NEWEST_TWO, Retention
from pipelines.experiment.saving import RETENTION, Saving
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.translators import TRAININGS
from pipelines.settings import explain


def test_the_newest_two_are_kept_unless_asked_otherwise():
    assert Saving().retention == NEWEST_TWO == Retention(newest=2, every=None)
    asked = Saving(checkpoint_every=50, keep_checkpoints=3, keep_checkpoint_every=200)
    assert asked.retention == Retention(newest=3, every=200)


@pytest.mark.parametrize("method", [None, *TRAININGS])
def test_every_training_has_them_and_keeps_nothing_that_is_never_saved(method):
    model, named = (TRAININGS[method], {"method": method}) if method else (SegmenterSettings, {})
    assert set(model.model_fields) >= RETENTION
    with pytest.raises(ValidationError) as caught:
        model(**named, checkpoint_every=500, keep_checkpoint_every=700)
    told = explain(caught.value, model)
    assert "keep_checkpoint_every is 700 and checkpoint_every 500; set it to a multiple" in told and "\n" not in told


@pytest.mark.parametrize("change", [{"keep_checkpoints": 0}, {"keep_checkpoint_every": 0}])
def test_none_at_all_is_refused(change):
    with pytest.raises(ValidationError, match="greater than 0"):
        Saving(**change)

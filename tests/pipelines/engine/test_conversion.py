"""Foreign converters fail in one line of ours."""

import logging
import warnings

import pytest

from pipelines.engine.conversion import converting, free_sides
from pipelines.errors import UserError

pytestmark = pytest.mark.runtimes


def test_a_failure_is_one_line():
    with (
        pytest.raises(UserError, match=r"^the network cannot be converted to ONNX: no such operator$"),
        converting("ONNX"),
    ):
        raise RuntimeError("\nno such operator\nat line 5\nat line 6")


def test_a_failure_without_words_has_its_kind():
    with pytest.raises(UserError, match="StopIteration"), converting("ONNX"):
        raise StopIteration


def test_our_own_refusals_pass():
    with pytest.raises(UserError, match=r"^not installed$"), converting("ONNX"):
        raise UserError("not installed")


def test_remarks_are_kept_from_people(caplog):
    with warnings.catch_warnings(), converting("ONNX"):
        warnings.simplefilter("error")
        logging.getLogger("converter").warning("an inside")
    assert not caplog.records
    logging.getLogger("converter").warning("outside")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("multiple", [1, 8])
def test_sides_that_are_free(multiple):
    assert set(free_sides(multiple)["image"]) == {0, 2, 3}

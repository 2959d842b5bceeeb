"""Names of exports: known by their suffix, and none of a folder."""

import pytest

from pipelines.errors import UserError
from pipelines.stages.export.suffixes import CONVERTED, OF_FEWER_BITS, PLAIN, refuse_unknown_format

FORMATS = r"expected NAME\.onnx, NAME\.xml for OpenVINO, NAME\.pt2 for torch\.export, or of a translator NAME\.pth for"


@pytest.mark.parametrize("name", ["model.engine", "model", "model.ONNX", ".onnx"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=f"^--output .*{name}: {FORMATS}"):
        refuse_unknown_format(tmp_path / name, plain=True)
    for suffix in CONVERTED:
        refuse_unknown_format(tmp_path / f"model{suffix}")


def test_plain_weights_are_known_where_they_are_written(tmp_path):
    refuse_unknown_format(tmp_path / f"model{PLAIN}", plain=True)
    with pytest.raises(UserError, match=FORMATS):
        refuse_unknown_format(tmp_path / f"model{PLAIN}")


@pytest.mark.parametrize("suffix", sorted({*CONVERTED, PLAIN} - {*OF_FEWER_BITS}))
def test_not_every_format_holds_fewer_bits(tmp_path, suffix):
    with pytest.raises(UserError, match=r"half and int8 are for NAME\.onnx and NAME\.xml; choose one of them$"):
        refuse_unknown_format(tmp_path / f"model{suffix}", fewer_bits=True, plain=True)


def test_a_folder_of_that_name_is_refused(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(UserError, match=r"^--output .*model\.onnx is a folder; give the export a name of its own$"):
        refuse_unknown_format(tmp_path / "model.onnx")

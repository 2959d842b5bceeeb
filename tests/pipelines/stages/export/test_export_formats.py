"""Writing a network for other runtimes: as it computes, whole, or not at all; here one of two numbers."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.errors import StorageError, UserError
from pipelines.stages.export import export_formats
from pipelines.stages.export.export_formats import FORMATS, Exportable, write_export
from pipelines.stages.export.suffixes import CONVERTED

pytestmark = pytest.mark.runtimes


class Line(nn.Module):
    """2x + 1 for the red channel of an image."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(2.0), requires_grad=False)

    def forward(self, image):
        return self.slope * image[:, :1] + 1


@dataclasses.dataclass(frozen=True)
class Largest:
    """The largest difference, which may be a hundredth."""

    difference: float

    def check(self, output):
        """Refuse more."""
        if not self.difference <= 0.01:
            raise UserError(f"{output} is not written: it is off by {self.difference:.2f}")


def line(offset=0.0):
    """To be written; judged as if it should compute `offset` more than it does."""
    image = np.linspace(0, 1, 3 * 16 * 32, dtype=np.float32).reshape(1, 3, 16, 32)

    def compare(compute):
        return Largest(float(np.abs(compute(image) - (2 * image[:, :1] + 1 + offset)).max()))

    return Exportable(Line().eval(), "height", torch.rand(2, 3, 16, 24), 8, 8, {"network": "line"}, compare)


def test_a_program_computes_at_any_size_and_says_what_it_is(tmp_path):
    agreement = write_export(line(), tmp_path / "line.pt2")
    assert agreement.difference < 1e-6
    about = {"about.network": ""}
    program = torch.export.load(tmp_path / "line.pt2", extra_files=about).module()
    assert about == {"about.network": "line"}
    assert program(torch.full((3, 3, 40, 16), 0.25)).tolist() == torch.full((3, 1, 40, 16), 1.5).tolist()


def test_what_does_not_agree_is_not_written(tmp_path):
    with pytest.raises(UserError, match=r"line\.pt2 is not written: it is off by 0\.50$"):
        write_export(line(offset=0.5), tmp_path / "line.pt2")
    assert not list(tmp_path.iterdir())


def test_what_agrees_no_more_leaves_what_was_there(tmp_path):
    write_export(line(), tmp_path / "line.pt2")
    before = (tmp_path / "line.pt2").read_bytes()
    with pytest.raises(UserError, match="is not written"):
        write_export(line(offset=0.5), tmp_path / "line.pt2")
    assert (tmp_path / "line.pt2").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_converter_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    def fails(*arguments, **settings):
        raise ValueError("sizes are not free\nfor many reasons")

    monkeypatch.setattr(export_formats.torch.export, "export", fails)
    with pytest.raises(UserError, match=r"converted to a torch.export program: sizes are not free\. Torch computes"):
        write_export(line(), tmp_path / "line.pt2")


@pytest.mark.parametrize(("suffix", "extra"), [("onnx", "export"), ("xml", "openvino")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, suffix, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"is not installed; pip install 'sim2real\[{extra}\]'"):
        write_export(line(), tmp_path / f"line.{suffix}")
    assert not list(tmp_path.iterdir())


def test_an_old_description_is_never_beside_new_weights(tmp_path, monkeypatch):
    """As a kill between the two files would leave them: OpenVINO reads such a pair without a word."""
    pytest.importorskip("openvino", reason="needs the extra `openvino`")
    output, write, written = tmp_path / "line.xml", export_formats.write_atomically, []
    write_export(line(), output)

    def full_at_the_second(path, data):
        if written:
            raise StorageError(f"{path}: cannot write")
        written.append(path.name)
        write(path, data)

    monkeypatch.setattr(export_formats, "write_atomically", full_at_the_second)
    with pytest.raises(StorageError, match=r"line\.xml: cannot write"):
        write_export(line(), output)
    assert written == ["line.bin"] and [path.name for path in tmp_path.iterdir()] == ["line.bin"]


def test_every_suffix_of_a_converted_network_has_what_writes_it():
    assert tuple(FORMATS) == CONVERTED

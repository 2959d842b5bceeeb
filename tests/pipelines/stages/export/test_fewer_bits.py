"""Exports in fewer bits: near the network on frames of the experiment, and faster, or no file."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch

from pipelines.data.frames import open_frame_set
from pipelines.data.images import write_image
from pipelines.data.readers.folder import FolderSettings
from pipelines.errors import NoInputsError, UserError
from pipelines.stages.export import export_segmenter, export_translator, fewer_bits
from pipelines.stages.export.export_formats import write_export
from pipelines.stages.export.export_segmenter import SegmenterParity
from pipelines.stages.export.export_translator import Parity, UnitGenerator
from pipelines.stages.export.fewer_bits import FewerBits, InHalf, Reduced, Reduction, compared
from pipelines.stages.export.suffixes import refuse_unknown_format
from segment.networks.ddrnet import DDRNet
from translate.networks import GENERATORS

pytestmark = pytest.mark.runtimes

NEEDS = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".xml": ("openvino",)}


def if_installed(suffix, *values, extra=()):
    missing = [package for package in (*NEEDS[suffix], *extra) if importlib.util.find_spec(package) is None]
    return pytest.param(
        suffix, *values, marks=pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
    )


def sets(folder, count, size=(24, 16)):
    """Grey frames of (width, height), each lighter than the one before."""
    for index in range(count):
        write_image(folder / f"{index:03d}.png", np.full((size[1], size[0], 3), index, np.uint8))
    return [open_frame_set(FolderSettings(reader="folder", root="."), folder)]


def images(count, height=64, width=96):
    random = torch.Generator().manual_seed(3)
    drawn = torch.rand(count, 1, 3, 5, 7, generator=random)
    return tuple(torch.nn.functional.interpolate(one, (height, width), mode="bilinear").numpy() for one in drawn)


def test_three_of_four_frames_are_learnt_from_and_the_fourth_judges(tmp_path):
    reduction = FewerBits("int8", sets(tmp_path, 9)).reduction(None, 4, 8)
    grey = [
        [round(float(image.max()) * 255) for image in part] for part in (reduction.learnt_from, reduction.judged_on)
    ]
    assert grey == [[0, 1, 2, 4, 5, 6, 8], [3, 7]]
    assert reduction.must_be_faster and reduction.precision == "int8"


def test_many_frames_are_used_evenly_spread(tmp_path):
    reduction = FewerBits("half", sets(tmp_path, 95)).reduction(None, 4, 8)  # 48 of 95: every second
    grey = [round(float(image.max()) * 255) for image in reduction.judged_on]
    assert grey == [*range(6, 95, 8)]


def test_frames_are_as_the_network_sees_them(tmp_path):
    """26x18 at a height of 36 are 52x36; sides that divide by 8 are 48x32."""
    reduction = FewerBits("half", sets(tmp_path, 4, size=(26, 18))).reduction(36, 8, 16)
    (image,) = reduction.judged_on
    assert image.shape == (1, 3, 32, 48) and image.dtype == np.float32


def test_too_few_and_too_small_frames_are_refused(tmp_path):
    with pytest.raises(NoInputsError, match=r"^--frames: 3 frames; int8 needs 4 at least$"):
        FewerBits("int8", sets(tmp_path / "few", 3)).reduction(None, 4, 8)
    with pytest.raises(UserError, match=r"000\.png is 24x12 as .* from 16 on, in multiples of 8; name larger frames$"):
        FewerBits("int8", sets(tmp_path / "small", 4, size=(24, 12))).reduction(None, 8, 16)


AGREES = SegmenterParity(0.99, None, least=0.98)


@pytest.mark.parametrize(("ms", "written"), [(9.5, True), (9.6, False), (float("nan"), False)])
def test_what_is_not_faster_is_refused_unless_it_is_for_elsewhere(tmp_path, ms, written):
    reduced = Reduced("int8", AGREES, ms, 10.0, (96, 64), must_be_faster=True)
    if written:
        reduced.check(tmp_path / "net.onnx")
        assert str(reduced) == "same class at 99.000% of pixels; int8 9.5 ms an image of 96x64, float32 10.0"
        return
    with pytest.raises(
        UserError, match=r"net\.onnx is not written: int8 is not faster on this machine \(.*float32 10.0"
    ):
        reduced.check(tmp_path / "net.onnx")
    dataclasses.replace(reduced, must_be_faster=False).check(tmp_path / "net.onnx")


def test_what_is_too_far_off_is_refused_for_elsewhere_too(tmp_path):
    far = Reduced("int8", SegmenterParity(0.979, None, least=0.98), 1.0, 10.0, (96, 64), must_be_faster=False)
    with pytest.raises(UserError, match=r"to 97\.900% of pixels; 98\.0% are expected"):
        far.check(tmp_path / "net.onnx")
    far = Reduced("half", Parity(9, 1.6, 255, 1.5), 1.0, 10.0, (96, 64), must_be_faster=False)
    with pytest.raises(
        UserError, match=r"9\.000 levels of 255 at most and 1\.6000 in the mean; allowed are 255 and 1\.5"
    ):
        far.check(tmp_path / "net.onnx")


def test_both_are_timed_on_the_first_image_that_judges():
    seen = {"reduced": [], "float32": []}
    reduction = Reduction("half", (), images(2))
    reduced = compared(reduction, AGREES, seen["reduced"].append, seen["float32"].append)
    for calls in seen.values():
        assert len(calls) == fewer_bits.WARMUP + fewer_bits.REPEATS
        assert all(image is reduction.judged_on[0] for image in calls)
    assert reduced.size == (96, 64) and reduced.ms >= 0 and reduced.float32_ms >= 0


def test_half_precision_takes_and_gives_float32():
    """1/3 becomes the nearest float16, 0.333251953125."""
    network = InHalf(torch.nn.Conv2d(3, 1, 1, bias=False).requires_grad_(False))
    network.network.weight.fill_(1 / 3)
    result = network(torch.ones(1, 3, 1, 1) * torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
    assert result.dtype == torch.float32 and result.item() == 0.333251953125


class Reddest(torch.nn.Module):
    """Whether red is the strongest colour: a label map."""

    def forward(self, image):
        return (image.argmax(dim=1) == 0).to(torch.uint8)


def test_label_maps_of_half_precision_stay_as_they_are():
    result = InHalf(Reddest())(torch.tensor([[0.5, 0.2, 0.1], [0.1, 0.2, 0.1]]).T[None, :, :, None])
    assert result.dtype == torch.uint8 and result.flatten().tolist() == [1, 0]


def test_a_program_of_torch_is_not_written_in_fewer_bits(tmp_path):
    refuse_unknown_format(tmp_path / "net.pt2")
    with pytest.raises(UserError, match=r"net\.pt2: half and int8 are for NAME\.onnx and NAME\.xml"):
        refuse_unknown_format(tmp_path / "net.pt2", fewer_bits=True)


def generator():
    torch.manual_seed(0)
    return UnitGenerator(GENERATORS["unet_light"](base_channels=16)).eval().requires_grad_(False)


@pytest.mark.parametrize("suffix", [if_installed(suffix) for suffix in NEEDS])
def test_a_generator_in_half_precision(suffix, tmp_path):
    network, path = generator(), tmp_path / f"model{suffix}"
    reduction = Reduction("half", (), images(2), must_be_faster=False)
    reduced = write_export(export_translator.exportable(network, {"direction": "source_to_target"}, reduction), path)
    assert reduced.agreement.mean < 0.5
    weights = path.with_suffix(".bin") if suffix == ".xml" else path
    # Two bytes a weight, and the graph: 388,003 weights and some 100 KB.
    assert weights.stat().st_size < 3 * sum(value.numel() for value in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "kind"),
    [if_installed(".xml", "generator", extra=("nncf",)), if_installed(".onnx", "segmenter", extra=("nncf",))],
)
def test_int8_is_near_the_network_and_small(suffix, kind, tmp_path, capfd):
    reduction = Reduction("int8", images(3), images(2)[1:], must_be_faster=False)
    path = tmp_path / f"model{suffix}"
    if kind == "generator":
        network = generator()
        exportable = export_translator.exportable(network, {}, reduction)
    else:
        torch.manual_seed(0)
        network = DDRNet(5, planes=16, pooling_planes=16, head_planes=16).eval().requires_grad_(False)
        exportable = export_segmenter.exportable(network, False, {}, reduction)
    # Fresh weights give classes that nearly tie; how many pixels keep theirs says nothing here.
    exportable = dataclasses.replace(exportable, compare=lambda other: _Levels.of(network, other, reduction))
    reduced = write_export(exportable, path)
    assert 0 < reduced.agreement.relative < 0.2
    weights = path.with_suffix(".bin") if suffix == ".xml" else path
    exact = 4 * sum(value.numel() for value in network.parameters())
    assert weights.stat().st_size < 0.5 * exact + 500_000
    assert capfd.readouterr().out == ""


@dataclasses.dataclass(frozen=True)
class _Levels:
    """Mean distance between both sides over the mean size of the network's."""

    relative: float

    def check(self, output):
        """Nothing is refused."""

    @staticmethod
    def of(network, other, reduction):
        image = reduction.judged_on[0]
        expected = network(torch.from_numpy(image)).numpy()
        return _Levels(float(np.abs(other(image) - expected).mean() / np.abs(expected).mean()))

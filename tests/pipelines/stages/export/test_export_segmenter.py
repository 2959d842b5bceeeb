"""Export of segmenters: the same classes in another runtime, or no file."""

import copy
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import NumericalError, UserError
from pipelines.stages.export.export_formats import write_export
from pipelines.stages.export.export_segmenter import (
    SegmenterParity,
    drawn_images,
    export_segmenter,
    exportable,
    measured_parity,
    street_like,
)
from segment.networks.ddrnet import DDRNet

pytestmark = pytest.mark.runtimes

NEEDS = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".xml": ("openvino",), ".pt2": ()}
ABOUT = ("network", "side_multiple", "smallest_side")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return DDRNet(5, planes=8, pooling_planes=8, head_planes=8).eval().requires_grad_(False)


def formats():
    for suffix, packages in NEEDS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        yield pytest.param(suffix, marks=pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}"))


def opened(path):
    """A function from an image to what the file gives for it, and the file's metadata."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        about = session.get_modelmeta().custom_metadata_map
        return lambda image: torch.from_numpy(session.run(None, {"image": image.numpy()})[0]), about
    if path.suffix == ".xml":
        import openvino

        model = openvino.Core().read_model(path)
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        about = {key: model.get_rt_info(["sim2real", key]).astype(str) for key in ABOUT}
        return lambda image: torch.from_numpy(compiled([image.numpy()])[0]), about
    files = {f"about.{key}": "" for key in ABOUT}
    program = torch.export.load(path, extra_files=files).module()
    return program, {key.removeprefix("about."): value for key, value in files.items()}


@pytest.mark.parametrize("suffix", list(formats()))
@pytest.mark.parametrize("with_argmax", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_format_takes_any_size(network, tmp_path, suffix, with_argmax):
    path = tmp_path / f"model{suffix}"
    parity = write_export(exportable(network, with_argmax, {"network": "ddrnet"}), path)
    assert parity.agreement >= 0.999
    assert parity.error is None if with_argmax else parity.error < 1e-4
    run, about = opened(path)
    assert [about[key] for key in ABOUT] == ["ddrnet", "8", "16"]
    image = street_like(1, 8, 584, 760)
    expected, found = network(image), run(image)
    if with_argmax:
        assert found.dtype == torch.uint8 and found.shape == (1, 584, 760)
        assert (found == expected.max(dim=1).indices).float().mean() >= 0.999
    else:
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    names = {".xml": ["model.bin", "model.xml"]}.get(suffix, [path.name])
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_parity_by_hand(network):
    """All logits 1 % of the largest too high: the same classes."""

    def shifted(image):
        logits = network(torch.from_numpy(image))
        return (logits + 0.01 * logits.abs().max()).numpy()

    parity = measured_parity(network, shifted, False, drawn_images(network))
    assert parity.agreement == 1 and parity.error == pytest.approx(0.01, rel=1e-3)
    assert "100.000% of pixels, largest error of a logit 1.0e-02" in str(parity)
    with pytest.raises(
        UserError, match=r"differs from the network's by 1\.0e-02 of the largest logit; 1e-03 is allowed"
    ):
        parity.check(Path("a.onnx"))


def test_logits_that_are_no_numbers_somewhere_are_refused(network):
    def spoilt(image):
        logits = network(torch.from_numpy(image)).clone()
        logits[:, 0, 0, 0] = math.nan
        return logits.numpy()

    parity = measured_parity(network, spoilt, False, drawn_images(network))
    with pytest.raises(UserError, match=r"differs from the network's by nan"):
        parity.check(Path("a.onnx"))


def test_fewer_bits_are_judged_by_classes_alone():
    SegmenterParity(0.99, 0.3, least=0.98, allowed_error=math.inf).check(Path("a.onnx"))


def test_label_maps_of_one_class_are_told_to_say_little():
    network = OneClass().eval()
    parity = measured_parity(
        network, lambda image: np.full(image[:, 0].shape, 2, np.uint8), True, [torch.rand(1, 3, 8, 8)]
    )
    parity.check(Path("a.onnx"))
    assert str(parity).startswith("same class at 100.000% of pixels, but all are of one class")


@pytest.mark.parametrize("with_argmax", [False, True])
def test_a_network_that_gives_no_numbers_is_not_exported(network, with_argmax):
    """Both sides find the first class for every pixel then, and would agree."""
    diverged = copy.deepcopy(network)
    for statistics in diverged.buffers():
        if statistics.is_floating_point():
            statistics.fill_(math.nan)

    def same(image):
        logits = diverged(torch.from_numpy(image))
        return (logits.argmax(dim=1).to(torch.uint8) if with_argmax else logits).numpy()

    with pytest.raises(NumericalError, match=r"^the segmenter's logits are no numbers, though its weights are"):
        measured_parity(diverged, same, with_argmax, [torch.rand(1, 3, 64, 64)])


class OneClass(torch.nn.Module):
    """Sees class 2 everywhere."""

    def forward(self, image):
        return torch.tensor([0.0, 0, 1])[:, None, None].expand(len(image), 3, *image.shape[2:])


@pytest.mark.parametrize("agreement", [0.998, math.nan])
def test_refuses_what_differs(agreement, tmp_path):
    with pytest.raises(UserError, match="is not written: the export gives the network's class"):
        SegmenterParity(agreement, 0.0).check(tmp_path / "a.onnx")


def test_a_wrong_export_leaves_no_file(network, tmp_path, monkeypatch):
    wrong = exportable(network, True, {})
    monkeypatch.setattr(wrong.network, "forward", lambda image: image.argmin(dim=1).to(torch.uint8))
    with pytest.raises(UserError, match="is not written"):
        write_export(wrong, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused_before_the_checkpoint_is_read(tmp_path):
    with pytest.raises(UserError, match=r"expected NAME.onnx, NAME.xml for OpenVINO, NAME.pt2"):
        export_segmenter(tmp_path, tmp_path / "model.engine")


def test_images_look_like_streets_to_a_network():
    image = street_like(2, 8, 100, 150)
    assert image.shape == (2, 3, 104, 152)
    assert image.min() >= 0 and image.max() <= 1
    assert torch.equal(image, street_like(2, 8, 100, 150)) and not torch.equal(image[0], image[1])

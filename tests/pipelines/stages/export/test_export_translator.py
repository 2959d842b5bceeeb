"""Export: the same translation in another runtime, or no file."""

import importlib.util
import math

import pytest
import torch
from torch import nn

from pipelines.errors import UserError
from pipelines.experiment.trained import load_translator
from pipelines.pretrained.published_translators import import_published
from pipelines.stages.export import export_formats
from pipelines.stages.export import export_translator as export
from pipelines.stages.export.export_formats import write_export
from pipelines.stages.export.export_translator import (
    Parity,
    UnitGenerator,
    drawn_images,
    export_translator,
    exportable,
    measured_parity,
)
from tests.pipelines import published
from tests.pipelines.published import drawn
from translate.networks import GENERATORS
from translate.value_range import to_signed, to_unit

pytestmark = pytest.mark.runtimes


def installed(*packages):
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs the extra: {', '.join(missing)} not installed")


with_onnx = installed("onnx", "onnxscript", "onnxruntime")
with_openvino = installed("openvino")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return UnitGenerator(GENERATORS["resnet6"](base_channels=4)).eval().requires_grad_(False)


def test_range_of_image_files():
    torch.manual_seed(0)
    generator, image = GENERATORS["resnet6"](base_channels=4).eval(), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        assert torch.equal(UnitGenerator(generator)(image), to_unit(generator(to_signed(image))))


def test_parity_by_hand(network):
    """Half a level everywhere."""
    images = drawn_images(network)
    shifted = measured_parity(network, lambda image: (network(torch.from_numpy(image)) + 0.5 / 255).numpy(), images)
    assert shifted.maximum == pytest.approx(0.5, abs=1e-3) and shifted.mean == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("parity", [Parity(0.6, 0.01), Parity(0.1, 0.06), Parity(math.nan, math.nan)])
def test_refuses_what_differs(parity, tmp_path):
    with pytest.raises(UserError, match="is not written: the export differs"):
        parity.check(tmp_path / "a.onnx")


@with_onnx
def test_onnx_takes_any_size(network, tmp_path):
    import onnx
    import onnxruntime

    output = tmp_path / "model.onnx"
    parity = write_export(exportable(network, {"direction": "source_to_target"}), output)
    assert parity.maximum < 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    about = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert (about["direction"], about["side_multiple"]) == ("source_to_target", "4")
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    image = torch.rand(2, 3, 44, 8)
    result = torch.from_numpy(session.run(["translation"], {"image": image.numpy()})[0])
    assert (result - network(image)).abs().max() < 1e-3


@with_onnx
def test_a_generator_of_large_multiples_is_compared_on_images_of_its_own_size(tmp_path):
    """A U-Net that halves seven times: images of 2x3 and 3x2 multiples of 128 pixels, not of dozens of them."""
    torch.manual_seed(0)
    network = UnitGenerator(GENERATORS["unet128"](base_channels=4)).eval().requires_grad_(False)
    shapes = []
    written = exportable(network, {})
    written.compare(lambda image: shapes.append(image.shape) or network(torch.from_numpy(image)).numpy())
    assert written.example.shape == (2, 3, 256, 384)
    assert shapes == [(1, 3, 384, 256), (3, 3, 256, 384), (1, 3, 128, 128)]
    assert write_export(written, tmp_path / "model.onnx").maximum < 0.1
    assert (tmp_path / "model.onnx").stat().st_size < 2 * 4 * sum(value.numel() for value in network.parameters())


def test_an_exported_program_takes_images_that_a_unet_shrinks_to_one_pixel(tmp_path):
    torch.manual_seed(0)
    network = UnitGenerator(GENERATORS["unet128"](base_channels=2)).eval().requires_grad_(False)
    assert write_export(exportable(network, {}), tmp_path / "model.pt2").maximum < 0.1
    program = torch.export.load(tmp_path / "model.pt2").module()
    for size in ((128, 128), (128, 384), (256, 128)):
        image = torch.rand(1, 3, *size)
        assert (program(image) - network(image)).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["unet_light", "pyramid"])
@pytest.mark.parametrize(
    "output", ["model.pt2", pytest.param("model.onnx", marks=with_onnx), pytest.param("model.xml", marks=with_openvino)]
)
def test_light_generators_are_exported(name, output, tmp_path):
    torch.manual_seed(0)
    network = UnitGenerator(GENERATORS[name](base_channels=4)).eval().requires_grad_(False)
    assert write_export(exportable(network, {}), tmp_path / output).maximum < 0.1


def test_an_exported_program_takes_any_size(network, tmp_path):
    output = tmp_path / "model.pt2"
    assert write_export(exportable(network, {"direction": "source_to_target"}), output).maximum < 0.1
    about = {"about.direction": ""}
    program = torch.export.load(output, extra_files=about).module()
    assert about["about.direction"] == "source_to_target"
    image = torch.rand(2, 3, 44, 8)
    assert (program(image) - network(image)).abs().max() < 1e-3


@with_openvino
def test_openvino_takes_any_size(network, tmp_path):
    import openvino

    output = tmp_path / "model.xml"
    parity = write_export(exportable(network, {"direction": "source_to_target"}), output)
    assert parity.maximum < 0.1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    model = openvino.Core().read_model(output)
    assert model.get_rt_info(["sim2real", "direction"]).astype(str) == "source_to_target"
    image = torch.rand(2, 3, 44, 8)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert (torch.from_numpy(compiled([image.numpy()])[0]) - network(image)).abs().max() < 1e-3


@with_openvino
def test_a_wrong_export_leaves_no_file(network, tmp_path, monkeypatch):
    wrong = UnitGenerator(GENERATORS["resnet6"](base_channels=4)).eval()
    convert = export_formats.converted_to_openvino
    monkeypatch.setattr(export_formats, "converted_to_openvino", lambda network, result: convert(wrong, result))
    with pytest.raises(UserError, match="is not written"):
        write_export(exportable(network, {}), tmp_path / "model.xml")
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"expected NAME.onnx, NAME.xml"):
        export_translator(tmp_path, tmp_path / "model.pb")


def test_of_a_checkpoint(tiny_run, tmp_path, cpu, monkeypatch):
    """The generator of the direction asked for, and what it is, reach the writer."""
    seen = {}
    monkeypatch.setattr(export, "write_export", lambda given, output: seen.update(given=given) or Parity(0, 0))
    translator = next(tiny_run.glob("seed-*/translator"))
    export_translator(translator, tmp_path / "model.onnx", "target_to_source")
    network, about = seen["given"].network, seen["given"].about
    method, _ = load_translator(translator, cpu)
    image = torch.rand(1, 3, 32, 32)
    assert (network(image) - method.translate(image, "target_to_source")).abs().max() < 1e-6
    assert about["direction"] == "target_to_source" and len(about["checkpoint_sha256"]) == 64


def test_a_translator_of_label_maps_is_refused(tmp_path):
    torch.save(drawn(published.pix2pixhd_global()), tmp_path / "latest_net_G.pth")
    run = import_published(tmp_path / "latest_net_G.pth", tmp_path / "run").run
    with pytest.raises(UserError, match=r"translates label maps, .* export a student of it, which takes images"):
        export_translator(run, tmp_path / "model.onnx")


def test_networks_that_are_no_chain():
    class Odd(nn.Module):
        def forward(self, image):
            return image * 0.5

    assert UnitGenerator(Odd())(torch.ones(1, 3, 4, 4)).unique().tolist() == [0.75]

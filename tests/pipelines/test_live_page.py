"""docs/live.md is what it says: its client meets a stand-in for CARLA, its ONNX lines a generator exported here."""

import importlib.util
import queue
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from pipelines.data.video.recorded import read_facts
from pipelines.runtimes import LiveTranslator, open_translator
from pipelines.runtimes.conversion import OPSET
from pipelines.stages.export.export_translator import export_translator

PAGE = Path(__file__).parents[2] / "docs/live.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CARLA, ONNX = range(2)
onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="needs the extra `export`",
)


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture
def folder(tiny_run, tmp_path, monkeypatch, cpu):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Image:
    """A picture as CARLA gives it: a view that does not keep its pixels alive, which are something else afterwards.

    Source: `GetRawDataAsBuffer` in CARLA's PythonAPI/carla/source/libcarla/SensorData.cpp, a `PyMemoryView_FromMemory`.
    """

    def __init__(self, frame, pixels):
        self.frame, self.raw_data = frame, memoryview(bytearray(pixels.tobytes()))
        self.height, self.width = pixels.shape[:2]

    def __del__(self):
        self.raw_data[:] = bytes(len(self.raw_data))


class StandIn(ModuleType):
    """The few names of `carla` that the page uses; each picture is grey in blue, green and red of its own.

    Its camera has a picture waiting from before the first tick, as the real one may.
    """

    def __init__(self):
        super().__init__("carla")
        self.ticks, self.alive, self.settings, self.synchronous = 0, [], [], []
        self.Transform = self.Location = lambda *places, **axes: (places, axes)

    def Client(self, host, port):
        traffic = SimpleNamespace(set_synchronous_mode=self.synchronous.append, get_port=lambda: 8000)
        return SimpleNamespace(
            set_timeout=lambda seconds: None, get_world=lambda: self, get_trafficmanager=lambda: traffic
        )

    def get_settings(self):
        return SimpleNamespace(synchronous_mode=False, fixed_delta_seconds=None)

    def apply_settings(self, settings):
        self.settings.append((settings.synchronous_mode, settings.fixed_delta_seconds))

    def get_map(self):
        return SimpleNamespace(get_spawn_points=lambda: ["here"])

    def get_blueprint_library(self):
        lens = SimpleNamespace(sides={})
        lens.set_attribute = lens.sides.__setitem__
        return SimpleNamespace(find=lambda name: lens, filter=lambda pattern: ["car"])

    def spawn_actor(self, blueprint, place, attach_to=None):
        actor = SimpleNamespace(set_autopilot=lambda on, port: None)
        actor.destroy = lambda: self.alive.remove(actor)
        if attach_to is not None:
            self.width, self.height = (int(blueprint.sides[f"image_size_{axis}"]) for axis in "xy")
            actor.listen = self.listen
        self.alive.append(actor)
        return actor

    def listen(self, callback):
        self.callback = callback
        self.give(0)

    def give(self, frame):
        pixels = np.zeros((self.height, self.width, 4), np.uint8)
        pixels[:] = (10 + frame, 20, 30, 255)  # blue, green, red, alpha
        self.callback(Image(frame, pixels))

    def tick(self):
        self.ticks += 1
        self.give(self.ticks)
        return self.ticks


def test_the_client_translates_every_tick_and_leaves_the_simulator_as_it_was(page, folder, monkeypatch):
    pytest.importorskip("av", reason="films need PyAV (the extra `video`)")
    carla, seen = StandIn(), []
    monkeypatch.setitem(sys.modules, "carla", carla)
    code = BLOCK.findall(page)[CARLA]
    code = code.replace("(1280, 720), 20, 400", "(64, 32), 20, 5")
    overlapped = LiveTranslator.overlapped

    def read_ahead(translate, frames):  # as far as a fast simulator may be, or a slow network
        read = list(frames)
        seen.extend(frame[0, 0].tolist() for frame in read)
        return overlapped(translate, read)

    monkeypatch.setattr(LiveTranslator, "overlapped", read_ahead)
    exec(compile(code, str(PAGE), "exec"), {})
    assert seen == [[30, 20, 10 + tick] for tick in range(1, 6)], "red first, and not the picture from before"
    assert [round(time * float(facts.time_base), 3) for facts in [read_facts(folder / "drive.mp4")]
            for time in facts.times] == [0, 0.05, 0.1, 0.15, 0.2]  # fmt: skip
    assert carla.settings == [(True, 1 / 20), (False, None)] and carla.synchronous == [True, False]
    assert carla.ticks == 5 and carla.alive == []


def test_the_line_for_a_simulator_that_runs_on_by_itself(page, folder):
    images, read = queue.Queue(), {}
    images.put(Image(1, np.full((32, 64, 4), 100, np.uint8)))
    images.put(None)
    exec("import numpy as np\n" + re.search(r"def rgb\(image\):\n(?:    .*\n)+", page)[0], read)
    line = re.search(r"`(translate\.overlapped\(map.*?True\))`", page)[1]
    with open_translator("runs/mine/seed-0/translator", device="cpu") as translate:
        with eval(line, read | {"translate": translate, "images": images}) as translated:
            (found,) = translated
        assert np.array_equal(found, translate(np.full((32, 64, 3), 100, np.uint8)))


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """The generator as `sim2real export` writes it."""
    output = tmp_path_factory.mktemp("exported") / "generator.onnx"
    export_translator(tiny_run / "seed-0/translator", output)
    return output


@onnx
@pytest.mark.runtimes
def test_the_onnx_lines_are_the_translator_to_a_level(page, folder, exported):
    (folder / "generator.onnx").symlink_to(exported)
    names = {}
    exec(compile(BLOCK.findall(page)[ONNX], str(PAGE), "exec"), names)
    with open_translator("runs/mine/seed-0/translator", device="cpu") as translate:
        for height, width in ((32, 64), (33, 47)):
            frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            found, expected = names["through_onnx"](frame), translate(frame)
            assert found.shape == expected.shape and np.abs(found.astype(int) - expected).max() <= 1


@onnx
@pytest.mark.runtimes
def test_what_the_page_states_of_an_export(page, exported):
    import onnx as onnx_package

    model = onnx_package.load(exported)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert f"| opset | {OPSET}, of the standard domain alone |" in page
    for (tensor,), name in ((model.graph.input, "image"), (model.graph.output, "translation")):
        free = [bool(side.dim_param) for side in tensor.type.tensor_type.shape.dim]
        assert tensor.name == name and free == [True, False, True, True]
    about = {one.key: one.value for one in model.metadata_props}
    assert f"{about['side_multiple']} and {about['smallest_side']} for `resnet6`" in page
    listed = re.search(r"`resnet6`, `resnet9`: (.*?)\. `unet_light`", page)[1].split(", ")
    assert {node.op_type for node in model.graph.node} == set(listed)

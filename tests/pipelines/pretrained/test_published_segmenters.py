"""Published segmenters become run folders of ours: recognised, filled whole, computing what they computed.

The files are made here in the forms in which their authors save them; names and shapes of the networks themselves are
checked beside each network.
"""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch

from pipelines.data.images import read_raw, write_image
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.segmenters import FOUR_BRANCHES
from pipelines.experiment.trained import load_segmenter
from pipelines.pretrained.published_segmenters import find_segmenter, import_segmenter, match_state
from pipelines.pretrained.published_translators import read_published
from segment.networks import NETWORKS


def meta_state(name, num_classes=19, auxiliary=True):
    with torch.device("meta"):
        return NETWORKS[name](num_classes=num_classes, auxiliary=auxiliary).state_dict()


def prefixed(state, prefix):
    return OrderedDict((f"{prefix}{key}", value) for key, value in state.items())


@pytest.fixture(scope="module")
def drawn():
    """A function: network -> one of it with random weights and statistics, the same one each time."""
    made = {}

    def draw(name):
        if name not in made:
            torch.manual_seed(7)
            network = NETWORKS[name]().eval()
            for key, value in network.state_dict().items():
                if key.endswith(("running_mean", "running_var")):
                    value.uniform_(0.5, 1.5)
            made[name] = network
        return made[name]

    return draw


@pytest.fixture
def save(tmp_path):
    """A function: file name and content -> the file."""

    def write(name, content):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


def imported(state, output, **how):
    """As the command does, without a file of the state: it is only hashed."""
    file = output.with_suffix(".pth")
    file.write_bytes(b"published")
    key, match = find_segmenter({"": state}, how.pop("network", None))
    return import_segmenter(file, key, match, output, **how)


# --- recognition ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_recognised_among_all(name):
    key, match = find_segmenter({"": meta_state(name)})
    assert (key, match.network) == ("", name.removesuffix(FOUR_BRANCHES)) and (match.share, match.num_classes) == (
        1.0,
        19,
    )
    assert not match.missing and not match.missing_auxiliary and not match.unexpected


@pytest.mark.parametrize("name", NETWORKS)
def test_heads_that_only_training_uses_may_be_absent(name):
    _, match = find_segmenter({"": meta_state(name, auxiliary=False)})
    assert match.network == name.removesuffix(FOUR_BRANCHES) and not match.missing and not match.unexpected
    difference = len(meta_state(name)) - len(meta_state(name, auxiliary=False))
    assert len(match.missing_auxiliary) == sum(not key.endswith("num_batches_tracked") for key in absent(name))
    assert len(match.state) == len(meta_state(name)) - difference


def absent(name):
    return meta_state(name).keys() - meta_state(name, auxiliary=False).keys()


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "model.module."])
def test_wrappers_are_taken_off(prefix):
    state = prefixed(meta_state("ddrnet23"), prefix) | {"loss.criterion.weight": torch.zeros(19)}
    _, match = find_segmenter({"state_dict": state})
    assert match.network == "ddrnet23" and len(match.state) == 346
    assert match.unexpected == ("loss.criterion.weight",)
    assert match.counts() == "346 tensors loaded, 0 missing, 1 unexpected (first loss.criterion.weight)"


def test_counters_of_old_checkpoints_may_be_absent():
    state = {key: value for key, value in meta_state("pidnet_s").items() if "num_batches_tracked" not in key}
    _, match = find_segmenter({"": state})
    assert match.network == "pidnet_s" and not match.missing and match.share == 1


def test_one_of_several_state_dicts_is_the_segmenter():
    networks = {"discriminator": {"0.weight": torch.zeros(3)}, "model": meta_state("lraspp")}
    key, match = find_segmenter(networks)
    assert (key, match.network) == ("model", "lraspp")


def test_what_resembles_no_segmenter_is_none():
    assert find_segmenter({"": {"model.1.weight": torch.zeros(64, 3, 7, 7)}}) is None
    assert find_segmenter({"": prefixed(meta_state("ddrnet23"), "elsewhere.")}) is None
    assert find_segmenter({}) is None


def test_a_name_given_is_taken_at_its_word():
    _, match = find_segmenter({"": meta_state("pidnet_m")}, "pidnet_s")
    assert match.network == "pidnet_s" and match.missing
    assert match_state(meta_state("pidnet_m"), "pidnet_m").share == 1


# --- import -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddrnet23_slim", "pidnet_s", "lraspp"])
def test_an_imported_network_computes_what_it_did(drawn, tmp_path, cpu, name):
    run = imported(prefixed(drawn(name).state_dict(), "module."), tmp_path / "run").run
    network, settings, _ = load_segmenter(run, cpu)
    image = torch.rand(1, 3, 40, 72, generator=torch.Generator().manual_seed(1))
    assert (settings.network, settings.height) == (name, 1024)
    with torch.no_grad():
        torch.testing.assert_close(network(image), drawn(name)(image))


def test_the_input_of_adaptsegnet_is_translated(tmp_path, cpu):
    """Its weights take blue, green, red in 0..255 less a mean, and are rewritten for red, green, blue in 0..1."""
    torch.manual_seed(3)
    original = NETWORKS["deeplabv2_resnet101"]().eval()
    network, _, _ = load_segmenter(imported(original.state_dict(), tmp_path / "run").run, cpu)
    grey = torch.tensor([122.67891434, 116.66876762, 104.00698793]).view(1, 3, 1, 1) / 255
    mean, std = network.image_mean, network.image_std
    stem = network.bn1(network.conv1(((grey - mean) / std).expand(1, 3, 16, 16)))[..., 4:-4, 4:-4]
    expected = original.bn1(torch.zeros(1, 64, 1, 1))  # their mean is black to them
    torch.testing.assert_close(stem, expected.expand_as(stem), atol=1e-3, rtol=1e-3)


def test_the_norms_of_stdcs_authors_are_translated(drawn, tmp_path, cpu):
    """Outside of the encoder they keep no counter, and scale by the absolute value of a weight plus epsilon."""
    state = drawn("stdc1").state_dict()
    state = {key: value for key, value in state.items() if "backbone" in key or not key.endswith("num_batches_tracked")}
    state["ffm.convblk.bn.weight"] = torch.full((256,), -2.0)
    network, _, _ = load_segmenter(imported(state, tmp_path / "run").run, cpu)
    torch.testing.assert_close(network.ffm.convblk.bn.weight.detach(), torch.full((256,), 2.00001), rtol=0, atol=1e-6)


def test_the_run_folder_explains_itself(drawn, tmp_path):
    state = {key: value for key, value in drawn("pidnet_s").state_dict().items() if "seghead" not in key}
    done = imported(state | {"sem_loss.criterion.weight": torch.ones(19)}, tmp_path / "run", height=720)
    (line,) = done.lines
    assert line.startswith("network: pidnet_s; 453 tensors loaded, 0 missing, 1 unexpected (first sem_loss.criterion.w")
    assert "22 of heads that only training uses not given, freshly drawn" in line and "run.pth)" in line
    config = json.loads((done.run / "config.json").read_text())
    assert (config["stage"], config["settings"]["network"], config["settings"]["height"]) == (
        "segmenter", "pidnet_s", 720,
    )  # fmt: skip
    assert list(config["imported"]) == ["run.pth"]
    assert json.loads((done.run / "final.json").read_text())["checkpoint"] == "checkpoints/step-00000000"
    with pytest.raises(UserError, match=r"settings.height was 720, now 1024.*--restart"):
        imported(state, done.run)
    imported(state, done.run, restart=True)
    assert (tmp_path / "run.replaced-1/final.json").exists()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [11, 21])
def test_other_classes_are_refused(tmp_path, classes):
    with pytest.raises(CheckpointError, match=rf"run\.pth: holds pidnet_s with a head for {classes} classes; expected"):
        imported(meta_state("pidnet_s", num_classes=classes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_auxiliary_head_of_other_classes_is_left_out(drawn, tmp_path):
    state = drawn("ddrnet23_slim").state_dict() | {
        "seghead_extra.conv2.weight": torch.zeros(21, 64, 1, 1),
        "seghead_extra.conv2.bias": torch.zeros(21),
    }
    (line,) = imported(state, tmp_path / "run").lines
    assert "344 tensors loaded, 0 missing, 2 unexpected" in line and "2 of heads that only training uses" in line


def test_a_network_that_is_not_whole_is_refused(tmp_path):
    state = meta_state("ddrnet23_slim")
    del state["spp.process3.2.weight"]
    with pytest.raises(
        CheckpointError, match=r"looks like ddrnet23_slim.*345 tensors loaded, 1 missing, 0 unexpected .f"
    ):
        imported(state, tmp_path / "run")
    backbone = {key: value for key, value in meta_state("pidnet_l").items() if "head" not in key and "final" not in key}
    with pytest.raises(CheckpointError, match=r"looks like pidnet_l.*missing.*first final_layer.*only whole networks"):
        imported(backbone | {"linear.weight": torch.zeros(1000, 512)}, tmp_path / "run")


def test_nothing_loaded_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing in it fits lraspp: 0 tensors loaded, .*leave --network out"):
        imported({"fc.weight": torch.zeros(3, 3)}, tmp_path / "run", network="lraspp")


# --- the command ------------------------------------------------------------------------------------------------------


def test_import_evaluate_and_predict(drawn, save, tmp_path, commands, tiny_config):
    """Real command lines, one real unpickling, in the form of PIDNet's training code."""
    state = prefixed(drawn("pidnet_s").state_dict(), "model.") | {"loss.criterion.weight": torch.ones(19)}
    content = {"epoch": 484, "best_mIoU": 0.788, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}
    file, run = save("checkpoint.pth.tar", content), tmp_path / "run"
    done = commands("checkpoint", "import", file, "--output", run, "--height", 64)
    assert done.code == 0, done.stderr
    assert "network: pidnet_s; 479 tensors loaded, 0 missing, 1 unexpected (first loss.criterion.weight)" in done.stdout
    assert f"({file}, state_dict)" in done.stdout and f"segmenter in {run}" in done.stdout

    done = commands("segment", "evaluate", tiny_config, "--checkpoint", run, "--threads", 1, "--device", "cpu")
    assert done.code == 0, done.stderr
    assert "mIoU" in done.stdout

    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    write_image(tmp_path / "in/frame.png", image)
    done = commands("segment", "predict", "--checkpoint", run, "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert done.code == 0, done.stderr
    with torch.no_grad():
        expected = drawn("pidnet_s")(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255).argmax(1)[0]
    predicted = read_raw(next((tmp_path / "out").rglob("labels/frame.png")))
    assert (predicted == expected.numpy()).mean() > 0.999


def test_the_command_refuses_what_does_not_go_together(drawn, save, tmp_path, commands):
    file = save("net.pth", drawn("ddrnet23_slim").state_dict())
    other = save("other.pth", {"fc.weight": torch.zeros(3, 3)})
    cases = [
        ((file, "--direction", "target_to_source", "--clusters", other, "--labels", 35), 2,
         f"error: {file} holds a segmenter (ddrnet23_slim); leave --direction, --clusters, --labels out"),
        ((file, "--network", "lraspp"), 5, f"error: {file}: nothing in it fits lraspp: 0 tensors loaded, "),
        ((file, "--network", "nonesuch"), 2, "'nonesuch' is not one of 'ddrnet23_slim'"),
        ((other, "--height", 512), 2, f"error: {other} holds no segmenter that is known here; leave --height out"),
        ((other,), 5, "or a whole segmenter in its authors' own names"),
    ]  # fmt: skip
    for arguments, code, message in cases:
        done = commands("checkpoint", "import", *arguments, "--output", tmp_path / "run")
        assert (done.code, "Traceback" in done.stderr) == (code, False), done.stderr
        assert message in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_name_given_imports_as_the_name_found(drawn, save, tmp_path, commands):
    file = save("net.pth", drawn("ddrnet23_slim").state_dict())
    done = commands("checkpoint", "import", file, "--output", tmp_path / "run", "--network", "ddrnet23_slim")
    assert done.code == 0, done.stderr
    assert "network: ddrnet23_slim; 346 tensors loaded, 0 missing, 0 unexpected" in done.stdout


def test_a_segmenter_is_unpickled_elsewhere_and_within_limits(tmp_path, save):
    """The same reader as for translators: a file that could run code is refused."""

    file = save("evil.pth", {"state_dict": {"conv1.0.weight": torch.zeros(1)}, "hook": print})
    with pytest.raises(CheckpointError, match=r"holds more than tensors .*could run code and is not read"):
        read_published(file)

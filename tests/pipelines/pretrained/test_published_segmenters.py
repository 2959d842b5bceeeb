"""Published segmenters become run folders of ours: recognised, filled whole, computing what they computed.

The files are made here in the forms in which their authors save them; names and shapes of the networks themselves are
checked beside each network.
"""

import copy
import hashlib
import json

import numpy as np
import pytest
import torch

from pipelines.data.images import read_raw, write_image
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.segmenters import FOUR_BRANCHES
from pipelines.experiment.trained import load_segmenter
from pipelines.pretrained.inputs import parse_input
from pipelines.pretrained.published_segmenters import (
    CODES,
    SegmenterImport,
    find_segmenter,
    import_segmenter,
    match_state,
    shapes_of,
)
from pipelines.pretrained.read_published import read_published
from segment.networks import NETWORKS
from tests.pipelines.drawn import prefixed


def meta_state(name, num_classes=19, auxiliary=True):
    with torch.device("meta"):
        return NETWORKS[name](num_classes=num_classes, auxiliary=auxiliary).state_dict()


def imported(state, output, **how):
    """As the command does, without a file of the state: it is only hashed."""
    file = output.with_suffix(".pth")
    file.write_bytes(b"published")
    key, match = find_segmenter({"": state}, how.pop("network", None))
    restart = how.pop("restart", False)
    return import_segmenter(file, key, match, output, SegmenterImport(**how), restart)


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


@pytest.mark.parametrize(
    "prefix",
    [
        "", "module.", "model.", "module.model.", "model.module.", "_orig_mod.", "module._orig_mod.",
        "_orig_mod.module.", "_orig_mod.module.model.", "model._orig_mod.",
    ],
)  # fmt: skip
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


def test_two_state_dicts_that_fit_are_rivals():
    """A teacher beside its student: which is meant changes the outcome."""
    network = meta_state("lraspp")
    key, match = find_segmenter({"model": network, "ema_model": network, "optimizer": {"x": torch.zeros(1)}})
    assert (key, match.rivals) == ("model", ("ema_model",))
    assert not find_segmenter({"model": network})[1].rivals


def test_a_teacher_of_another_network_is_a_rival_too(tmp_path):
    key, match = find_segmenter({"student": meta_state("lraspp"), "teacher": meta_state("stdc1")})
    assert {key, *match.rivals} == {"student", "teacher"}
    with pytest.raises(UserError, match=r"holds several whole segmenters: (student, teacher|teacher, student)\. Say"):
        import_segmenter(tmp_path / "both.pth", key, match, tmp_path / "run")


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_same_tensors_are_told(name):
    """All that compute differently with the same tensors are found, so that the import can ask."""
    _, match = find_segmenter({"": meta_state(name)})
    same = [other for other in NETWORKS if shapes_of(other) == shapes_of(name)]
    assert [match.network, *match.twins] == same
    assert len(same) == 1 or all(other in CODES for other in same)


def test_a_name_given_leaves_no_question():
    assert not find_segmenter({"": meta_state("deeplabv2_resnet101")}, "deeplabv2_resnet101")[1].twins


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


def test_clans_two_classifiers_become_one_that_says_what_both_say(tmp_path, cpu):
    """CLAN's code adds up their logits, and sums all four branches of each; there is nothing to ask."""
    torch.manual_seed(3)
    first, second = (rough(NETWORKS["deeplabv2_resnet101_four_branches"]()).eval() for _ in range(2))
    second.load_state_dict(
        first.state_dict() | {key: value for key, value in second.state_dict().items() if key.startswith("layer5.")}
    )
    theirs = first.state_dict() | {
        key.replace("layer5.", "layer6."): value
        for key, value in second.state_dict().items()
        if key.startswith("layer5.")
    }
    done = imported(prefixed(theirs, "module."), tmp_path / "run", given=parse_input("imagenet"))
    assert "assumed, as in CLAN's code" in done.lines[1] and "0 missing, 0 unexpected" in done.lines[0]
    network, settings, _ = load_segmenter(done.run, cpu)
    assert settings.network == "deeplabv2_resnet101_four_branches"
    image = torch.rand(1, 3, 40, 72, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = first(image) + second(image)
        assert (network(image) - expected).norm() < 1e-4 * expected.norm()


def rough(network):
    """With weights of a size that numbers come through, and so differences show."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


@pytest.mark.parametrize("branches", [2, 4])
def test_deeplabv2_computes_what_its_authors_code_does(tmp_path, cpu, branches):
    """Blue, green, red in 0..255 less a mean; two of four branches in AdaptSegNet's code, all in ADVENT's and FDA's."""
    torch.manual_seed(3)
    original = rough(NETWORKS["deeplabv2_resnet101"](aspp_branches=branches)).eval()
    original.image_mean.zero_(), original.image_std.fill_(1)
    with pytest.raises(
        UserError, match=r"deeplabv2_resnet101 \(as in AdaptSegNet's.*_four_branches \(as in ADVENT's.*--network$"
    ) as asked:
        imported(original.state_dict(), tmp_path / "run")
    assert asked.value.exit_code == 2 and not (tmp_path / "run").exists()
    name = "deeplabv2_resnet101" + (FOUR_BRANCHES if branches == 4 else "")
    done = imported(original.state_dict(), tmp_path / "run", network=name)
    assert (
        "input BGR in 0..255 less 104.007 116.669 122.679 (--input); logits resized with align_corners" in done.lines[1]
    )
    assert "frames 512 high (--height)" in done.lines[1]
    network, settings, _ = load_segmenter(done.run, cpu)
    image = torch.rand(1, 3, 40, 72, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
    with torch.no_grad():
        ours, theirs = network(image), original(image.flip(1) * 255 - mean)
    assert settings.height == 512
    assert (ours - theirs).abs().max() < 1e-3 * theirs.std()


def test_maxsquares_file_is_read_whole(save, tmp_path, cpu):
    """As its code saves it: both levels, `module.` before each name, the optimiser's momentum and a score of numpy's.

    It classifies by layer6, sums two branches as AdaptSegNet does, and enlarges the logits with align_corners.
    """
    torch.manual_seed(3)
    original = rough(NETWORKS["deeplabv2_resnet101_multi"]()).eval()
    original.image_mean.zero_(), original.image_std.fill_(1)
    file = save(
        "best.pth",
        {
            "epoch": 10,
            "iteration": 25000,
            "state_dict": prefixed(original.state_dict(), "module."),
            "optimizer": {
                "state": {140001: {"momentum_buffer": torch.zeros(64, 3, 7, 7)}},
                "param_groups": [{"lr": 2.5e-4, "momentum": 0.9, "params": [140001]}],
            },
            "best_MIou": np.mean([0.44, 0.46]),
        },
    )
    networks = read_published(file)
    with pytest.raises(
        UserError, match=r"best.pth, state_dict: fits networks.*_multi \(as in AdaptSegNet's, MaxSquare's"
    ):
        import_segmenter(file, *find_segmenter(networks), tmp_path / "run")
    key, match = find_segmenter(networks, "deeplabv2_resnet101_multi")
    assert key == "state_dict"
    line, assumed = import_segmenter(file, key, match, tmp_path / "run").lines
    assert "0 missing, 0 unexpected" in line and "freshly drawn" not in line
    assert "input BGR in 0..255 less 104.007 116.669 122.679" in assumed and "classes by layer6" in assumed
    assert "logits resized with align_corners" in assumed and "frames 512 high" in assumed
    network, settings, _ = load_segmenter(tmp_path / "run", cpu)
    assert network.align_corners and (settings.network, settings.height) == ("deeplabv2_resnet101_multi", 512)
    image = torch.rand(1, 3, 40, 72, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(1, 3, 1, 1)
    with torch.no_grad():
        theirs = original.coarse_logits(image.flip(1) * 255 - mean).main  # (1, 19, 6, 10)
        theirs = torch.nn.functional.interpolate(theirs, size=(40, 72), mode="bilinear", align_corners=True)
        assert (network(image) - theirs).abs().max() < 1e-3 * theirs.std()


@pytest.mark.parametrize("name", ["bisenetv1", "bisenetv2"])
def test_bisenet_takes_the_statistics_of_its_code(drawn, tmp_path, cpu, name):
    """CoinCheung's code takes off those of Cityscapes; under ImageNet's, 15 % of the pixels get another class."""
    done = imported(drawn(name).state_dict(), tmp_path / "run")
    assert done.lines[1].startswith(
        "assumed, as in CoinCheung's code: input RGB in 0..1 less 0.3257 0.369 0.3223 over 0.2112 0.2148 0.2115 (--in"
    )
    network, _, _ = load_segmenter(done.run, cpu)
    expected = copy.deepcopy(drawn(name))
    expected.normalise_by((0.3257, 0.3690, 0.3223), (0.2112, 0.2148, 0.2115))
    image = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network(image), expected(image))


def test_what_is_assumed_can_be_said_otherwise(drawn, tmp_path, cpu):
    """Blue first, in 0..255, by other statistics, resized the other way."""
    state, what = drawn("ddrnet23_slim").state_dict(), parse_input("bgr:110,100,90,60,50,40")
    done = imported(state, tmp_path / "run", given=what, align_corners=True, height=300)
    assert (
        "input BGR in 0..255 less 90 100 110 over 40 50 60 (--input); logits resized with align_corners"
        in done.lines[1]
    )
    assert "frames 300 high (--height), padded to multiples of" in done.lines[1]
    network, settings, _ = load_segmenter(done.run, cpu)
    expected = copy.deepcopy(drawn("ddrnet23_slim"))
    expected.normalise_by((0, 0, 0), (1, 1, 1))
    expected.align_corners = True
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    mean, std = torch.tensor([90.0, 100, 110]).view(3, 1, 1), torch.tensor([40.0, 50, 60]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(network(image), expected((image.flip(1) * 255 - mean) / std), atol=1e-4, rtol=1e-4)
    assert settings.height == 300


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
    line, assumed = done.lines
    assert assumed.endswith(
        "; logits resized with align_corners (--align-corners); frames 720 high (--height), padded to multiples of 8; "
        "classes by final_layer"
    )
    assert line.startswith("network: pidnet_s; 453 tensors loaded, 0 missing, 1 unexpected (first sem_loss.criterion.w")
    assert "22 of heads that only training uses not given, freshly drawn" in line and "run.pth)" in line
    config = json.loads((done.run / "config.json").read_text())
    assert (config["stage"], config["settings"]["network"], config["settings"]["height"]) == (
        "segmenter", "pidnet_s", 720,
    )  # fmt: skip
    digest = hashlib.sha256(b"published").hexdigest()
    assert config["imported"] == {"network": {"file": "run.pth", "entry": "", "sha256": digest}}
    assert json.loads((done.run / "final.json").read_text())["checkpoint"] == "checkpoints/step-00000000"
    with pytest.raises(UserError, match=r"settings.height was 720, now 1024.*--restart"):
        imported(state, done.run)
    imported(state, done.run, restart=True)
    assert (tmp_path / "run.replaced-1/final.json").exists()


def test_another_network_of_the_same_file_is_another_import(drawn, tmp_path):
    file, run, state = tmp_path / "both.pth", tmp_path / "run", drawn("lraspp").state_dict()
    file.write_bytes(b"published")
    import_segmenter(file, *find_segmenter({"student": state}), run)
    before = (run / "final.json").read_bytes()
    with pytest.raises(UserError, match=r"imported\.network\.entry was student, now teacher.*--restart"):
        import_segmenter(file, *find_segmenter({"teacher": state}), run)
    import_segmenter(file, *find_segmenter({"student": state}), run)
    assert (run / "final.json").read_bytes() == before


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
    line, _ = imported(state, tmp_path / "run").lines
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


def test_what_there_is_no_place_for_is_not_left_out_in_silence(tmp_path):
    other = meta_state("pidnet_s") | {"projection.0.weight": torch.zeros(8, 8)}
    with pytest.raises(CheckpointError, match=r"holds tensors that it has no place for \(1, first projection.0.weight"):
        imported(other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


def test_a_segmenter_is_unpickled_elsewhere_and_within_limits(tmp_path, save):
    """Segmenters are read as translators are: a file that could run code is refused."""

    file = save("evil.pth", {"state_dict": {"conv1.0.weight": torch.zeros(1)}, "hook": print})
    with pytest.raises(CheckpointError, match=r"holds more than tensors .*could run code and is not read"):
        read_published(file)

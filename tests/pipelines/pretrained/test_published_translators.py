"""Published checkpoints become translators of ours: recognised, filled whole, computing what the authors' code does.

The files are written here from the published names and shapes, and what they should compute is computed without our
networks (`published.py`).
"""

import hashlib
import json

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from pipelines.data.images import read_image, write_image
from pipelines.engine.checkpoint_files import resolve_checkpoint, settings_in
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.trained import build_translator, load_translator
from pipelines.experiment.translators import AnyTranslatorSettings
from pipelines.pretrained import published_translators as authors
from pipelines.pretrained.imports import TranslatorImport
from pipelines.pretrained.published_translators import import_published
from pipelines.pretrained.unpickle import load, look_through, tensors_in
from pipelines.stages.training.train_translator import take_over
from tests.pipelines import published
from tests.pipelines.published import drawn
from translate.methods.cyclegan import CycleGAN


@pytest.fixture
def here(monkeypatch):
    """Unpickle in this process: the other one takes seconds to start, and has its own tests."""

    def read(path):
        with open(path, "rb") as stream:
            look_through(stream)
            networks = tensors_in(load(stream))
        return {name: {key: one.detach() for key, one in state.items()} for name, state in networks.items()}

    monkeypatch.setattr(authors, "read_published", read)


@pytest.fixture
def save(tmp_path):
    """A function: file name and content -> the file."""

    def write(name, content, **how):
        torch.save(content, tmp_path / name, **how)
        return tmp_path / name

    return write


def picture(*size, seed=5):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def numbers(shapes):
    return sum(one.numel() for name, one in drawn(shapes).items() if "running" not in name and "num" not in name)


# --- the formats themselves, so that what follows is about the published files ---------------------------------------


@pytest.mark.parametrize(
    ("shapes", "parameters", "tensors"),
    [
        (published.resnet(64, 9), 11_378_179, 48),
        (published.resnet(64, 6), 7_837_699, 36),
        (published.resnet(64, 9, norm="batch"), 11_383_427, 140),
        (published.unet(64, 8), 54_413_955, 82),
        (published.unet_light(64), 6_172_291, 28),
        (published.unet(64, 7), 41_828_995, 70),
        (published.unet(64, 8, norm="instance"), 54_409_603, 32),
        (published.patch_discriminator(64), 2_764_737, 10),
        (published.pix2pixhd_global(64, 36), 182_546_755, 56),
        (published.pix2pixhd_local(32, 36), 182_857_059, 74),
        (published.pix2pixhd_global(64, 39), 182_556_163, 56),
        (published.pix2pixhd_encoder(16), 788_803, 20),
        (published.pix2pixhd_discriminator(64, 39, 2), 5_603_202, 20),
        (published.pix2pixhd_discriminator(64, 39, 3, features=False), 8_404_803, 30),
    ],
)
def test_the_formats_have_the_published_counts(shapes, parameters, tensors):
    counted = [torch.Size(shape).numel() for name, shape in shapes.items() if not name.endswith(published_extras)]
    assert (sum(counted), len(shapes)) == (parameters, tensors)


published_extras = ("running_mean", "running_var", "num_batches_tracked", "filt")


def test_cuts_format_has_the_published_counts():
    shapes = published.antialiased_resnet(64)
    counted = [torch.Size(shape).numel() for name, shape in shapes.items() if not name.endswith("filt")]
    assert (sum(counted), len(shapes)) == (11_378_179, 52)


# --- architectures ----------------------------------------------------------------------------------------------------


def test_train_ids_have_a_channel_for_ignored_pixels(here, save, tmp_path):
    """19 and one more, as a network of theirs with --label_nc 20 has; it is filled, and its discriminator too."""
    judge = save("D.pth", drawn(published.pix2pixhd_discriminator(ins=24)))
    generator = save("G.pth", drawn(published.pix2pixhd_global(ins=21)))
    imported = import_published(generator, tmp_path / "run", TranslatorImport(discriminators=[judge], labels=19))
    assert "from 19 labels and ignored pixels and edges; 56 tensors loaded" in imported.lines[0]
    assert "from ids 0 to 18 one by one (--labels), and a channel for ignored pixels, and edges" in imported.lines[-1]


# --- what they compute ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "expected", "size"),
    [
        (published.resnet(), lambda state, image: published.of_resnet(state, image), (32, 40)),
        (published.resnet(blocks=6), lambda state, image: published.of_resnet(state, image, 6), (32, 40)),
        (published.resnet(blocks=6, dropout=True, stale=True),
         lambda state, image: published.of_resnet(bare(state), image, 6, second=6), (32, 40)),
        (published.resnet(blocks=6, norm="batch"),
         lambda state, image: published.of_resnet(own(state), image, 6), (32, 40)),
        (published.resnet(blocks=6, norm="batch", dropout=True),
         lambda state, image: published.of_resnet(own(state), image, 6, second=6), (32, 40)),
        (published.antialiased_resnet(), published.of_antialiased_resnet, (32, 40)),
        (published.antialiased_resnet(up=False), published.of_antialiased_resnet, (32, 40)),
        (published.antialiased_resnet(down=False), published.of_antialiased_resnet, (32, 40)),
        (published.unet(), lambda state, image: published.of_unet(own(state), image), (256, 256)),
        (published.pix2pixhd_global(ins=3),
         lambda state, image: published.of_resnet(state, image, halvings=4), (48, 64)),
        (published.unet_light(), published.of_unet_light, (40, 48)),
        (published.unet(halvings=7, norm="instance"),
         lambda state, image: published.of_unet(state, image, 7), (256, 256)),
    ],
)  # fmt: skip
def test_computes_what_the_authors_networks_compute(here, save, tmp_path, cpu, shapes, expected, size):
    state = drawn(shapes)
    imported = import_published(save("latest_net_G.pth", state), tmp_path / "run")
    method, _ = load_translator(imported.run, cpu)
    image = picture(*size)
    wanted = (expected(state, image * 2 - 1) + 1) / 2
    assert wanted.std() > 0.02
    torch.testing.assert_close(method.translate(image), wanted, atol=2e-5, rtol=1e-4)


def own(state):
    """To be normalised by each frame's own statistics, as pix2pix's test.py does: without those of training."""
    return {key: value for key, value in state.items() if "running" not in key}


@pytest.mark.parametrize(
    ("shapes", "expected", "size"),
    [
        (published.resnet(blocks=6, norm="batch"),
         lambda state, image: published.of_resnet(state, image, 6), (32, 40)),
        (published.unet(), published.of_unet, (256, 256)),
    ],
)  # fmt: skip
def test_saved_statistics_are_used_where_a_person_says_so(here, save, tmp_path, cpu, shapes, expected, size):
    """As pix2pix's test.py --eval does."""
    state = drawn(shapes)
    file = save("latest_net_G.pth", state)
    imported = import_published(file, tmp_path / "run", TranslatorImport(norm_statistics="saved"))
    assert "batch norm by saved statistics (--norm-statistics saved" in imported.lines[-1]
    method, _ = load_translator(imported.run, cpu)
    image = picture(*size)
    wanted = (expected(state, image * 2 - 1) + 1) / 2
    torch.testing.assert_close(method.translate(image), wanted, atol=2e-5, rtol=1e-4)
    by_frame = import_published(file, tmp_path / "frame")
    assert "saved statistics of batch norms left out" in by_frame.lines[0]
    assert "batch norm by each frame's own statistics (--norm-statistics frame" in by_frame.lines[-1]
    method, _ = load_translator(by_frame.run, cpu)
    two = torch.cat([image, 1 - image])
    torch.testing.assert_close(method.translate(two)[:1], method.translate(image), atol=2e-5, rtol=1e-4)
    assert (method.translate(image) - wanted).abs().mean() > 0.005


def test_statistics_of_norms_that_have_none_are_refused(here, save, tmp_path):
    with pytest.raises(UserError, match="--norm-statistics is for networks with batch norm, which these have not"):
        import_published(
            save("G.pth", drawn(published.resnet())), tmp_path / "run", TranslatorImport(norm_statistics="frame")
        )


def bare(state):
    """Without the statistics that nothing uses."""
    return {key: value for key, value in state.items() if "running" not in key and "num_batches" not in key}


@pytest.mark.parametrize("local", [False, True])
def test_pix2pixhd_computes_what_the_authors_do(here, save, tmp_path, cpu, local):
    shapes = published.pix2pixhd_local(2, 36) if local else published.pix2pixhd_global(4, 36)
    state = drawn(shapes)
    run = import_published(save("latest_net_G.pth", state), tmp_path / "run").run
    method, _ = load_translator(run, cpu)
    assert method.takes == "label_map" and method.labels == 35
    label_map = torch.zeros(1, 64, 64, dtype=torch.int64)
    label_map[:, 20:, :30] = 7
    label_map[:, 40:, 10:] = 34
    one_hot = torch.nn.functional.one_hot(label_map, 35).permute(0, 3, 1, 2).float()
    edges = torch.zeros(1, 1, 64, 64)
    across, down = label_map[:, :, 1:] != label_map[:, :, :-1], label_map[:, 1:] != label_map[:, :-1]
    for places, differ in (((..., slice(1, None)), across), ((..., slice(None, -1)), across)):
        edges[:, 0][places] = torch.maximum(edges[:, 0][places], differ.float())
    edges[:, 0, 1:] = torch.maximum(edges[:, 0, 1:], down.float())
    edges[:, 0, :-1] = torch.maximum(edges[:, 0, :-1], down.float())
    layout = torch.cat([one_hot, edges], 1)
    compute = published.of_local_enhancer if local else lambda s, x: published.of_resnet(s, x, 9, 4)
    wanted = (compute(state, layout) + 1) / 2
    torch.testing.assert_close(method.translate(label_map), wanted, atol=2e-5, rtol=1e-4)


# --- whole imports ----------------------------------------------------------------------------------------------------


def test_counts_are_told(here, save, tmp_path):
    imported = import_published(save("G.pth", drawn(published.resnet(stale=True))), tmp_path / "run")
    line, assumed = imported.lines
    assert assumed == (
        "assumed, as in the authors' code: RGB in -1..1; frames at their own size, mirrored to sides that divide by 4; "
        "no dropout"
    )
    assert line.startswith("source_to_target: ResNet-9 generator, 4 channels, instance norm; ")
    assert "48 tensors loaded, 0 missing, 0 unexpected; 69 statistics of instance norms, which nothing uses" in line


def test_the_run_folder_explains_itself(here, save, tmp_path):
    file = save("G.pth", drawn(published.resnet(blocks=6)))
    run = import_published(file, tmp_path / "run", TranslatorImport("target_to_source")).run
    config = json.loads((run / "config.json").read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert config["imported"] == {"target_to_source": {"file": "G.pth", "entry": "", "sha256": digest}}
    assert config["settings"]["directions"] == ["target_to_source"]
    assert json.loads((run / "final.json").read_text())["checkpoint"] == "checkpoints/step-00000000"
    with pytest.raises(UserError, match=r"holds a run with other settings.*--restart"):
        import_published(file, run)
    import_published(file, run, restart=True)
    assert json.loads((run / "config.json").read_text())["settings"]["directions"] == ["source_to_target"]


def test_one_direction_knows_no_other(here, save, tmp_path, cpu):
    run = import_published(save("G.pth", drawn(published.resnet(blocks=6))), tmp_path / "run").run
    method, _ = load_translator(run, cpu)
    with pytest.raises(ValueError, match="'target_to_source'; the valid ones are source_to_target"):
        method.translate(picture(8, 8), "target_to_source")


def test_two_generators_translate_both_ways(here, save, tmp_path, cpu):
    states = [drawn(published.resnet(blocks=6), seed) for seed in (1, 2)]
    files = [save(f"latest_net_G_{name}.pth", state) for name, state in zip("AB", states, strict=True)]
    run = import_published(files[0], tmp_path / "run", TranslatorImport(reverse=files[1])).run
    method, _ = load_translator(run, cpu)
    for direction, state in zip(("source_to_target", "target_to_source"), states, strict=True):
        wanted = (published.of_resnet(state, picture(16, 16) * 2 - 1, 6) + 1) / 2
        torch.testing.assert_close(method.translate(picture(16, 16), direction), wanted, atol=2e-5, rtol=1e-4)


def test_generators_that_change_places_are_another_import(here, save, tmp_path):
    one, other = (save(f"{seed}.pth", drawn(published.resnet(blocks=6), seed)) for seed in (1, 2))
    import_published(one, tmp_path / "run", TranslatorImport(reverse=other))
    with pytest.raises(UserError, match=r"imported\.source_to_target\.file was 1\.pth, now 2\.pth.*--restart"):
        import_published(other, tmp_path / "run", TranslatorImport(reverse=one))


def test_files_may_be_called_alike(here, tmp_path):
    """As the authors' code calls them: each experiment has a folder, and in it a latest_net_G.pth."""
    files = [tmp_path / str(seed) / "latest_net_G.pth" for seed in (1, 2, 3)]
    for seed, file in enumerate(files, 1):
        file.parent.mkdir()
        torch.save(drawn(published.resnet(blocks=6), seed), file)
    import_published(files[0], tmp_path / "run", TranslatorImport(reverse=files[1]))
    with pytest.raises(UserError, match=r"imported\.source_to_target\.sha256 was .*--restart"):
        import_published(files[2], tmp_path / "run", TranslatorImport(reverse=files[1]))


def test_a_whole_cyclegan_can_be_trained_on(here, save, tmp_path, cpu):
    states = {
        "netG_S2T": drawn(published.resnet(blocks=6), 1),
        "netG_T2S": drawn(published.resnet(blocks=6), 2),
        "netD_S": drawn(published.patch_discriminator(), 3),
        "netD_T": drawn(published.patch_discriminator(), 4),
    }
    imported = import_published(save("40.pth", states | {"epoch": 40}), tmp_path / "run")
    assert len(imported.lines) == 5
    method = to_train_on(imported.run)
    assert isinstance(method, CycleGAN)
    names = ("source_to_target", "target_to_source", "source_discriminator", "target_discriminator")
    for name, state in zip(names, states.values(), strict=True):
        loaded = method.get_submodule(name).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in state.items())
    image = picture(16, 16)
    translated = load_translator(imported.run, cpu)[0].translate(image)
    assert torch.equal(translated, method.eval().translate(image))


def to_train_on(run):
    """The method that an import is made for, as its training begins with the import for `initial`."""
    settings = settings_in(resolve_checkpoint(run), "translator")
    method = build_translator(TypeAdapter(AnyTranslatorSettings).validate_python(settings))
    take_over(method, run)
    return method


def test_pix2pixhd_with_its_discriminator(here, save, tmp_path):
    generator = save("latest_net_G.pth", drawn(published.pix2pixhd_global()))
    judge = drawn(published.pix2pixhd_discriminator(features=False))
    imported = import_published(
        generator, tmp_path / "run", TranslatorImport(discriminators=[save("latest_net_D.pth", judge)])
    )
    assert len(imported.lines) == 3 and "20 tensors loaded, 0 missing" in imported.lines[1]
    loaded = to_train_on(imported.run).discriminator.state_dict()
    assert torch.equal(loaded["scale1_layer4.0.weight"], judge["layer1.11.weight"])


def test_networks_that_are_not_given_are_told(here, save, tmp_path):
    imported = import_published(save("G.pth", drawn(published.pix2pixhd_global())), tmp_path / "run")
    assert imported.lines[1].startswith("discriminator: not given, freshly drawn")
    assert imported.lines[2].startswith(
        "assumed, as in pix2pixHD's code: from ids 0 to 34 one by one (--labels), and edges, to RGB in -1..1; frames"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("model.13.conv_block.5.bias"),
            r"47 tensors loaded, 1 missing, 0 unexpected \(first m",
        ),
        (lambda state: state.update({"model.99.weight": torch.zeros(3)}), "48 tensors loaded, 0 missing, 1 unexpected"),
        (lambda state: state.update({"model.4.bias": torch.zeros(5)}), "47 tensors loaded, 1 missing, 1 unexpected"),
        (
            lambda state: state.update({"model.13.conv_block.7.filt": torch.ones(16, 1, 3, 3)}),
            r"48 tensors loaded, 0 missing, 1 unexpected \(first model\.13\.conv_block\.7\.filt",
        ),
    ],
)
def test_what_does_not_fit_whole_is_refused(here, save, tmp_path, change, message):
    state = drawn(published.resnet())
    change(state)
    with pytest.raises(CheckpointError, match=message) as caught:
        import_published(save("G.pth", state), tmp_path / "run")
    assert "G.pth" in str(caught.value) and not (tmp_path / "run").exists()


def test_roles_that_do_not_agree_are_refused(here, save, tmp_path):
    six, nine = save("6.pth", drawn(published.resnet(blocks=6))), save("9.pth", drawn(published.resnet()))
    judge = save("D.pth", drawn(published.patch_discriminator()))
    layouts = save("H.pth", drawn(published.pix2pixhd_global()))
    run = tmp_path / "run"
    with pytest.raises(CheckpointError, match=r"6\.pth holds ResNet-6.*9\.pth ResNet-9.*expected two alike"):
        import_published(six, run, TranslatorImport(reverse=nine))
    with pytest.raises(CheckpointError, match=r"D\.pth: holds patch discriminator.*expected a generator"):
        import_published(judge, run)
    with pytest.raises(CheckpointError, match="add --reverse and --discriminator"):
        import_published(six, run, TranslatorImport(discriminators=[judge]))
    with pytest.raises(CheckpointError, match="3 discriminators"):
        import_published(six, run, TranslatorImport(discriminators=[judge] * 3))
    with pytest.raises(CheckpointError, match=r"D\.pth: holds patch discriminator.*of no use to pix2pixHD's global"):
        import_published(layouts, run, TranslatorImport(discriminators=[judge]))
    with pytest.raises(CheckpointError, match=r"H\.pth: holds pix2pixHD's.*expected a generator of images"):
        import_published(layouts, run, TranslatorImport("target_to_source"))
    both = save("both.pth", {"netA": drawn(published.resnet()), "netB": drawn(published.resnet())})
    with pytest.raises(CheckpointError, match=r"both\.pth holds 2 networks \(netA, netB\)"):
        import_published(both, run)
    assert not run.exists()


def test_a_whole_cyclegan_is_told_of_no_other_files(here, save, tmp_path):
    states = {"netG_S2T": drawn(published.resnet(blocks=6), 1), "netG_T2S": drawn(published.resnet(blocks=6), 2)}
    file, other = save("40.pth", states), save("F.pth", drawn(published.resnet(blocks=6)))
    for told in (
        TranslatorImport("target_to_source"),
        TranslatorImport(reverse=other),
        TranslatorImport(discriminators=[other]),
        TranslatorImport(encoder=other),
    ):
        with pytest.raises(CheckpointError, match=r"40\.pth holds all networks.*; leave out --direction,.* --encoder$"):
            import_published(file, tmp_path / "run", told)
    assert not (tmp_path / "run").exists()


def test_discriminators_that_none_of_our_cyclegans_trains_with_are_refused(here, save, tmp_path):
    """Of other norms than the generators', and those of CUT."""
    judges = [save(f"D_{name}.pth", drawn(published.patch_discriminator(), 3)) for name in "AB"]
    run = tmp_path / "run"
    for name, shapes, message in (
        ("batch", published.resnet(blocks=6, norm="batch"), r"D_A\.pth: its norm is not that of the generators; leave"),
        ("cut", published.antialiased_resnet(), r"cut\.pth: holds CUT's generator, which is imported without discrim"),
    ):
        file = save(f"{name}.pth", drawn(shapes))
        with pytest.raises(CheckpointError, match=message):
            import_published(file, run, TranslatorImport(reverse=file, discriminators=judges))
    assert not run.exists()


def test_parts_of_pix2pixhd_that_do_not_belong_together_are_refused(here, save, tmp_path):
    generator = save("G.pth", drawn(published.pix2pixhd_global(ins=39)))
    encoder = save("E.pth", drawn(published.pix2pixhd_encoder(features=4)))
    judge = save("D.pth", drawn(published.pix2pixhd_discriminator(ins=38)))
    run = tmp_path / "run"
    with pytest.raises(CheckpointError, match=r"E\.pth: an encoder of other styles than pix2pixHD's global.* takes"):
        import_published(generator, run, TranslatorImport(encoder=encoder))
    with pytest.raises(CheckpointError, match=r"D\.pth: holds .*, expected 39$"):
        import_published(generator, run, TranslatorImport(discriminators=[judge]))
    assert not run.exists()


# --- the command ------------------------------------------------------------------------------------------------------


def test_import_then_translate(save, tmp_path, commands):
    """Two real command lines, one real unpickling: what a person types."""
    state = drawn(wrapped_shapes(published.resnet(blocks=6, dropout=True, stale=True)))
    file = save("latest_net_G.pth", state, _use_new_zipfile_serialization=False)
    done = commands("checkpoint", "import", file, "--output", tmp_path / "run")
    assert done.code == 0, done.stderr
    assert "36 tensors loaded, 0 missing, 0 unexpected" in done.stdout and f"translator in {tmp_path}" in done.stdout
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    write_image(tmp_path / "in/frame.png", image)
    done = commands(
        "translate", "run", "--checkpoint", tmp_path / "run", "--input", tmp_path / "in", "--output", tmp_path / "out"
    )
    assert done.code == 0, done.stderr
    signed = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    wanted = published.of_resnet(bare(unwrapped(state)), signed, 6, second=6)[0].permute(1, 2, 0)
    levels = ((wanted + 1) * 127.5).round().numpy()
    assert np.abs(read_image(tmp_path / "out/frame.png").astype(int) - levels).max() <= 1


def wrapped_shapes(shapes):
    return {f"module.{key}": shape for key, shape in shapes.items()}


def unwrapped(state):
    return {key.removeprefix("module."): value for key, value in state.items()}


def test_a_bad_file_is_one_line_and_exit_code_5(tmp_path, commands):
    (tmp_path / "x.pth").write_text("<html>")
    done = commands("checkpoint", "import", tmp_path / "x.pth", "--output", tmp_path / "run")
    assert done.code == 5
    assert done.stderr.strip() == f"error: {tmp_path}/x.pth: is no file of torch.save, and none of safetensors"
    assert not (tmp_path / "run").exists()

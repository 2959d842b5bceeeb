"""Variants of an experiment: one command, what they share trained once, a table with every seed."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines.data.disk.ownership import hold
from pipelines.engine.runs import RunFolder
from pipelines.engine.session import Session
from pipelines.errors import BusyError, NumericalError, UserError
from pipelines.experiment.config import read_experiment, read_variants
from pipelines.experiment.trained import load_ensemble, load_segmenter
from pipelines.experiment.variants import open_variants
from pipelines.experiment.workspace import Workspace
from pipelines.report.variants import VariantResult, VariantStudy
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.stages.comparison.compare_variants import (
    SECONDS_BETWEEN_LOOKS,
    compare_variants,
    gap_intervals,
    measured,
)
from pipelines.stages.evaluation.scores import Evaluation, read_prediction

VARIANTS = """
[[variant]]
name = "as_it_is"

[[variant]]
name = "weighed"
settings = { "segmenter.weigh_by_consistency" = true }

[[variant]]
name = "without_identity"
settings = { "translator.identity_weight" = 0.0, translation = { height = 16 } }
train_segmenter = false

[[variant]]
name = "both"
average = ["as_it_is", "weighed"]
weights = [3, 1]
flip = true

[[variant]]
name = "mixed"
labels = [2, "all"]
[variant.settings]
"segmenter.shares" = { translated = 0.0, source = 0.5, target = 0.5 }
"segmenter.initial" = "few_labels"
"segmenter.steps" = 2

[[variant]]
name = "with_these_alone"
average = ["few_labels", "source_only", "mixed_2_labels"]
labels = [2]
"""

FINISHED = {
    "seed-0/source_only",
    "seed-0/oracle",
    "variants/as_it_is/seed-0/translator",
    "variants/as_it_is/seed-0/translated_net",
    "variants/weighed/seed-0/translated_net",
    "variants/without_identity/seed-0/translator",
    "variants/few_labels_2/seed-0/few_labels",
    "variants/mixed_2_labels/seed-0/translated_net",
    "variants/mixed_all_labels/seed-0/translated_net",
}
"""All that has to be trained: the weighed frames are those of the experiment as it is."""


@pytest.fixture(scope="module")
def compared(ran):
    return ran(VARIANTS, "variants")


def test_every_variant_is_compared_and_what_they_share_is_trained_once(compared, commands):
    run = compared.run
    study = json.loads((run / "variants.json").read_text())
    assert [result["name"] for result in study["results"]] == [
        "source_only",
        "oracle",
        "few_labels_2",
        "as_it_is",
        "weighed",
        "without_identity",
        "both",
        "mixed_2_labels",
        "mixed_all_labels",
        "with_these_alone_2_labels",
    ]
    results = {result["name"]: result for result in study["results"]}
    assert study["settings"]["without_identity"]["translator"]["identity_weight"] == 0
    assert study["settings"]["without_identity"]["translation"]["height"] == 16
    before = compared.trained()
    assert before.keys() == FINISHED
    table = (run / "variants.md").read_text()
    names = [line.split(" | ")[0] for line in table.splitlines()[4:13]]
    rows = [
        "source-only",
        "few-labels-2",
        "as-it-is",
        "weighed",
        "both",
        "mixed-2-labels",
        "mixed-all-labels",
        "with-these-alone-2-labels",
        "oracle",
    ]
    assert names == [f"| {name}" for name in rows]
    assert study["gap_intervals"].keys() <= results.keys() - {"source_only", "oracle", "without_identity"}
    figures = results["as_it_is"]["figures"]
    assert results["weighed"]["figures"] == figures
    without = results["without_identity"]
    assert without["mean_iou"] is None and without["figures"].keys() == figures.keys()
    assert figures.keys() >= {"KID-efficientnet_lite0", "edges kept (gradient SSIM)"}
    assert 0 <= figures["source-only net on frames translated to source, mIoU"] <= 1
    assert (run / "variants/as_it_is/seed-0/translated/audit.html").exists()
    assert table in compared.finished.stdout

    assert commands(*compared.arguments).code == 0
    assert compared.trained() == before


def test_what_is_said_of_a_training_names_the_variant_and_the_seed(compared):
    said = re.findall(r"^train (.*, seed 0): ", compared.finished.stderr, re.MULTILINE)
    assert set(said) == {
        "ddrnet23_slim source_only, seed 0",
        "ddrnet23_slim oracle, seed 0",
        "ddrnet23_slim few_labels in variants/few_labels_2, seed 0",
        "cyclegan in variants/as_it_is, seed 0",
        "cyclegan in variants/without_identity, seed 0",
        *(
            f"ddrnet23_slim translated in variants/{name}, seed 0"
            for name in ("as_it_is", "weighed", "mixed_2_labels", "mixed_all_labels")
        ),
    }


def test_a_variant_without_changes_is_the_experiment_itself(compared, tiny_run):
    """A variant that changes nothing has the bytes that `compare` made of the experiment."""
    weights = sorted((tiny_run / "seed-0/translated_net/checkpoints").rglob("method.safetensors"))[-1]
    same = compared.run / "variants/as_it_is" / weights.relative_to(tiny_run)
    assert same.read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ("", "has no [[variant]] to compare"),
        ('[[variant]]\nname = "a"\n[[variant]]\nname = "a"', "two variants are called a"),
        ('[[variant]]\nname = "a"\nstart_from = "b"', "variant a starts from b, which is none before it"),
        ('[[variant]]\nname = "a"\naverage = ["b", "c"]', "variant a averages b, which is none before it"),
        ('[[variant]]\nname = "a"\naverage = ["b", "c"]\nweights = [1, 2, 3]', "has 3 weights for 2"),
        ('[[variant]]\nname = "a"\naverage = ["b"]\nstart_from = "b"', "is an average of others and trains nothing"),
        ('[[variant]]\nname = "a"\naverage = ["few_labels", "oracle"]', "before it, or arms: source_only, oracle"),
        (
            '[[variant]]\nname = "a"\naverage = ["source_only", "oracle"]\nlabels = [5]',
            "variant a_5_labels: labels repeats it with so many labelled target frames, and nothing of it learns from",
        ),
        ('[[variant]]\nname = "a"\nflip = true', "weights and flip are for an average"),
        ('[[variant]]\nname = "a"\nlabels = [0]', "labels.0"),
        ('[[variant]]\nname = "a"\nlabels = [5]', "variant a_5_labels: labels repeats it with so many"),
        (
            """[[variant]]\nname = "a"\nlabels = [5]\n[variant.settings]
            "segmenter.shares" = { translated = 0.0, source = 1.0 }
            "translator.guidance" = { expert = "few_labels", task_weight = 1.0 }""",
            "nothing of it learns from them; give them a share (segmenter.shares), begin with them",
        ),
        ('[[variant]]\nname = "a"\nsettings = { "translator.stpes" = 1 }', "translator.stpes: did you mean"),
        (
            '[[variant]]\nname = "a"\nsettings = { translator = { method = "student", teacher = "a" } }',
            "variant a: translator.teacher names variant a, which is none before it; name an earlier variant",
        ),
        (
            """[[variant]]\nname = "a"\nsettings = { translator = { method = "student", teacher = "b" } }
            [[variant]]\nname = "b"\nsettings = { translator = { method = "student", teacher = "a" } }""",
            "variant a: translator.teacher names variant b, which is none before it; name an earlier variant",
        ),
        (
            """[[variant]]\nname = "a"\nsettings = { "segmenter.shares" = { translated = 0.0, source = 1.0 } }
            [[variant]]\nname = "b"\nstart_from = "a\"""",
            "variant b: start_from names variant a, which trains no translator; name a variant that does",
        ),
        (
            """[[variant]]\nname = "a"
            [[variant]]\nname = "b"\nstart_from = "a"\nsettings = { "translator.generator_channels" = 3 }""",
            "variant b: start_from names variant a, whose translator is another network: translator.generator_channels "
            "is 4 there and 3 here; give both the same",
        ),
        (
            """[[variant]]\nname = "a"\nsettings = { translator = { method = "adain" } }
            [[variant]]\nname = "b"\nstart_from = "a"
            settings = { translator = { method = "adain", encoder = "efficientnet_lite0" } }""",
            "whose translator is another network: translator.encoder is vgg19 there and efficientnet_lite0 here; give",
        ),
        (
            """[[variant]]\nname = "a_3_labels"
            [[variant]]\nname = "a"\nlabels = [3]""",
            "two variants are called a_3_labels; give each its own name",
        ),
        ('[[variant]]\nname = "a"\nlabels = [3, 3]', "variant a: labels [3, 3] hold one twice; give each once"),
    ],
)
def test_variants_that_cannot_be_are_refused(tiny_config, tmp_path, tables, said):
    path = tmp_path / "config.toml"
    path.write_text(tiny_config.read_text() + tables)
    with pytest.raises(UserError) as refusal:
        read_variants(path)
    assert said in str(refusal.value)


def test_more_labels_than_there_are_are_refused_before_anything_is_trained(tiny_config, tmp_path, cpu):
    config = tmp_path / "config.toml"
    config.write_text(tiny_config.read_text() + VARIANTS.replace('[2, "all"]', "[2, 1000]"))
    base = Workspace(read_experiment(config), tiny_config.parent, tmp_path / "run")
    with pytest.raises(UserError, match=r"labelled_target is 1000, but only [0-9]+ target frames have a label map"):
        compare_variants(open_variants(base, read_variants(config)), cpu)
    assert not list(base.run.rglob("final.json")) and not list(base.run.rglob("config.json"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            'translator = { method = "adain", encoder_weights = "nowhere" }',
            "translator.encoder_weights: nowhere does not",
        ),
        ('translator = { method = "student", teacher = "nowhere" }', "translator.teacher: nowhere is not there"),
        (
            '"segmenter.encoder_weights" = "nowhere", "segmenter.network" = "lraspp"',
            "segmenter.encoder_weights: nowhere ",
        ),
        (
            '"segmenter.adaptation" = { method = "maxsquare", guidance_weight = 0.1 }, "segmenter.network" = "lraspp"',
            "segmenter: maxsquare and lraspp: guidance_weight is above 0, and the network has no auxiliary head",
        ),
    ],
)
def test_what_a_variant_names_is_looked_for_before_anything_is_trained(tiny_config, tmp_path, cpu, settings, said):
    config = tmp_path / "config.toml"
    config.write_text(tiny_config.read_text() + f'[[variant]]\nname = "own"\nsettings = {{ {settings} }}\n')
    base = Workspace(read_experiment(config), tiny_config.parent, tmp_path / "run")
    with pytest.raises(UserError, match=f"^{re.escape(said)}"):
        compare_variants(open_variants(base, read_variants(config)), cpu)
    assert not list(base.run.rglob("final.json")) and not list(base.run.rglob("config.json"))


def test_an_average_looks_at_both_networks_and_at_mirror_images(compared, tiny_config, cpu):
    """The average's predictions are those of the weighted mean, worked out here."""
    run = compared.run
    networks = [
        load_segmenter(run / f"variants/{name}/seed-0/translated_net", cpu)[0] for name in ("as_it_is", "weighed")
    ]
    workspace = Workspace(read_experiment(tiny_config), tiny_config.parent, run)
    frames = workspace.validation[0]
    image = as_seen(frames.read_image(0), workspace.experiment.segmenter.height, "cpu")
    with torch.no_grad():
        seen = [(network(image).softmax(1) + network(image.flip(-1)).flip(-1).softmax(1)) / 2 for network in networks]
    mean = 0.75 * seen[0] + 0.25 * seen[1]
    size = frames.read_label_map(0).shape
    expected = nn.functional.interpolate(mean.log(), size, mode="bilinear").argmax(1)[0]
    folder = run / "variants/both/seed-0/evaluation"
    kept = read_prediction(folder, f"{frames.name}/{frames.frames[0].name}")
    # Where both sides round differently a pixel may tip over.
    assert (torch.from_numpy(kept) == expected).float().mean() > 0.99


def test_an_average_has_the_arms_that_are_rows_of_the_table(compared, cpu):
    """The network of these labels alone, source-only, and a variant: what was scored is known by their checkpoints."""
    run, results = compared.run, json.loads((compared.run / "variants.json").read_text())["results"]
    row = next(one for one in results if one["name"] == "with_these_alone_2_labels")
    assert (row["family"], row["labels"]) == ("with_these_alone", 2)
    averaged = (
        "variants/few_labels_2/seed-0/few_labels",
        "seed-0/source_only",
        "variants/mixed_2_labels/seed-0/translated_net",
    )
    scored = json.loads((run / "variants/with_these_alone_2_labels/seed-0/evaluation/evaluation.json").read_text())
    assert scored["identity"]["checkpoint"] == load_ensemble([run / one for one in averaged], cpu).sha256


def counted(*right):
    """An evaluation of two drives with ten pixels of road each, of which so many are found."""
    confusions = torch.zeros(2, 19, 20, dtype=torch.int64)
    for drive, pixels in enumerate(right):
        confusions[drive, 0, 0], confusions[drive, 0, 19] = pixels, 10 - pixels
    return Evaluation(["a", "b"], confusions, [], [0])


def test_every_row_with_a_share_of_the_gap_has_its_interval():
    """Alone one drive says (3 - 2) / (7 - 2), the other (5 - 2) / (7 - 2). The row of another start has no gap."""
    found = {"source_only": (2, 2), "few_labels_5": (3, 5), "other": (3, 5), "oracle": (7, 7)}
    evaluations = {(0, name): counted(*right) for name, right in found.items()}
    starts = {"other": "elsewhere"}
    results = [
        VariantResult(name, 0, one.mean_iou(), None, None, None, {}, start=starts.get(name, "random"))
        for (_, name), one in evaluations.items()
    ]
    study = VariantStudy("x", "c", "d", "m", {}, "v", {}, results)
    ends = gap_intervals(study, evaluations)
    assert ends == {"few_labels_5": (pytest.approx(0.2), pytest.approx(0.6))}


def measurement(name, held):
    """A row that another process is at as long as its name is in `held`."""

    def measure():
        if name in held:
            raise BusyError(f"{name} is in use by another process", Path("run") / name)
        return name

    return measure


def test_what_others_are_at_is_left_to_them_and_asked_for_again(capsys):
    """Nothing is waited for while there is something to do, and the table is whole and in order in the end."""
    held, waits = {"b", "c"}, []

    def wait(seconds):
        waits.append(seconds)
        held.pop()

    wanted = {(0, name): measurement(name, held) for name in "abcd"}
    results, stopped = measured(wanted, wait)
    assert {row: results[row] for row in wanted} == {(0, name): name for name in "abcd"} and stopped == {}
    assert waits == [SECONDS_BETWEEN_LOOKS] * 2
    said = capsys.readouterr().err
    assert "b, seed 0, and all else that needs run/b wait for the other process that makes it; this one goes" in said
    assert "2 of 4 are made by other processes" in said and "in use" not in said


def test_what_many_rows_build_on_is_told_once(capsys):
    """It is no error of each of them: all start from the one network that another process trains."""
    held, waits = {"source_only"}, []

    def builds():
        return measurement("source_only", held)()

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            held.clear()

    wanted = {(0, name): builds for name in "abc"}
    results, _ = measured(wanted, wait)
    assert len(results) == 3 and len(waits) == 3
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("a, seed 0, and all else that needs run/source_only wait") and second.startswith("3 of 3 ")


def test_a_training_that_collapses_costs_its_own_place_and_no_other(capsys):
    """And is not waited for, as what others are at is."""
    held = {"c"}

    def collapses():
        raise NumericalError("step 9: all is road; lower the learning rate")

    wanted = {(1, name): measurement(name, held) for name in "acd"} | {(1, "b"): collapses}
    results, stopped = measured(wanted, lambda seconds: held.clear())
    assert results == {(1, name): name for name in "acd"}
    assert stopped == {(1, "b"): "step 9: all is road; lower the learning rate"}
    assert "b, seed 1 has no result: step 9: all is road; lower the learning rate" in capsys.readouterr().err


def test_an_oracle_that_collapsed_costs_the_rows_that_it_judges_and_no_other(
    tiny_config, tmp_path, cpu, monkeypatch, capsys
):
    """Translated frames are judged by it, so their row has no result either, and the others have theirs."""

    def trained(workspace, seed, arm, session):
        if arm == "oracle":
            raise NumericalError("step 9: all is road")
        return workspace.segmenter(seed, arm)

    def judged(*arguments):
        raise UserError("no trained oracle")

    module = "pipelines.stages.comparison.compare_variants."
    for name, stand_in in {
        "train_segmenter": trained,
        "train_translator": lambda *arguments: None,
        "translate_experiment": lambda *arguments: None,
        "audit_experiment": judged,
        "evaluate_checkpoint": lambda *arguments: counted(3, 9),
        "start_of": lambda *arguments: "",
    }.items():
        monkeypatch.setattr(module + name, stand_in)
    config = tmp_path / "config.toml"
    mixed = 'name = "mixed"\nsettings = { "segmenter.shares" = { translated = 0.0, source = 1.0 } }'
    config.write_text(tiny_config.read_text() + f'[[variant]]\nname = "as_it_is"\n[[variant]]\n{mixed}\n')
    base = Workspace(read_experiment(config), tiny_config.parent, tmp_path / "run")
    study = compare_variants(open_variants(base, read_variants(config)), Session(cpu))
    assert [result.name for result in study.results] == ["source_only", "mixed"]
    assert study.stopped.keys() == {"oracle, seed 0", "as_it_is, seed 0"}


def test_a_run_that_another_process_holds_is_known_as_such(tmp_path):
    with hold(tmp_path / ".lock", "held"), pytest.raises(BusyError, match="in use by another process") as raised:
        RunFolder(tmp_path, {})
    assert raised.value.place == tmp_path

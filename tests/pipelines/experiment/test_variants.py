"""Variants: whom one builds on, where it is kept, what it shares with others."""

import pytest
import torch

from pipelines.engine.launch import Machine
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.config import read_experiment, read_variants
from pipelines.experiment.variants import Variants, open_variants
from pipelines.experiment.workspace import Workspace
from pipelines.stages.training.train_segmenter import train_segmenter

CPU = Machine(torch.device("cpu"), "fp32")

TABLES = """
[[variant]]
name = "first"
settings = { "segmenter.shares" = { translated = 0.0, source = 1.0 } }

[[variant]]
name = "taught"
[variant.settings]
"segmenter.shares" = { translated = 0.0, source = 1.0 }
"segmenter.adaptation" = { method = "distillation" }
"segmenter.teachers" = ["first", "elsewhere"]

[[variant]]
name = "same_frames"
settings = { "segmenter.learning_rate" = 0.5 }

[[variant]]
name = "same_frames_again"
settings = { "segmenter.learning_rate" = 0.25 }

[[variant]]
name = "other_frames"
settings = { "translator.identity_weight" = 0.0 }

[[variant]]
name = "budgets"
labels = [2, "all", 1]
[variant.settings]
"segmenter.steps" = 77
"segmenter.initial" = "few_labels"
"segmenter.teachers" = ["source_only"]
"segmenter.adaptation" = { method = "distillation" }

[[variant]]
name = "mean"
average = ["first", "budgets_2_labels"]

[[variant]]
name = "mean_of_arms"
labels = [2]
average = ["few_labels", "oracle", "first"]
"""


@pytest.fixture
def opened(tiny_config, tmp_path):
    """A function: tables of variants -> the miniature experiment's variants."""

    def opening(tables):
        config = tmp_path / "config.toml"
        config.write_text(tiny_config.read_text() + tables)
        return open_variants(
            Workspace(read_experiment(config), tiny_config.parent, tmp_path / "run"), read_variants(config)
        )

    return opening


@pytest.fixture
def variants(opened):
    return opened(TABLES)


def test_rows_are_variants_and_their_numbers_of_labels(variants):
    rows = {name: (row.family, row.labels, row.experiment.labelled_target) for name, row in variants.named.items()}
    assert list(rows)[:5] == ["first", "taught", "same_frames", "same_frames_again", "other_frames"]
    assert rows["budgets_2_labels"] == ("budgets", 2, 2)
    assert rows["budgets_all_labels"] == ("budgets", 0, None)
    assert rows["first"] == ("first", None, None)
    assert variants.budgets() == [1, 2, 0], "all come last"


def test_who_is_needed_first(variants):
    assert variants.needed("taught") == ["first"]
    assert variants.needed("mean") == ["first", "budgets_2_labels"]
    assert variants.needed("first") == []


GUIDED = """
[[variant]]
name = "guided"
settings = { "translator.guidance" = { consistency_weight = 1.0, expert = "oracle" } }

[[variant]]
name = "guided_longer"
[variant.settings]
"translator.guidance" = { consistency_weight = 1.0, expert = "oracle" }
"segmenter.steps" = 77

[[variant]]
name = "few"
settings = { "labelled_target" = 2, "segmenter.initial" = "few_labels" }

[[variant]]
name = "fewer"
settings = { "labelled_target" = 1, "segmenter.initial" = "few_labels" }
"""


@pytest.fixture
def guided(opened):
    return opened(GUIDED)


def test_an_arm_that_guides_is_that_of_the_row_beside_it(guided):
    """With the variant's own settings it would be another network, in the same folder."""
    assert guided.workspace("guided", 0).experiment.translator.guidance.expert == "oracle"
    run = train_segmenter(guided.base, 0, "oracle", Session(CPU))
    assert guided.workspace("guided_longer", 0).experiment.translator.guidance.expert == str(run.absolute())
    assert guided.arms("guided_longer") == {"oracle": (guided.base, "oracle")}


def test_who_knows_other_labels_has_a_folder_of_its_own_for_their_network(guided):
    """It lies beside the translator, which is the same."""
    few, fewer = (guided.workspace(name, 0) for name in ("few", "fewer"))
    assert few.segmenter(0, "few_labels") != fewer.segmenter(0, "few_labels")
    assert few.translator(0) != fewer.translator(0)


def test_a_teacher_that_is_a_variant_is_its_run_folder(variants):
    its = variants.workspace("taught", 3)
    expected = variants.workspace("first", 3).segmenter(3, "translated").absolute()
    assert its.experiment.segmenter.teachers == (str(expected), "elsewhere")
    assert its.segmenter(3, "translated").relative_to(variants.base.run).as_posix() == (
        "variants/taught/seed-3/translated_net"
    )


def test_an_arm_that_is_named_is_the_one_in_the_table_whatever_the_variant_changes(variants):
    """With the experiment's own steps, not the variant's; with a number of labels, the network of these alone."""
    named = variants.arms("budgets_2_labels")
    assert {name: (its.experiment.segmenter.steps, arm) for name, (its, arm) in named.items()} == {
        "source_only": (3, "source_only"),
        "few_labels": (3, "few_labels"),
    }
    its = variants.workspace("budgets_2_labels", 0)
    assert its.experiment.segmenter.steps == 77
    run = variants.base.run.absolute()
    assert its.experiment.segmenter.teachers == (str(run / "seed-0/source_only"),)
    assert its.experiment.segmenter.initial == str(run / "variants/few_labels_2/seed-0/few_labels")
    all_labels = variants.workspace("budgets_all_labels", 0)
    assert all_labels.experiment.segmenter.initial == str(run / "seed-0/oracle")


def test_a_mean_of_arms_and_rows_knows_where_each_is(variants):
    found = [its.segmenter(3, arm) for its, arm in variants.averaged("mean_of_arms_2_labels", 3)]
    run = variants.base.run
    assert [one.relative_to(run).as_posix() for one in found] == [
        "variants/few_labels_2/seed-3/few_labels",
        "seed-3/oracle",
        "variants/first/seed-3/translated_net",
    ]


def test_the_same_translator_and_frames_are_shared_and_others_are_not(variants):
    first, second, third = (
        variants.workspace(name, 0) for name in ("same_frames", "same_frames_again", "other_frames")
    )
    assert first.translator(0) == second.translator(0) != third.translator(0)
    assert first.segmenter(0, "translated") != second.segmenter(0, "translated")
    assert variants.workspace("same_frames", 0) is first


def test_only_what_is_asked_for_and_whole_families(tiny_config, variants):
    asked = Variants(variants.base, variants.named, ("taught", "budgets"))
    assert asked.rows() == ["taught", "budgets_2_labels", "budgets_all_labels", "budgets_1_labels"]
    assert Variants(variants.base, variants.named, ("mean",)).budgets() == []
    assert asked.needed("taught") == ["first"], "though it is not asked for"
    with pytest.raises(UserError, match=r"--only taugt: there is no such variant; did you mean taught\?"):
        Variants(variants.base, variants.named, ("taugt",))


def test_few_labels_alone_have_a_folder_for_each_number(variants):
    places = {labels: variants.few_labels(labels).segmenter(0, "few_labels") for labels in (1, 2)}
    assert places[1] != places[2]
    assert variants.few_labels(2).experiment.labelled_target == 2


TRAINED = '[[variant]]\nname = "trained"\n'
TRANSLATOR_ALONE = '[[variant]]\nname = "translator_alone"\ntrain_segmenter = false\n'
OTHER = '[[variant]]\nname = "other"\n'
MEAN = OTHER + '[[variant]]\nname = "mean"\naverage = ["trained", "other"]\n'
BUDGETS = """[[variant]]
name = "budgets"
labels = [1, 2]
settings = { "segmenter.adaptation" = { method = "ass" } }
"""


def changing(settings):
    return f'[[variant]]\nname = "other"\nsettings = {{ {settings} }}\n'


def starting_from(other):
    return f'[[variant]]\nname = "second"\nsettings = {{ "segmenter.initial" = "{other}" }}\n'


def taught_by(*others, name="second"):
    adapting = '"segmenter.adaptation" = { method = "distillation" }'
    return f'[[variant]]\nname = "{name}"\nsettings = {{ "segmenter.teachers" = {list(others)}, {adapting} }}\n'


def translating(name, table):
    return f'[[variant]]\nname = "{name}"\nsettings = {{ translator = {table} }}\n'


ADAIN = translating("looks", '{ method = "adain", crop = 64, height = 64 }')
STUDENT = '{ method = "student", teacher = "looks", crop = 32, height = 32, patch = 16, MORE }'


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            ADAIN + translating("light", STUDENT.replace("MORE", "feature_weight = 1")),
            "light: translator.teacher names variant looks: its generator is adain, which has no encoder to compare fe",
        ),
        (
            ADAIN + translating("light", STUDENT.replace("MORE", 'teacher_direction = "target_to_source"')),
            "names variant looks: whose translated frames are learnt from; leave translator.teacher_direction out",
        ),
        (starting_from("second"), r"second: segmenter\.initial names variant second, which is none before it; name an"),
        (starting_from("trained") + TRAINED, r"initial names variant trained, which is none before it"),
        (taught_by("second"), r"second: segmenter\.teachers names variant second, which is none before it"),
        (taught_by("b", name="a") + taught_by("a", name="b"), r"variant a: .*teachers names variant b, which is none"),
        (TRANSLATOR_ALONE + starting_from("translator_alone"), "translator_alone, which trains no segmenter"),
        (TRAINED + MEAN + taught_by("trained", "mean"), r"teachers names variant mean, which trains no segmenter"),
        (BUDGETS + starting_from("budgets"), "name one of budgets_1_labels, budgets_2_labels"),
        (
            TRAINED + MEAN + '[[variant]]\nname = "again"\naverage = ["other", "mean"]\n',
            "again averages mean, which trains",
        ),
        (
            TRAINED + MEAN.replace('"trained", ', ""),
            r"variant mean averages other; name two others at least, each once \(`weights` say how much each counts\)$",
        ),
        (TRAINED + MEAN.replace("trained", "other"), "variant mean averages other, other; name two others at least"),
        (TRANSLATOR_ALONE + MEAN.replace("trained", "translator_alone"), "averages translator_alone, which trains no"),
        (changing('"validation.0.frames" = 3'), "variant other: changes validation, which is the same for every row"),
        (changing("compare = { seeds = [1] }"), r"variant other: changes compare\.seeds, which is the same for every"),
        (changing("student = { steps = 3 }"), "variant other: changes student, which is the same for every row"),
        (
            '[[variant]]\nname = "first"\nsettings = { "segmenter.network" = "lraspp" }\n' + starting_from("first"),
            "variant second: segmenter.initial names first, whose network is lraspp, and segmenter.network is ddrnet23",
        ),
        (
            starting_from("oracle").replace("settings = { ", 'settings = { "segmenter.network" = "lraspp", '),
            "variant second: segmenter.initial names oracle, whose network is ddrnet23_slim, and segmenter.network is",
        ),
        (TRAINED.replace("trained", "oracle"), "variant oracle is called as a row of the table is anyway"),
        (TRAINED.replace("trained", "few_labels_2"), "variant few_labels_2 is called as a row"),
    ],
)
def test_a_variant_that_could_not_be_trained_is_refused_with_the_config(tiny_config, tmp_path, tables, said):
    """One line, before anything is trained: a circle of teachers would never end, a missing network end too late."""
    config = tmp_path / "config.toml"
    config.write_text(tiny_config.read_text() + tables)
    with pytest.raises(UserError, match=said) as error:
        read_variants(config)
    assert "\n" not in str(error.value) and str(config) in str(error.value)


def test_few_labels_teach_a_student_whose_real_patches_their_network_finds(tiny_config, tmp_path):
    config = tmp_path / "config.toml"

    def found_by(encoder):
        student = translating("light", STUDENT.replace("MORE", f'encoder = "{encoder}"')) + "labels = [2]\n"
        config.write_text(tiny_config.read_text() + ADAIN + student)
        return read_variants(config)

    assert list(found_by("few_labels")) == ["looks", "light_2_labels"]
    with pytest.raises(UserError, match="so many labelled target frames, and nothing of it learns from them"):
        found_by("oracle")


def test_an_arm_and_an_earlier_row_may_be_named(tiny_config, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(tiny_config.read_text() + BUDGETS + taught_by("budgets_2_labels", "oracle", "elsewhere/run"))
    _, experiment = read_variants(config)["second"]
    assert experiment.segmenter.teachers == ("budgets_2_labels", "oracle", "elsewhere/run")

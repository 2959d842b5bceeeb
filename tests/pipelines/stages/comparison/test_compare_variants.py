"""Variants of an experiment: one command, what they share trained once, a table with every seed."""

import json

import pytest

from pipelines.errors import UserError
from pipelines.experiment.config import read_variants

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
"""

FINISHED = {
    "seed-0/source_only",
    "seed-0/oracle",
    "variants/as_it_is/seed-0/translator",
    "variants/as_it_is/seed-0/translated_net",
    "variants/weighed/seed-0/translated_net",
    "variants/without_identity/seed-0/translator",
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
        "as_it_is",
        "weighed",
        "without_identity",
    ]
    assert study["settings"]["without_identity"]["translator"]["identity_weight"] == 0
    assert study["settings"]["without_identity"]["translation"]["height"] == 16
    before = compared.trained()
    assert before.keys() == FINISHED
    table = (run / "variants.md").read_text()
    names = [line.split(" | ")[0] for line in table.splitlines()[4:8]]
    assert names == ["| source-only", "| as-it-is", "| weighed", "| oracle"]
    figures = study["results"][2]["figures"]
    assert study["results"][3]["figures"] == figures
    assert study["results"][4]["mean_iou"] is None and study["results"][4]["figures"].keys() == figures.keys()
    assert figures.keys() >= {"KID-ddrnet23_slim", "edges kept (gradient SSIM)"}
    assert 0 <= figures["source-only net on frames translated to source, mIoU"] <= 1
    assert (run / "variants/as_it_is/seed-0/translated/audit.html").exists()
    assert table in compared.finished.stdout

    assert commands(*compared.arguments).code == 0
    assert compared.trained() == before


def test_a_variant_without_changes_is_the_experiment_itself(compared, tiny_run):
    """Same bytes as `compare` made of it."""
    weights = sorted((tiny_run / "seed-0/translated_net/checkpoints").rglob("method.safetensors"))[-1]
    same = compared.run / "variants/as_it_is" / weights.relative_to(tiny_run)
    assert same.read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ("", "has no [[variant]] to compare"),
        ('[[variant]]\nname = "a"\n[[variant]]\nname = "a"', "two variants are called a"),
        ('[[variant]]\nname = "a"\nstart_from = "b"', "variant a starts from b, which is none before it"),
        ('[[variant]]\nname = "a"\nsettings = { "translator.stpes" = 1 }', "translator.stpes: did you mean"),
    ],
)
def test_variants_that_cannot_be_are_refused(tiny_config, tmp_path, tables, said):
    path = tmp_path / "config.toml"
    path.write_text(tiny_config.read_text() + tables)
    with pytest.raises(UserError) as refusal:
        read_variants(path)
    assert said in str(refusal.value)

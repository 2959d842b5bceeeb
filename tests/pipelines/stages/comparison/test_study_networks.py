"""The study of networks: every network, arm and seed trained once, one table, costs beside scores."""

import json

import pytest

STUDY = """
[study]
networks = ["ddrnet23_slim"]
augmentation = { colour_jitter = 0.3 }
"""


@pytest.fixture(scope="module")
def studied(ran):
    return ran(STUDY, "segment", "study")


def test_every_arm_of_a_network_is_trained_once_and_told_beside_its_costs(studied, commands):
    run, finals = studied.run, studied.trained()
    folder = "networks/ddrnet23_slim"
    assert finals.keys() == {f"{folder}/seed-0/{arm}" for arm in ("oracle", "source_only")} | {
        f"{folder}/augmented/seed-0/source_only"
    }
    record = json.loads((run / "networks.json").read_text())
    assert [(one["network"], one["arm"]) for one in record["results"]] == [
        ("ddrnet23_slim", arm) for arm in ("oracle", "source_only", "augmented")
    ]
    assert record["facts"]["ddrnet23_slim"]["parameters"] == 360_139
    table = (run / "networks.md").read_text()
    assert "| ddrnet23_slim | 0.36 | " in table and table in studied.finished.stdout
    assert "ddrnet23_slim, source, augmented: 0." in (run / "networks.svg").read_text()

    assert commands(*studied.arguments).code == 0
    assert studied.trained() == finals


def test_the_augmentation_is_the_augmented_arms_alone(studied):
    jitter = {
        path.relative_to(studied.run).parts[2]: json.loads(path.read_text())["settings"]["colour_jitter"]
        for path in studied.run.rglob("source_only/config.json")
    }
    assert jitter == {"seed-0": pytest.approx(jitter["seed-0"]), "augmented": 0.3} and jitter["seed-0"] != 0.3


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ("", "has no [study] of networks"),
        ('[study]\nnetworks = ["ddrnet"]', "study.networks"),
        ('[study]\nnetworks = ["ddrnet23_slim", "ddrnet23_slim"]', "name one twice"),
        ('[study]\nnetworks = ["ddrnet23_slim"]\naugmentation = { blurr = 1 }', "augmentation.blurr is no setting of"),
        ('[study]\nnetworks = ["ddrnet23_slim"]\naugmentation = { steps = 9 }', "augmentation.steps is no setting of"),
        ('[study]\nnetworks = ["ddrnet23_slim"]\naugmentation = { blur = 2 }', "study.augmentation: segmenter.blur: "),
    ],
)
def test_a_study_that_cannot_be_is_refused(tiny_config, commands, tmp_path, tables, said):
    path = tmp_path / "config.toml"
    path.write_text(tiny_config.read_text() + tables)
    finished = commands("segment", "study", path, "--run", tmp_path / "run")
    assert finished.code == 2 and said in finished.stderr and "Traceback" not in finished.stderr
    assert not (tmp_path / "run/networks").exists()


def test_a_network_without_packaged_weights_is_refused_before_any_is_trained(tiny_config, commands, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(tiny_config.read_text() + '[study]\nnetworks = ["fpn_efficientnet_lite0", "lraspp"]\n')
    packaged = ("--set", "segmenter.encoder_weights=package")
    finished = commands("segment", "study", path, "--run", tmp_path / "run", *packaged)
    said = "encoder_weights is 'package', and no package has any for lraspp, only for networks that end in efficientn"
    assert finished.code == 2 and said in finished.stderr and "Traceback" not in finished.stderr
    assert not (tmp_path / "run/networks").exists()

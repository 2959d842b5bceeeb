"""A generator's weights alone: a file that its authors' own code reads, and that comes back as it went."""

import pytest
import torch

from pipelines.errors import UserError
from pipelines.experiment.trained import load_translator
from pipelines.pretrained.imports import TranslatorImport
from pipelines.pretrained.published_translators import import_published
from pipelines.stages.export.export_plain import export_plain
from tests.pipelines import published
from tests.pipelines.published import drawn


def test_what_was_imported_leaves_as_it_came(tmp_path):
    state = drawn(published.unet_light())
    torch.save(state, tmp_path / "gta2cs.pth")
    run = import_published(tmp_path / "gta2cs.pth", tmp_path / "run").run
    assert export_plain(run, tmp_path / "out.pth") == 28
    exported = torch.load(tmp_path / "out.pth", weights_only=True)
    assert list(exported) == list(state)
    assert all(torch.equal(exported[name], value) for name, value in state.items())


def test_what_was_trained_here_is_imported_again(tiny_run, tmp_path, cpu):
    translator = next(tiny_run.glob("seed-*/translator"))
    export_plain(translator, tmp_path / "G.pth", "target_to_source")
    run = import_published(tmp_path / "G.pth", tmp_path / "run", TranslatorImport("target_to_source")).run
    image = torch.rand(1, 3, 32, 32)
    translated = [load_translator(one, cpu)[0].translate(image, "target_to_source") for one in (translator, run)]
    assert torch.equal(*translated)


def test_a_direction_that_is_not_learnt_is_refused(tmp_path):
    torch.save(drawn(published.unet_light()), tmp_path / "gta2cs.pth")
    run = import_published(tmp_path / "gta2cs.pth", tmp_path / "run").run
    with pytest.raises(UserError, match="--direction target_to_source: There is no direction"):
        export_plain(run, tmp_path / "out.pth", "target_to_source")
    assert not (tmp_path / "out.pth").exists()

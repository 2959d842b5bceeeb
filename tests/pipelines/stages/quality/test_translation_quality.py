"""The table of quality figures, on pictures whose differences are known."""

import json
import math

import numpy as np
import pytest
import torch

from pipelines.data.images import write_image
from pipelines.errors import ImageError, NoInputsError, UserError
from pipelines.stages.quality.feature_extractors import Extractor
from pipelines.stages.quality.quality_inputs import QualityNetworks, find_inputs
from pipelines.stages.quality.translated_pairs import TranslatedFrame
from pipelines.stages.quality.translation_quality import (
    HALVES,
    Figure,
    format_quality,
    halves,
    measure_quality,
    write_quality,
)
from translate.quality.distances import frechet_distance, kernel_distance, sliced_wasserstein


def picture(seed, size=(48, 64), brightness=1.0):
    """Blocks of random grey, so that there are edges and a spectrum."""
    blocks = np.random.default_rng(seed).integers(40, 200, (size[0] // 8, size[1] // 8, 3))
    return np.clip(blocks.repeat(8, 0).repeat(8, 1) * brightness, 0, 255).astype(np.uint8)


@pytest.fixture
def painted(tmp_path):
    """A function: name and images -> their files."""

    def paint(name, images):
        paths = [tmp_path / name / f"{number:03d}.png" for number in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            write_image(path, image)
        return paths

    return paint


def paired(translated, sources):
    return [TranslatedFrame(f"drive/{t.stem}", t, s) for t, s in zip(translated, sources, strict=True)]


def by_name(figures):
    return {figure.name: figure for figure in figures}


def mean_colour(image):
    return torch.from_numpy(image.astype(np.float32)).mean((0, 1))


def test_a_translation_that_is_the_target_beats_its_source(painted, session):
    real = [picture(seed) for seed in range(6)]
    sources = painted("source", [picture(seed, brightness=0.4) for seed in range(6)])
    frames = paired(painted("translated", real), sources)
    extractor = Extractor("colour@0", mean_colour)
    rows = by_name(measure_quality(frames, painted("target", real), session, QualityNetworks([extractor])))
    assert list(rows)[:4] == [
        "KID-colour@0",
        "FID-colour@0",
        "sliced Wasserstein x1000, 48 px",
        "sliced Wasserstein x1000, 24 px",
    ]
    for name in ("FID-colour@0", "mean colour (Lab), Delta E", "spread of colour (Lab), Delta E"):
        assert rows[name].translated == pytest.approx(0, abs=1e-3) and rows[name].source > 5
        assert rows[name].target_halves > 0
    assert rows["KID-colour@0"].translated < rows["KID-colour@0"].source and rows["KID-colour@0"].deviation > 0
    assert rows["log power spectrum, dB"].source == pytest.approx(-20 * math.log10(0.4), abs=0.2)
    assert rows["fine structure (upper half), dB"].source == pytest.approx(20 * math.log10(0.4), abs=0.2)
    assert 0 < rows["edges kept (gradient SSIM)"].translated < 1


def test_of_ever_so_many_frames_a_patch_of_each_is_looked_at(painted, session, monkeypatch):
    """Patches are shared out among the frames; of more frames than patches each would have none."""
    monkeypatch.setattr("pipelines.stages.quality.translation_quality.MOST_PATCHES", 3)
    frames = paired(painted("translated", [picture(seed) for seed in range(4)]), [None] * 4)
    rows = by_name(measure_quality(frames, painted("target", [picture(9)] * 4), session, QualityNetworks([])))
    assert rows["sliced Wasserstein x1000, 48 px"].translated > 0


def test_an_untouched_translation_keeps_all_edges_and_its_source_s_distances(painted, session):
    images = [picture(seed) for seed in range(4)]
    frames = paired(painted("translated", images), painted("source", images))
    rows = by_name(measure_quality(frames, painted("target", [picture(seed) for seed in range(9, 13)]), session))
    assert rows["edges kept (gradient SSIM)"].translated == pytest.approx(1)
    assert all(row.translated == pytest.approx(row.source) for row in rows.values())
    assert not any("ID-" in name for name in rows)


def test_without_sources_their_column_is_empty(painted, session):
    images = [picture(seed) for seed in range(4)]
    frames = [TranslatedFrame(path.stem, path) for path in painted("translated", images)]
    figures = measure_quality(frames, painted("target", images), session, height=32)
    assert all(figure.source is None for figure in figures)
    assert figures[0].name == "sliced Wasserstein x1000, 32 px"


def test_flicker_is_what_the_motion_does_not_explain(painted, session):
    """The source moves; one translation moves with it, another changes its brightness by 20 levels in between."""
    wide = picture(0, (64, 128))
    drive = [wide[:, 2 * step : 2 * step + 96] for step in range(4)]
    sources, target = painted("source", drive), painted("target", drive)
    flickering = [
        np.clip(image.astype(int) + 20 * (step % 2), 0, 255).astype(np.uint8) for step, image in enumerate(drive)
    ]
    name = "flicker (flow-warped difference of 255)"
    (steady, shaky) = (
        by_name(measure_quality(paired(painted(kind, images), sources), target, session, sequence=True))[name]
        for kind, images in (("steady", drive), ("flickering", flickering))
    )
    assert steady.translated == pytest.approx(steady.source)
    assert shaky.source == pytest.approx(steady.source) and shaky.translated - shaky.source > 12


def test_label_consistency_of_frames_with_labels(tiny_run, make_workspace, session):
    inputs = find_inputs(make_workspace(run=tiny_run), 0)
    networks = inputs.networks(session, features="expert")
    expert, (extractor,) = networks.expert, networks.extractors
    assert expert.name == extractor.name and expert.name.startswith("ddrnet23_slim@")
    assert len(inputs.frames) == 5 and len(inputs.target_images()) == 4
    figures = measure_quality(inputs.frames, inputs.target_images(), session, networks)
    rows = by_name(figures)
    assert {f"KID-{expert.name}", f"FID-{expert.name}"} < rows.keys() and "FID" not in rows
    for what in ("mean of frames", "mIoU of the set"):
        row = rows[f"label consistency, {what}, by {expert.name}"]
        assert 0 <= row.translated <= 1 and 0 <= row.source <= 1
    assert extractor.extract(picture(0)).shape == (128,)


def test_the_table_and_the_file(tmp_path):
    figures = [Figure("KID-x@1", "lower", 0.012345, 0.5, -0.0001, 0.002), Figure("edges", "higher", 0.9, math.nan)]
    assert format_quality(figures).splitlines() == [
        "              translated  source  target halves  better",
        "KID-x@1  0.01235 ± 0.002     0.5        −0.0001  lower",
        "edges                0.9       –              –  higher",
        HALVES,
    ]
    assert format_quality(figures[1:]).splitlines()[-1].startswith("edges "), "without halves nothing is said of them"
    assert "below the halves" in HALVES and "KID does not depend on the number" in HALVES
    write_quality(tmp_path / "quality.json", figures, {"command": "x"})
    read = json.loads((tmp_path / "quality.json").read_text())
    assert read["figures"][0]["translated"] == 0.012345 and read["figures"][1]["source"] is None
    assert read["about"] == {"command": "x"}


@pytest.mark.parametrize(("images", "runs"), [(4, 4), (15, 15), (16, 8), (17, 9), (23, 12), (100, 9), (160, 8)])
def test_halves_are_every_other_run(images, runs):
    first, second = halves(range(images))
    assert sorted([*first, *second]) == list(range(images)) and first[0] == 0
    changes = sum((index in second) != (index - 1 in second) for index in range(1, images))
    assert changes + 1 == runs


def test_small_sets_are_further_apart_but_by_kid():
    """Of 40 and of 20 numbers of one distribution: what FID and sliced Wasserstein say of equal sets is their size."""
    drawn = torch.randn(200, 80, 4, generator=torch.Generator().manual_seed(0))
    for distance in (frechet_distance, sliced_wasserstein):
        whole, half = (
            sum(float(distance(one[:size], one[40 : 40 + size])) for one in drawn) / len(drawn) for size in (40, 20)
        )
        assert half > 1.2 * whole > 0
    kid = [kernel_distance(one[:20], one[40:60], subsets=1, subset_size=20)[0] for one in drawn]
    assert abs(sum(kid) / len(kid)) < 3 * torch.tensor(kid).std() / math.sqrt(len(kid))


def test_what_cannot_be_measured_is_refused(painted, session):
    files = painted("translated", [picture(seed) for seed in range(4)])
    frames = [TranslatedFrame(path.stem, path) for path in files]
    with pytest.raises(NoInputsError, match="4 translated and 3 target images; expected at least 2 and 4"):
        measure_quality(frames, files[:3], session)
    with pytest.raises(UserError, match="name the sources"):
        measure_quality(frames, files, session, sequence=True)


@pytest.mark.parametrize(
    ("size", "height", "said"),
    [
        ((48, 2), None, "it is 2x48; compared at a height of 48 it is 2x48, and its coarsest level, 1x24, is smaller"),
        ((6, 64), None, "it is 64x6; compared at a height of 6 it is 64x6, and its coarsest level, 64x6, is smaller"),
        ((96, 40), 16, "it is 40x96; compared at a height of 16 it is 7x16"),
        ((96, 36), 16, "it is 36x96; compared at a height of 16 it is 6x16, and its coarsest level, 6x16, is smaller"),
    ],
)
def test_an_image_without_room_for_patches_is_named(painted, session, size, height, said):
    """Before anything is measured; one that has just enough room is measured."""
    narrow = np.full((*size, 3), 90, np.uint8)
    target = painted("target", [*[picture(seed) for seed in range(3)], narrow])
    frames = [TranslatedFrame(path.stem, path) for path in painted("translated", [picture(9)] * 2)]
    if "coarsest" not in said:
        assert measure_quality(frames, target, session, height=height)
        return
    with pytest.raises(ImageError, match=rf"target/003\.png: {said} than a patch of 7x7; leave it out"):
        measure_quality(frames, target, session, height=height)


def test_a_frame_too_small_for_edges_is_named(painted, session):
    small = [np.full((10, 24, 3), 40 * number, np.uint8) for number in range(4)]
    files = painted("translated", small)
    with pytest.raises(ImageError, match=r"translated/000\.png: Images are 24x10; SSIM's window is 11 pixels wide"):
        measure_quality(paired(files, files), files, session)

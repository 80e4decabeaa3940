"""The kinds of failure of figure 8, and the sheets of candidates, from results."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kinemacolor.core.color import lab_to_rgb
from kinemacolor.core.types import Array
from kinemacolor.evaluation.benchmark import MeasurementSettings, run
from kinemacolor.evaluation.failures import failure_masks, failure_sheet
from kinemacolor.evaluation.methods import parse_methods
from kinemacolor.evaluation.pictures import decode_picture
from kinemacolor.evaluation.report import candidate_sheet, write_report
from kinemacolor.evaluation.results import Results
from tests.evaluation.toys import toy_protocol, write_frames
from tests.training.toys import moving


def patches(*colors: tuple[float, float]) -> Array:
    """A row of patches of 8 × 8 pixels, L* 60 with these a*, b*."""
    lab = np.array([[(60, a, b) for a, b in colors]], np.float32)
    return np.rint(255 * np.clip(lab_to_rgb(lab), 0, 1)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)


def test_wrong_and_faded_colors_are_told_apart() -> None:
    truth = patches((30, 30), (30, 30), (30, 30), (5, 0), (30, 30))
    result = patches((30, 30), (-30, 30), (4, 3), (0, 0), (40, 30))
    masks = failure_masks(result, truth)
    assert masks["wrong"][4, ::8].tolist() == [False, True, False, False, False]
    assert masks["faded"][4, ::8].tolist() == [False, False, True, False, False]


def test_sheets_show_failures_and_candidates(tmp_path: Path) -> None:
    write_frames(tmp_path / "clips" / "one", moving(6, 48, 64, speed=4))
    methods = parse_methods("gray,matching")
    settings = MeasurementSettings(flow="dis", perceptual=False)
    finished = run(tmp_path / "clips", methods, tmp_path / "out", toy_protocol(tmp_path), settings=settings, jobs=0)
    results = Results(finished, {})
    failures = failure_sheet(results, "one")
    assert failures is not None
    assert decode_picture(failures).shape[1] == 4 * 64
    assert candidate_sheet(results, "one", "gray") is None
    shown = candidate_sheet(results, "one", "matching")
    assert shown is not None
    assert decode_picture(shown).shape[1] == 8 * 64  # input, W1, S1, P, s_P, nearest, result, truth
    write_report(results, tmp_path / "report")
    expected = {"one.jpg", "one-matching-candidates.jpg", "one-failures.jpg"}
    assert set(os.listdir(tmp_path / "report" / "sheets")) == expected


def test_colormnets_column_stands_beside_the_true_one(tmp_path: Path) -> None:
    """With and without the reference's own frame; its mean is over all frames, ours over clips."""
    for name, count in (("one", 6), ("two", 4)):
        write_frames(tmp_path / "clips" / name, moving(count, 48, 64, seed=count, speed=4))
    settings = MeasurementSettings(flow="dis", perceptual=False)
    methods = parse_methods("flow")
    finished = run(tmp_path / "clips", methods, tmp_path / "out", toy_protocol(tmp_path), settings=settings, jobs=0)
    plain, results = Results(finished, {}), Results(finished, {}, ("colormnet",))
    assert [column.key for column in results.columns()][-3:] == ["psnr_colormnet", "psnr_colormnet_other", "psnr_other"]
    assert not [column for column in plain.columns() if "colormnet" in column.key]
    frames = {clip: results.result(clip, "flow").measurement.per_frame for clip in results.clips}
    other = [value for clip in frames for value in frames[clip]["psnr_colormnet"][1:]]
    means = results.means["flow"]
    assert means["psnr_colormnet_other"] == (None if max(other) >= 999 else np.mean(other))
    assert means["psnr_other"] == np.mean([np.mean(frames[clip]["psnr"][1:]) for clip in frames])
    assert means["psnr_other"] < (means["psnr"] or 0)  # the reference's own frame is nearly exact

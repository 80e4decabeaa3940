"""Validation during training, its log and its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab
from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult
from kinemacolor.evaluation.metrics import psnr
from kinemacolor.model.network import Network
from kinemacolor.training.run.logger import RunLogger, picture_grid
from kinemacolor.training.run.progress import progress_text
from kinemacolor.training.run.train_state import freeze_statistics
from kinemacolor.training.validation.validation import (
    ValidationResult,
    held_out_clips,
    validate_engine,
    validate_matching,
    validate_network,
)
from tests.model import toys
from tests.training.toys import toy_cache


class Copying:
    """Gives each frame the reference's colors, place by place."""

    name, block_size = "copying", 2

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        count = references[0].lightness.size
        ab = references[0].ab.reshape(-1, 2)
        return ReferenceBank(np.zeros((count, 1), np.float32), ab, np.ones(count, np.bool_), tuple(references))

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        ab = np.stack([bank.references[0].ab] * len(luma_block))
        return StepResult(ab, luma_block * 0, luma_block[..., None], EngineState())


def recolored(film: Array, ab: FloatArray) -> Array:
    lab = rgb_to_lab(film.astype(np.float32) / 255)
    lab[..., 1:] = ab
    return np.clip(np.rint(lab_to_rgb(lab) * 255), 0, 255).astype(np.uint8)


def test_figures_are_means_over_frames_then_clips(tmp_path: Path) -> None:
    cache = toy_cache(tmp_path / "cache", films=2, frames=11)
    clips = held_out_clips(cache, ["f?"], 10, 44)
    assert [clip.name for clip in clips] == ["films/f0", "films/f1"]
    assert [clip.film.shape for clip in clips] == [(10, 44, 69, 3)] * 2
    result, last_frames = validate_engine(Copying(), clips)
    expected, last, mirrored = [], [], []
    for clip in clips:
        film = recolored(clip.film, clip.reference.ab)
        values = np.minimum(psnr(film, clip.film), 100)
        expected.append(values[1:].mean())  # the first frame is the reference
        last.append(values[-8:].mean())
        from_mirrored = recolored(clip.film[:6], clip.reference.ab[:, ::-1])
        mirrored.append(np.minimum(psnr(from_mirrored, clip.film[:6]), 100)[1:].mean())
        np.testing.assert_allclose(last_frames[clip.name], film[-1], atol=1)
    assert result.psnr == pytest.approx(np.mean(expected), abs=0.05)
    assert result.last == pytest.approx(np.mean(last), abs=0.05)
    assert result.mirrored == pytest.approx(np.mean(mirrored), abs=0.05)
    assert result.by_clip["films/f1"] == pytest.approx(expected[1], abs=0.05)
    assert result.colorfulness == pytest.approx(1, abs=0.1)
    assert validate_engine(Copying(), clips, mirrored=False)[0].mirrored is None


def test_names_that_are_not_films(tmp_path: Path) -> None:
    cache = toy_cache(tmp_path / "cache")
    with pytest.raises(UsageError, match="p0 is not a film"):
        held_out_clips(cache, ["p0"], 4, 32)
    with pytest.raises(UsageError, match="no clip is named 'f9'"):
        held_out_clips(cache, ["f9"], 4, 32)


def test_a_network_is_validated_and_not_changed(tmp_path: Path) -> None:
    clips = held_out_clips(toy_cache(tmp_path / "cache"), ["f0"], 3, 32)
    torch.manual_seed(0)
    network = Network(toys.toy_config("lite", blocks=1), pretrained=False).train()
    freeze_statistics(network.colorization)  # type: ignore[arg-type]
    modes = [module.training for module in network.modules()]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result, last_frames = validate_network(network, clips, torch.device("cpu"), mirrored=False)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert 10 < result.psnr < 100
    assert last_frames["films/f0"].shape == clips[0].film.shape[1:]
    assert 20 < validate_matching(clips, mirrored=False).psnr < 100


def test_the_log_continues_where_the_run_does(tmp_path: Path) -> None:
    lines: list[str] = []
    clips = tuple(held_out_clips(toy_cache(tmp_path / "cache"), ["f0"], 3, 32))
    logger = RunLogger(tmp_path / "run", 0, lines.append)
    for step in (1, 2, 3):
        logger.log(step, "losses", {"l1": step / 2})
    result = ValidationResult(30.123, 29.0, 0.9, None, {"films/f0": 30.123})
    logger.log_validation(3, result, clips, {"films/f0": clips[0].film[0]})
    logger.close()
    assert lines == ["step 3: PSNR 30.12 dB (last 29.00), colorfulness 0.90"]
    assert (tmp_path / "run" / "pictures" / "step-000003.jpg").is_file()
    log = tmp_path / "run" / "log.jsonl"
    with log.open("a") as file:
        file.write('{"step": 4, "ki')  # killed while writing
    RunLogger(tmp_path / "run", 2, lines.append).log(3, "losses", {"l1": 9})
    kept = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(r["step"], r["l1"]) for r in kept] == [(1, 0.5), (2, 1), (3, 9)]
    RunLogger(tmp_path / "silent", 0, lines.append, silent=True).say("nothing")
    assert not (tmp_path / "silent").exists()
    assert len(lines) == 1


def test_pictures_show_gray_result_and_truth(tmp_path: Path) -> None:
    clips = tuple(held_out_clips(toy_cache(tmp_path / "cache"), ["f0", "f1"], 2, 60))
    grid = picture_grid(clips, {clip.name: clip.film[-1] for clip in clips}, width=94)
    assert grid.shape == (120, 282, 3)
    np.testing.assert_array_equal(grid[:60, 94:188], clips[0].film[-1])
    np.testing.assert_array_equal(grid[60:, 188:], clips[1].film[-1])
    assert (grid[:, :94] == grid[:, :94, :1]).all()


def test_progress_shows_losses_speed_and_time_left() -> None:
    text = progress_text(20, 100, {"l1": 1.23456, "gate": 0.1}, 3.456, 3725)
    assert text == "step 20/100  l1 1.235  gate 0.1  |  3.46 frames/s  |  1:02:05 left"
    assert progress_text(1, 2, {}, 1, 61).endswith("1:01 left")

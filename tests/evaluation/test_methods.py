"""Methods by their names, the clips they color, and results of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from kinemacolor.baselines.external import ExternalResults, read_image
from kinemacolor.baselines.flow import FlowEngine
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult
from kinemacolor.engine.registry import ENGINES, EngineOptions, EngineRecord
from kinemacolor.evaluation.clips import BenchmarkClip, ClipTruth, load_clip
from kinemacolor.evaluation.exemplars import parse_choice, references_of
from kinemacolor.evaluation.methods import (
    TABLE_2_ROWS,
    Method,
    color,
    method_names,
    method_patterns,
    parse_methods,
    table_methods,
)
from kinemacolor.evaluation.metrics import psnr
from tests.evaluation.toys import color_film, toy_protocol, write_film, write_frames
from tests.stills import halves, write_still


@pytest.fixture
def truth(tmp_path: Path) -> ClipTruth:
    return load_clip(BenchmarkClip("a", write_frames(tmp_path / "clips" / "a", color_film(6))), toy_protocol(tmp_path))


def test_names_become_methods() -> None:
    methods = parse_methods("gray, matching,matching-alone,external:Other Tool=some/folder")
    assert [method.name for method in methods] == ["gray", "matching", "matching-alone", "Other Tool"]
    assert [method.kind for method in methods] == ["baseline", "engine", "engine", "external"]
    assert [dict(method.options) for method in methods[1:3]] == [{}, {"propagation": "off"}]
    assert methods[3].path == Path("some/folder")
    assert all(method.summary for method in methods)
    assert [parse_methods(name)[0].name for name in method_names()] == method_names()


def test_gray_is_accepted_by_its_old_name() -> None:
    assert parse_methods("grey,flow") == parse_methods("gray,flow")  # codespell:ignore
    with pytest.raises(UsageError, match="gray is there twice"):
        parse_methods("gray,grey")  # codespell:ignore


def test_a_new_engine_is_a_method_without_further_changes(
    truth: ClipTruth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[EngineOptions] = []

    def open_toy(options: EngineOptions) -> Engine:
        seen.append(options)
        return FlowEngine()

    for name, needs_weights in (("toy", False), ("learned-toy", True)):
        takes = frozenset({"weights", "block_size"}) if needs_weights else frozenset[str]()
        record = EngineRecord(name, f"the engine {name}", open_toy, tuple, takes, needs_weights)
        monkeypatch.setitem(ENGINES, name, record)
    assert {"toy", "toy-alone", "toy-chained", "toy-memory"} <= set(method_names())
    assert not [name for name in method_names() if name.startswith("learned-toy")]
    assert "learned-toy:NAME=PATH" in method_patterns()
    (tmp_path / "weights").touch()
    methods = parse_methods(f"toy,toy-alone,learned-toy:mine={tmp_path / 'weights'}+memory+block2")
    assert [method.name for method in methods] == ["toy", "toy-alone", "mine"]
    assert [method.summary.split("the engine ")[1] for method in methods] == [
        "toy",
        "toy (propagation: off)",
        "learned-toy (color memory: True, block size: 2)",
    ]
    references, _ = references_of(truth, parse_choice("first"))
    expected = color(parse_methods("flow")[0], truth, references)
    for method in methods:
        np.testing.assert_array_equal(color(method, truth, references).film, expected.film)
    assert [(options.propagation, options.color_memory, options.block_size) for options in seen] == [
        ("full", None, None),
        ("off", None, None),
        ("full", True, 2),
    ]
    with pytest.raises(UsageError, match=r"there is no method learned-toy; choose among .*toy, toy-alone"):
        parse_methods("learned-toy")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no method"),
        ("gray,nonsense", "there is no method nonsense"),
        ("gray,flow,gray", "gray is there twice"),
        ("external:folder", "does not name its results"),
        ("external:=folder", "does not name its results"),
        ("external:a/b=folder", "does not name its results"),
        ("external:truth=folder", "the name truth has another meaning"),
        ("external:gray=folder", "the name gray has another meaning"),
        ("gray-alone", "there is no method gray-alone"),
    ],
)
def test_bad_methods_are_named(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_methods(text)


def test_gray_is_the_truths_lightness_and_no_color(truth: ClipTruth) -> None:
    references, _ = references_of(truth, parse_choice("first"))
    done = color(parse_methods("gray")[0], truth, references)
    lab = rgb2lab(truth.rgb / 255.0)
    lab[..., 1:] = 0
    assert np.abs(done.film.astype(int) - np.rint(lab2rgb(lab) * 255)).max() <= 1
    assert done.confidence == [0.0] * 6


@pytest.mark.parametrize("name", ["flow", "matching-alone"])
def test_engines_see_lightness_alone_and_give_colors_back(truth: ClipTruth, name: str) -> None:
    references, _ = references_of(truth, parse_choice("first"))
    method = parse_methods(name)[0]
    done = color(method, truth, references)
    gray = color(parse_methods("gray")[0], truth, references)
    assert psnr(done.film, truth.rgb).mean() > psnr(gray.film, truth.rgb).mean() + 3
    assert done.seconds is not None
    assert done.seconds > 0
    assert done.confidence is not None
    assert len(done.confidence) == 6
    blind = ClipTruth(**{**vars(truth), "rgb": np.zeros_like(truth.rgb)})
    np.testing.assert_array_equal(color(method, blind, references).film, done.film)


class RecordingEngine:
    """An engine that records the order of its frames; −1 stands for the start of a bank."""

    def __init__(self, inner: Engine, truth: ClipTruth) -> None:
        self.inner, self.lightness, self.order = inner, truth.lightness, list[int]()
        self.name, self.block_size = inner.name, inner.block_size

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        self.order.append(-1)
        return self.inner.start(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        for image in luma_block:
            same = [index for index, frame in enumerate(self.lightness) if np.array_equal(frame, image)]
            self.order += same[:1]
        return self.inner.step(luma_block, bank, state)


@pytest.mark.parametrize(
    ("choice", "order"),
    [
        ("first", [-1, 0, 1, 2, 3, 4, 5]),
        ("middle", [-1, 3, 2, 1, 0, -1, 3, 4, 5]),
        ("last", [-1, 5, 4, 3, 2, 1, 0, -1, 5]),
        ("every:4", [-1, 4, 3, 2, 1, 0, 0, 1, 2, 3, -1, 4, 5]),
    ],
)
def test_frames_before_a_reference_are_colored_backward(
    truth: ClipTruth, monkeypatch: pytest.MonkeyPatch, choice: str, order: list[int]
) -> None:
    chosen = parse_choice(choice)
    references, _ = references_of(truth, chosen)
    method = parse_methods("flow")[0]
    engine = RecordingEngine(method.open(1), truth)
    monkeypatch.setattr(Method, "open", lambda _self, _threads: engine)
    done = color(method, truth, references, frames=chosen.indices(len(truth)))
    assert engine.order == order
    assert done.confidence is not None
    assert len(done.confidence) == 6
    assert (psnr(done.film, truth.rgb)[chosen.indices(len(truth))] > 50).all()


def test_weights_are_part_of_the_fingerprint_of_a_method(truth: ClipTruth) -> None:
    fingerprints = [method.fingerprint(truth.clip) for method in parse_methods("gray,matching,matching-alone")]
    assert "matching.onnx" in fingerprints[1]["weights"]
    assert len({str(fingerprint) for fingerprint in fingerprints}) == 3


# --- trained networks --------------------


def test_trained_networks_are_named_with_their_weights_and_switches(tmp_path: Path) -> None:
    file, folder = tmp_path / "a+b.safetensors", tmp_path / "exported"
    file.write_bytes(b"1")
    folder.mkdir()
    (folder / "encode.onnx").write_bytes(b"2")
    one, two = parse_methods(f"torch:Lite 1={file}+memory+block3,onnx:x={folder}+chained")
    assert (one.name, one.base, one.path) == ("Lite 1", "torch", file)
    assert dict(one.options) == {"color_memory": True, "block_size": 3}
    assert (two.base, two.path, dict(two.options)) == ("onnx", folder, {"propagation": "chained"})
    before = two.fingerprint(BenchmarkClip("a", tmp_path))
    (folder / "encode.onnx").write_bytes(b"3")
    assert two.fingerprint(BenchmarkClip("a", tmp_path)) != before
    for text, problem in (
        (f"torch:x={tmp_path}/absent", "no such weights"),
        (f"torch:x={file}+block7", "no such weights"),
    ):
        with pytest.raises(InputError, match=problem):
            parse_methods(text)


def test_tables_of_the_paper_need_their_networks(tmp_path: Path) -> None:
    (tmp_path / "full.safetensors").touch()
    (tmp_path / "no-linkage").mkdir()
    with pytest.raises(InputError, match="does not contain the networks no-transformer, no-double-head;"):
        table_methods(2, tmp_path)
    for row in TABLE_2_ROWS[:2]:
        (tmp_path / f"{row}.safetensors").touch()
    assert [(m.name, m.base) for m in table_methods(2, tmp_path)] == list(
        zip(TABLE_2_ROWS, ("torch", "torch", "onnx", "torch"), strict=True)
    )
    sizes = table_methods(3, tmp_path / "full.safetensors")
    assert [(m.name, dict(m.options)) for m in sizes] == [(f"N={n}", {"block_size": n}) for n in range(1, 7)]
    with pytest.raises(InputError, match="no such weights"):
        table_methods(3, tmp_path / "absent")
    with pytest.raises(UsageError, match="table: 1 is not a table"):
        table_methods(1, tmp_path)


def test_block_sizes_of_a_network_run(truth: ClipTruth, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    pytest.importorskip("onnx", reason="needs the extra train")
    from tests.engine.networks import network_folder

    references, _ = references_of(truth, parse_choice("first"))
    weights = network_folder("lite", tmp_path_factory) / "network.safetensors"
    for method in table_methods(3, weights)[::4]:
        assert method.open(1).block_size == dict(method.options)["block_size"]
        done = color(method, truth, references)
        assert done.film.shape == truth.rgb.shape
        assert len(done.confidence or []) == len(truth)


# --- other tools --------------------


def external(folder: Path) -> Method:
    return parse_methods(f"external:other={folder}")[0]


def test_results_of_another_tool_are_not_changed(tmp_path: Path, truth: ClipTruth) -> None:
    film = color_film(6, seed=3)
    write_frames(tmp_path / "frames" / "a", film, start=1)
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "a.mkv", film)
    done = color(external(tmp_path / "frames"), truth, [])
    np.testing.assert_array_equal(done.film, film)
    assert (done.confidence, done.seconds) == (None, None)
    assert np.abs(color(external(tmp_path / "films"), truth, []).film.astype(int) - film).max() <= 3


def test_results_at_the_size_of_the_clip_are_resized_like_the_truth(tmp_path: Path) -> None:
    clip = BenchmarkClip("a", write_frames(tmp_path / "clips" / "a", color_film(3, 96, 144)))
    truth = load_clip(clip, toy_protocol(tmp_path, width=48, height=32))
    done = color(external(tmp_path / "clips"), truth, [])
    np.testing.assert_array_equal(done.film, truth.rgb)


def test_a_result_may_hold_the_whole_clip_where_less_is_compared(tmp_path: Path) -> None:
    clip = BenchmarkClip("a", write_frames(tmp_path / "clips" / "a", color_film(5)))
    truth = load_clip(clip, toy_protocol(tmp_path, frames=3))
    np.testing.assert_array_equal(color(external(tmp_path / "clips"), truth, []).film, truth.rgb)
    write_frames(tmp_path / "short" / "a", color_film(4))
    with pytest.raises(InputError, match="has 4 frames, expected 3 or 5"):
        color(external(tmp_path / "short"), truth, [])


def test_incomplete_results_are_named(tmp_path: Path, truth: ClipTruth) -> None:
    film = color_film(7)

    def folder(name: str) -> Path:
        return write_frames(tmp_path / name / "a", film[:6])

    (folder("gap") / "00003.png").unlink()
    (folder("twice") / "copy_00003.png").write_bytes((tmp_path / "twice" / "a" / "00003.png").read_bytes())
    write_still(folder("nameless") / "sheet.png", halves())
    (folder("corrupt") / "00002.png").write_bytes(b"")
    write_frames(tmp_path / "long" / "a", film)
    write_frames(tmp_path / "size" / "a", film[:6, :40])
    (tmp_path / "empty" / "a").mkdir(parents=True)
    (tmp_path / "film").mkdir()
    write_film(tmp_path / "film" / "a.mkv", film[:5])
    for name, problem in (
        ("absent", "is not a folder"),
        ("clips/a", "has no result for the clip a"),
        ("gap", "frames 3 are missing"),
        ("twice", "has frame 3 twice"),
        ("nameless", "has no frame number"),
        ("corrupt", "cannot be read as an image"),
        ("long", "has 7 frames, expected 6"),
        ("film", "has 5 frames, expected 6"),
        ("size", "is 64x40, expected 64x48"),
        ("empty", "folder without images"),
    ):
        with pytest.raises(InputError, match=problem) as raised:
            color(external(tmp_path / name), truth, [])
        assert "\n" not in str(raised.value)


def test_numbers_order_frames_whatever_their_width(tmp_path: Path) -> None:
    film = color_film(11)
    for number, frame in enumerate(film):
        (tmp_path / "r" / "a").mkdir(parents=True, exist_ok=True)
        write_still(tmp_path / "r" / "a" / f"out{number}.png", frame)
    answer = ExternalResults(tmp_path / "r").frames("a", 11, 11, (48, 64), (48, 64))
    np.testing.assert_array_equal(answer, film)
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "r" / "a" / "out10.png") * 255), film[10])

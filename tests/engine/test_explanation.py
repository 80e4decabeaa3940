"""What engines chose from: the same candidates as inside the network, and the frame that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.explanation import CandidateMaps, Explanation
from kinemacolor.engine.registry import open_engine
from kinemacolor.pipeline.explain import explain_frame
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.report.candidates import candidate_pictures
from tests.engine.conformance import scene
from tests.media import Film, make_film
from tests.stills import halves, write_still


def film(frames: int = 3) -> tuple[FloatArray, Reference]:
    lightness, ab = scene(48, 64, frames)
    return lightness, Reference(lightness[0], ab[0], np.ones((48, 64), np.bool_))


def explained(engine: Any, lightness: FloatArray, reference: Reference) -> tuple[list[Explanation], list[FloatArray]]:
    found: list[Explanation] = []
    engine.observer = lambda block, explain: found.append(explain())
    bank, state, colors = engine.start([reference]), None, []
    for start in range(0, len(lightness), engine.block_size):
        step = engine.step(np.ascontiguousarray(lightness[start : start + engine.block_size]), bank, state)
        state = step.state
        colors.append(step.ab)
    return found, colors


@pytest.mark.parametrize(("name", "candidates"), [("matching", ["W1", "P"]), ("lite", ["W1", "W2", "P", "gray"])])
def test_engines_show_their_candidates(name: str, candidates: list[str]) -> None:
    lightness, reference = film()
    found, colors = explained(open_engine(name, threads=1), lightness, reference)
    assert [each.name for each in found[-1].candidates] == candidates
    result = np.concatenate([each.ab for each in found])
    np.testing.assert_array_equal(result, np.concatenate(colors))
    for each in found[-1].candidates:
        assert each.ab.shape == (*found[-1].lightness.shape, 2)
        assert each.similarity.shape == found[-1].lightness.shape
    titles = [title for title, _ in candidate_pictures(found[0])]
    assert titles[:2] == ["W1", "S1"]
    assert titles[-1] == "result"
    assert titles[-2].startswith("W1 ")


@pytest.mark.parametrize("kind", ["paper", "lite-full"])
def test_heads_are_those_of_the_network(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers that go into the colorization subnet."""
    torch = pytest.importorskip("torch")
    from kinemacolor.engine.network import NetworkEngine
    from kinemacolor.engine.torch_runner import TorchRunner
    from tests.model import toys

    network = toys.toy(kind).float()
    engine = NetworkEngine(TorchRunner(network, device="cpu", bfloat16=False), block_size=1)
    seen = []
    forward = network.colorization.forward

    def spy(*arguments: Any) -> Any:
        seen.append(arguments[1])
        return forward(*arguments)

    monkeypatch.setattr(network.colorization, "forward", spy)
    lightness, reference = film(2)
    found, _ = explained(engine, lightness, reference)
    for candidates, explanation in zip(seen[-2:], found, strict=True):
        for inside, outside in zip(candidates, explanation.candidates, strict=False):
            ab = inside.ab[0, -1].permute(1, 2, 0)[:48, :64].numpy()
            np.testing.assert_allclose(outside.ab[0], ab, atol=2e-2)
            np.testing.assert_allclose(outside.similarity[0], inside.similarity[0, -1, 0, :48, :64].numpy(), atol=1e-3)
    assert torch.is_tensor(seen[0][0].ab)


def test_the_nearest_candidate_is_one_that_has_a_color() -> None:
    shape = (1, 2, 2)
    red, none = np.full((*shape, 2), 40, np.float32), np.zeros((*shape, 2), np.float32)
    ones, absent = np.ones(shape, np.float32), -np.ones(shape, np.float32)
    result = np.array([[[[38, 41], [1, 0]], [[0, 0], [21, 21]]]], np.float32)
    maps = (CandidateMaps("W1", red, ones), CandidateMaps("P", none, absent), CandidateMaps("gray", none, ones))
    explanation = Explanation(ones, maps, result)
    assert explanation.nearest().tolist() == [[[0, 2], [2, 0]]]


def test_a_frame_of_a_film_is_explained(tmp_path: Path) -> None:
    movie = tmp_path / "film.mp4"
    make_film(movie, Film(count=8))
    write_still(tmp_path / "still.png", halves())

    def spec(**changes: Any) -> JobSpec:
        fields = {"film": movie, "output": tmp_path / "sheet.png", "references": (tmp_path / "still.png",), **changes}
        return JobSpec(**fields, settings=ColorizeSettings(engine="matching"))

    answer = explain_frame(spec(), 5)
    assert sum(answer.shares.values()) == pytest.approx(1)
    assert set(answer.shares) <= {"W1", "P"}
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "sheet.png", "still.png"]
    with pytest.raises(OutputError, match="exists already"):
        explain_frame(spec(), 5)
    with pytest.raises(UsageError, match="is no name for a sheet"):
        explain_frame(spec(output=tmp_path / "a.mp4"), 5)
    with pytest.raises(UsageError, match=r"frame: .* has no frame 99"):
        explain_frame(spec(output=tmp_path / "b.png"), 99)
    assert not (tmp_path / "b.png").exists()

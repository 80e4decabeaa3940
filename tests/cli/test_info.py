"""``kinemacolor info`` lists whatever the registries contain."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kinemacolor.cli.info import info
from kinemacolor.core.errors import UsageError
from kinemacolor.engine.registry import ENGINES
from kinemacolor.engine.weights import RELEASED
from kinemacolor.video.codecs import CODECS


def test_engines_codecs_and_weights_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    info(None, None, as_json=True)
    record = json.loads(capsys.readouterr().out)
    assert record["engines"] == {name: engine.summary for name, engine in ENGINES.items()}
    assert record["codecs"] == {name: codec.summary for name, codec in CODECS.items()}
    assert [weights["license"] for weights in record["weights"]] == [weights.license for weights in RELEASED]
    info(None, None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    for kind, summaries in (("engine", record["engines"]), ("codec", record["codecs"])):
        listed = [line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{kind}:")]
        assert listed == [f"{name}: {summary}" for name, summary in summaries.items()]


def test_a_new_engine_and_a_new_codec_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ENGINES, "toy", replace(ENGINES["matching"], name="toy", summary="a toy engine"))
    monkeypatch.setitem(CODECS, "toy", replace(CODECS["ffv1"], name="toy", summary="a toy codec"))
    info(None, None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "engine:    toy: a toy engine" in lines
    assert "codec:     toy: a toy codec" in lines


@pytest.mark.parametrize(
    ("config", "block_size", "problem"),
    [(None, 2, "needs --config"), ("lite", 0, "0 is not a valid"), ("lite", 7, "7 is not a valid")],
)
def test_block_sizes_that_do_not_fit_are_named(config: str | None, block_size: int, problem: str) -> None:
    with pytest.raises(UsageError, match=f"--block-size: {problem}"):
        info(config, block_size, as_json=False)

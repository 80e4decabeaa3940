"""The links of ``docs/paper-deviations.md`` name symbols that exist; its tables, what the configurations do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.config import NetworkConfig, load_config

PAGE = Path(__file__).parents[2] / "docs" / "paper-deviations.md"


def test_every_link_names_a_symbol_of_its_file() -> None:
    links = re.findall(r"\[`([^`]+)`\]\(([^)]+)\)", PAGE.read_text())
    assert len(links) > 25
    for symbol, target in links:
        file = (PAGE.parent / target).resolve()
        assert file.is_file(), target
        assert file.name == symbol or re.search(
            rf"^\s*(class|def|)\s*{re.escape(symbol)}\b", file.read_text(), re.MULTILINE
        ), f"{target} has no {symbol}"


def test_every_difference_of_the_configurations_is_listed() -> None:
    paper, lite = load_config("paper"), load_config("lite")
    page = PAGE.read_text().split("## What `lite` does otherwise")[1]
    for field in NetworkConfig.model_fields:
        if getattr(paper, field) != getattr(lite, field) and field != "name":
            assert f"`{field}`" in page, field
    for numbers in (paper, lite):
        widths = (numbers.feature_channels, numbers.token_channels, numbers.ffn_channels, numbers.key_channels)
        assert ", ".join(map(str, (*widths, numbers.residual_channels, numbers.encoder_channels))) in page

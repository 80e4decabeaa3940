"""Whatever is wrong with a text of TOML or JSON is a ``ValueError``, and one line for the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError, printable
from kinemacolor.core.events import WarningEvent, encodable, parse_event
from kinemacolor.core.structured_text import parse_json, parse_toml
from kinemacolor.model.config import ConfigError, parse_config_record
from kinemacolor.pipeline.project import read_project
from kinemacolor.shots.lists import read_shots
from kinemacolor.training.config.recipe import load_recipe


def test_good_texts_are_read() -> None:
    assert parse_toml("[a]\nb = 3") == {"a": {"b": 3}}
    assert parse_json(b'{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("text", ["a = " + "[" * 3000, "a = " + "9" * 5000, "a ="], ids=["deep", "digits", "cut"])
def test_faulty_toml_is_a_value_error_and_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_toml(text)
    path = tmp_path / "file.toml"
    path.write_text(text)
    for read in (read_project, load_recipe):
        with pytest.raises(InputError, match="TOML") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "[", "\udcff"], ids=["deep", "digits", "cut", "surrogate"])
def test_faulty_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


def test_a_shot_list_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shots.json"
    path.write_text('{"shots": ' + "[" * 100_000)
    with pytest.raises(InputError, match=r"shots\.json: is not JSON \(it is nested too deeply\)"):
        read_shots(path, 6, 24)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["3", "[]", "{}", '{"config": 3}', '{"config": {"name": "lite"}}', "{", "[" * 100_000])
def test_a_corrupt_record_of_a_network_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here: "):
        parse_config_record(text, "here")


def test_names_with_control_characters_stay_in_one_line() -> None:
    error = InputError("a\nb\x1b[31m\udcff ä\u202f.mp4", "is missing", "look")
    assert str(error) == "a\\nb\\x1b[31m\\udcff ä\u202f.mp4: is missing; look"
    assert printable("0 × 3 „ä“") == "0 × 3 „ä“"


def test_events_hold_names_that_are_no_text() -> None:
    event = WarningEvent(message="\udcff.mp4 is odd")
    assert parse_event(event.model_dump_json()) == event
    assert event.message == "\\udcff.mp4 is odd"
    assert encodable({"a": ["\udcff", 1, ("x",)]}) == {"a": ["\\udcff", 1, ("x",)]}

"""One record of settings: everything else is derived from it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from kinemacolor.cli.options import job_command
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.events import AnyEvent
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.fingerprint import settings_fingerprint
from kinemacolor.pipeline.job import colorize
from kinemacolor.pipeline.job_spec import JobSpec, ReferenceEntry, job_field
from kinemacolor.pipeline.keyframes_job import KeyframesSpec
from kinemacolor.pipeline.project import job_spec, read_project
from kinemacolor.pipeline.settings import ColorizeSettings, OldName, Setting, setting_of
from kinemacolor.references.placement import ReferenceFile
from tests.stills import gray, halves, write_still


class WarmSettings(ColorizeSettings):
    """The settings of a tool with one setting more."""

    warmth: Annotated[
        float, Field(ge=0, le=1), Setting("frames", "Color", preview=True, old_names=(OldName("heat"),))
    ] = 0.25
    """How warm the colors are."""


# --- one field more --------------------


def command(seen: list[Any], *, settings_type: type[ColorizeSettings]) -> typer.Typer:
    app = typer.Typer()

    def color(fields: dict[str, Any], settings: dict[str, Any]) -> None:
        seen.append((fields, settings_type(**settings)))

    app.command()(job_command(color, settings_type=settings_type))
    return app


def test_a_field_of_a_subclass_is_everywhere_without_another_line(tmp_path: Path) -> None:
    """In help, on the command line, in project files, in the fingerprint, and in the JSON schema."""
    seen: list[Any] = []
    app = command(seen, settings_type=WarmSettings)
    helped = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert "--warmth" in helped.output
    assert "How warm the colors are." in helped.output
    assert "0.25" in helped.output
    assert CliRunner().invoke(app, ["film.mp4", "--warmth", "0.5"]).exit_code == 0
    assert seen[-1][1] == WarmSettings(warmth=0.5)
    (tmp_path / "film.toml").write_text("[settings]\nwarmth = 0.75\n")
    project = read_project(tmp_path / "film.toml", WarmSettings)
    spec = job_spec(project, {"film": "a.mp4", "output": "b.mp4"}, {}, settings_type=WarmSettings)
    assert spec.settings == WarmSettings(warmth=0.75)
    assert settings_fingerprint(spec.settings)["warmth"] == 0.75
    assert WarmSettings.model_json_schema()["properties"]["warmth"] == {
        **{"default": 0.25, "description": "How warm the colors are.", "title": "Warmth", "type": "number"},
        **{"minimum": 0, "maximum": 1},
    }
    assert json.loads(spec.model_dump_json())["settings"]["warmth"] == 0.75
    assert WarmSettings(heat=0.5).warmth == 0.5


@pytest.mark.parametrize("name", ColorizeSettings.model_fields)
def test_every_setting_is_tagged_and_described(name: str) -> None:
    field = ColorizeSettings.model_fields[name]
    tag = setting_of(field)
    assert tag.affects in ("frames", "container", "nothing")
    assert field.description
    assert field.description.endswith(".")
    assert field.default is not None or tag.default_text or name == "weights"


def test_a_setting_without_a_tag_is_noticed() -> None:
    class Forgotten(ColorizeSettings):
        forgotten: int = 1

    with pytest.raises(TypeError, match="Setting"):
        Forgotten.affecting("frames")


@pytest.mark.parametrize("name", [name for name in JobSpec.model_fields if name != "settings"])
def test_every_field_of_a_job_is_tagged_and_described(name: str) -> None:
    field = JobSpec.model_fields[name]
    assert job_field(field)
    assert field.description


# --- the command line --------------------


def parsed(*arguments: str) -> tuple[dict[str, Any], ColorizeSettings, str]:
    seen: list[Any] = []
    result = CliRunner().invoke(command(seen, settings_type=ColorizeSettings), list(arguments))
    assert result.exit_code == 0, result.output
    return (*seen[0], result.stderr)


def test_options_are_read() -> None:
    fields, settings, notes = parsed(
        *("film.mp4", "-r", "a.png", "--reference", "b.png", "-o", "c.mp4", "--shots", "none", "--overwrite"),
        *("--working-size", "144", "--propagation", "chained", "--no-temporal-smoothing", "--denoise-input"),
        *("--start", "00:01:00.5", "--fps", "24000/1001", "--chroma-format", "444", "--saturation", "1.5"),
    )
    assert fields == {
        **{"film": "film.mp4", "references": ["a.png", "b.png"], "output": "c.mp4", "shots": "none", "overwrite": True}
    }
    assert settings == ColorizeSettings(
        working_size=144,
        propagation="chained",
        temporal_smoothing=False,
        denoise_input=True,
        start=Fraction(121, 2),
        fps=Fraction(24000, 1001),
        chroma_format="444",
        saturation=1.5,
    )
    assert settings.model_fields_set == {
        *("working_size", "propagation", "temporal_smoothing", "denoise_input", "start", "fps", "chroma_format"),
        "saturation",
    }
    assert notes == ""


@pytest.mark.parametrize(
    ("old", "settings", "note"),
    [
        (("--size", "144"), {"working_size": 144}, "--size is now --working-size"),
        (("--no-propagate",), {"propagation": "off"}, "--propagate is now --propagation"),
        (("--propagate",), {"propagation": "full"}, "--propagate is now --propagation"),
        (("--upsample", "best"), {"chroma_upsampling": "best"}, "--upsample is now --chroma-upsampling"),
        (("--no-steady",), {"temporal_smoothing": False}, "--steady is now --temporal-smoothing"),
        (("--denoise-guide",), {"denoise_input": True}, "--denoise-guide is now --denoise-input"),
        (("--chroma", "444"), {"chroma_format": "444"}, "--chroma is now --chroma-format"),
    ],
)
def test_old_options_work_with_a_line_that_names_the_new_one(
    old: tuple[str, ...], settings: dict[str, Any], note: str
) -> None:
    _, read, notes = parsed("film.mp4", *old)
    assert read == ColorizeSettings(**settings)
    assert notes == f"kinemacolor: {note}; use the new name\n"


def test_old_options_are_not_in_help() -> None:
    helped = CliRunner().invoke(command([], settings_type=ColorizeSettings), ["--help"], env={"COLUMNS": "200"}).output
    for _, old in ColorizeSettings.old_names():
        assert f"--{old.name.replace('_', '-')} " not in helped


def test_the_command_has_a_parameter_for_each_field() -> None:
    def color(fields: dict[str, Any], settings: dict[str, Any]) -> None: ...

    names = set(inspect.signature(job_command(color)).parameters)
    assert names >= {*ColorizeSettings.model_fields, *JobSpec.model_fields} - {"settings"}


# --- values --------------------


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"satturation": 2}, "satturation: unknown name; did you mean saturation?; see kinemacolor colorize --help"),
        ({"magic": 1}, "magic: unknown name; known names are engine, weights,"),
        ({"crf": 99}, "crf: expected a number less than or equal to 51, got 99; see"),
        ({"block_size": "two"}, "block_size: expected integer, got 'two'; see"),
        ({"working_size": 31}, "working_size: expected a number greater than or equal to 32, got 31; see"),
        ({"engine": "magic"}, "engine: expected lite, matching, onnx, torch, got 'magic'; see"),
        ({"codec": "av1"}, "codec: expected h264, h265, prores, ffv1, got 'av1'; see"),
        ({"start": float("nan")}, "start: expected seconds or a time such as"),
        ({"start": "soon"}, "start: expected seconds or a time such as"),
        ({"start": 5, "end": 3}, "end: expected a time after start (5 s), got 3 s; see"),
        ({"saturation": float("inf")}, "saturation: expected a finite number, got inf; see"),
        ({"fps": "1/0"}, "fps: expected frames a second, as 18 or"),
        ({"propagation": "much"}, "propagation: expected 'full', 'chained' or 'off', got 'much'; see"),
        ({"max_segment_frames": 0}, "max_segment_frames: expected a number greater than or equal to 1, got 0; see"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_the_setting(values: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        ColorizeSettings(**values)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ['{"settings": {"satturation": 2}}', '{"film": "a", "output": "b", "ovrwrite": true}']
)
def test_unknown_names_in_json_are_one_line(content: str) -> None:
    with pytest.raises(UsageError, match=r"unknown name; did you mean (saturation|overwrite)\?") as caught:
        JobSpec.model_validate_json(content)
    assert "\n" not in str(caught.value)


def test_old_names_are_read_in_python() -> None:
    settings = ColorizeSettings(size=48, propagate=False, steady=False, chroma="444", longest=4)
    assert settings == ColorizeSettings(
        working_size=48, propagation="off", temporal_smoothing=False, chroma_format="444", max_segment_frames=4
    )


def test_a_change_keeps_what_was_set() -> None:
    settings = ColorizeSettings(crf=20).changed(saturation=2.0)
    assert (settings.crf, settings.saturation, settings.model_fields_set) == (20, 2.0, {"crf", "saturation"})
    with pytest.raises(UsageError, match="end: expected"):
        ColorizeSettings(start=5).changed(end=3)


# --- a job as JSON --------------------


@pytest.mark.parametrize(
    "shots", ["auto", "none", Path("shots.csv"), (Shot(0, 5), Shot(5))], ids=["auto", "none", "list", "shots"]
)
def test_a_job_travels_as_json(shots: Any) -> None:
    spec = JobSpec(
        film="film.mp4",
        output=Path("out.mp4"),
        references=["a.png", ReferenceFile(Path("b.png"), time=Fraction(1, 3)), ReferenceEntry(file=Path("c"), shot=2)],
        shots=shots,
        overwrite=True,
        settings=ColorizeSettings(start=Fraction(1, 3), fps="24000/1001", propagation="chained"),
    )
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert json.loads(spec.model_dump_json())["settings"]["start"] == "1/3"
    assert spec.shots == shots


@pytest.mark.parametrize("path", ["shots.csv", "gone/shots.edl", Path("shots.json")])
def test_a_path_of_shots_may_be_text(path: str | Path) -> None:
    assert JobSpec(film="film.mp4", output="out.mp4", shots=path).shots == Path(path)
    assert KeyframesSpec(film="film.mp4", output="out", shots=path).shots == Path(path)


@pytest.mark.parametrize(
    "shots", ["", b"x", 5, None, True, (), [], [3], ["ab"], [(0, 1, 2)], [(0, "5")], [(None, 5)], {"a": 1}]
)
def test_what_is_no_choice_of_shots_is_refused(shots: Any) -> None:
    with pytest.raises(UsageError, match=r"shots.*: expected a shot"):
        JobSpec(film="film.mp4", output="out.mp4", shots=shots)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_list_of_shots_given_in_python_is_read(tmp_path: Path, kind: Callable[[str], str | Path]) -> None:
    film, still = tmp_path / "film", write_still(tmp_path / "still.png", halves())
    film.mkdir()
    for number in range(6):
        write_still(film / f"{number:04}.png", gray(halves()))
    (tmp_path / "shots.csv").write_text("shot,first,last\n1,0,1\n2,2,5\n")
    summary = colorize(film, still, tmp_path / "out.mp4", shots=kind(str(tmp_path / "shots.csv")))
    assert summary.shots == 2
    events: list[AnyEvent] = []
    with pytest.raises(InputError, match=r"gone\.csv: cannot be read"):
        colorize(film, still, tmp_path / "b.mp4", shots=kind(str(tmp_path / "gone.csv")), on_event=events.append)
    assert not [event for event in events if event.kind == "progress"]  # told before the film is read


def test_schemas_for_forms() -> None:
    settings, job = ColorizeSettings.model_json_schema()["properties"], JobSpec.model_json_schema()["properties"]
    assert settings["codec"]["enum"] == ["h264", "h265", "prores", "ffv1"]
    assert settings["engine"]["enum"] == ["lite", "matching", "onnx", "torch"]
    assert settings["propagation"]["enum"] == ["full", "chained", "off"]
    assert all(part["description"] for part in settings.values())
    assert {"film", "output", "references", "shots", "report", "overlay", "overwrite", "restart"} < set(job)


def test_records_do_not_change() -> None:
    settings: BaseModel = ColorizeSettings()
    with pytest.raises(Exception, match="frozen"):
        settings.crf = 3  # type: ignore[attr-defined]

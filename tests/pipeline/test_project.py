"""Project files: what they say, what they may not say, and the command line's last word."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job import colorize
from kinemacolor.pipeline.job_spec import JobSpec, ReferenceEntry, job_field
from kinemacolor.pipeline.project import Project, job_spec, read_project
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.references.placement import ReferenceFile, bind
from tests.stills import halves, write_still

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "project.md").read_text("utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("film.mp4", "a.png", "m.png", "shots.json", "stills/0000003.png", "stills/shot-2/b.png", "net/x.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def read(folder: Path, text: str) -> Project:
    (folder / "film.toml").write_text(text, "utf-8")
    return read_project(folder / "film.toml")


def files(project: Project) -> tuple[ReferenceFile, ...]:
    return tuple(file for entry in project.fields["references"] for file in entry.files())


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as error:
        read(folder, text)
    line = str(error.value)
    assert line.startswith(f"{folder / 'film.toml'}: ")
    assert line.endswith("; correct the project")
    assert "\n" not in line
    return line.removeprefix(f"{folder / 'film.toml'}: ").removesuffix("; correct the project")


# --- what is read --------------------


def test_a_whole_project(folder: Path) -> None:
    project = read(
        folder,
        """
        film = "film.mp4"
        output = "out/color.mkv"
        shots = "shots.json"
        report = "report.html"
        references = [
            { file = "a.png", frame = 12, mask = "m.png" },
            { file = "a.png", time = "00:00:01.5" },
            { file = "a.png", time = 00:02:00.25 },
            { file = "a.png", time = 7.2, shot = 3 },
            { file = "stills/0000003.png", shot = 1 },
            { file = "stills/0000003.png", frame = 4 },
            { file = "stills" },
        ]
        [settings]
        size = 144
        engine = "onnx"
        weights = "net"
        block_size = 2
        propagate = false
        color_memory = true
        codec = "ffv1"
        crf = 0
        chroma = 444
        upsample = "best"
        saturation = 1
        start = 00:01:00
        end = "1:00:00"
        fps = "24000/1001"
        """,
    )
    fields = project.fields
    assert (fields["film"], fields["output"]) == (folder / "film.mp4", folder / "out/color.mkv")
    assert fields["shots"] == folder / "shots.json"
    assert fields["report"] == folder / "report.html"
    a, still = folder / "a.png", folder / "stills/0000003.png"
    assert files(project) == (
        ReferenceFile(a, frame=12, mask=folder / "m.png"),
        ReferenceFile(a, time=Fraction(3, 2)),
        ReferenceFile(a, time=Fraction(481, 4)),
        ReferenceFile(a, time=Fraction(36, 5), shot=3),
        ReferenceFile(still, frame=3, shot=1),
        ReferenceFile(still, frame=4),
        ReferenceFile(still, frame=3),
        ReferenceFile(folder / "stills/shot-2/b.png", shot=2),
    )
    assert project.settings.explicit() == {
        "working_size": 144,
        "engine": "onnx",
        "weights": str(folder / "net"),
        "block_size": 2,
        "propagation": "off",
        "color_memory": True,
        "codec": "ffv1",
        "crf": 0,
        "chroma_format": "444",
        "chroma_upsampling": "best",
        "saturation": 1.0,
        "start": 60,
        "end": 3600,
        "fps": Fraction(24000, 1001),
    }


def test_an_empty_project_says_nothing(folder: Path) -> None:
    project = read(folder, "")
    assert project == Project()
    assert project.settings.model_fields_set == set()


def test_paths_are_relative_to_the_file_from_wherever_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "film.toml").write_text('film = "film.mp4"\n[[references]]\nfile = "stills"\nshot = 5')
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    project = read_project("../film.toml")
    assert project.fields["film"].exists()
    monkeypatch.chdir(folder)
    assert project.fields["film"].exists()
    assert [(file.path.name, file.shot) for file in files(project)] == [("0000003.png", 5), ("b.png", 5)]


def test_files_alone_are_references_too(folder: Path) -> None:
    expected = [("a.png", None), ("0000003.png", 3), ("b.png", None)]
    for text in ("references = ['a.png', 'stills']", "[[references]]\nfile = 'a.png'\n[[references]]\nfile = 'stills'"):
        assert [(file.path.name, file.frame) for file in files(read(folder, text))] == expected
    assert refusal(folder, "references = ['no.png']").startswith("references.1.file: expected the name of a file")


def test_absolute_paths_home_and_patterns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    project = read(folder, f"film = 'stills/%07d.png'\nshots = '~/shots.json'\noutput = '{folder}/o.mp4'")
    fields = project.fields
    assert fields["film"] == folder / "stills/%07d.png"
    assert (fields["shots"], fields["output"]) == (folder / "shots.json", folder / "o.mp4")


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**9), st.integers(0, 6))
def test_numbers_as_times_are_exact(ticks: int, digits: int) -> None:
    text = f"{ticks // 10**digits}.{ticks % 10**digits:0{digits}}" if digits else str(ticks)
    assert ColorizeSettings(start=float(text) if digits else ticks).start == Fraction(ticks, 10**digits)


# --- what is refused --------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "outputs = 'x'",
            "outputs: unknown name; did you mean output?",
        ),
        ("film = 7", "film: expected string, got 7"),
        ("film = ''", "film: expected some text, got ''"),
        ("references = 3", "references: expected a table [[references]] for each still, got 3"),
        ("[references]\nfile = 'a.png'", "references: expected a table [[references]] for each still, got {"),
        ("references = [3]", "references.1: expected a table, got 3"),
        ("settings = 3", "settings: expected a table, got 3"),
        (
            "[[references]]\nfile = 'a.png'\n[[references]]\nfile = 'a.png'\ntim = 3",
            "references.2.tim: unknown name; did you mean time?",
        ),
        ("[[references]]\nframe = 3", "references.1.file: expected a value, got none"),
        (
            "[[references]]\nfile = 'a.png'\nframe = -1",
            "references.1.frame: expected a number greater than or equal to 0",
        ),
        ("[[references]]\nfile = 'a.png'\nframe = 1.5", "references.1.frame: expected integer, got 1.5"),
        ("[[references]]\nfile = 'a.png'\nframe = true", "references.1.frame: expected integer, got True"),
        ("[[references]]\nfile = 'a.png'\nshot = 0", "references.1.shot: expected a number greater than 0, got 0"),
        (
            "[[references]]\nfile = 'a.png'\nframe = 1\ntime = 2",
            "references.1: expected one of frame and time, got both",
        ),
        (
            "[[references]]\nfile = 'a.png'\ntime = '0:61:00'",
            "references.1.time: expected seconds or a time such as 00:12:07.200, not before 0, got '0:61:00'",
        ),
        ("[[references]]\nfile = 'a.png'\ntime = -1", "references.1.time: expected seconds or a time"),
        ("[[references]]\nfile = 'a.png'\ntime = nan", "references.1.time: expected seconds or a time"),
        ("[[references]]\nfile = 'a.png'\ntime = 2024-01-01", "references.1.time: expected seconds or a time"),
        ("[settings]\nxyz = 2", "settings.xyz: unknown name; known names are engine, weights, block_size,"),
        ("[settings]\ncrf = 52", "settings.crf: expected a number less than or equal to 51, got 52"),
        ("[settings]\nsize = '216'", "settings.working_size: expected integer, got '216'"),
        ("[settings]\nsize = 31", "settings.working_size: expected a number greater than or equal to 32, got 31"),
        ("[settings]\ndenoise_input = 1", "settings.denoise_input: expected boolean, got 1"),
        ("[settings]\ncodec = 'mpeg2'", "settings.codec: expected h264, h265, prores, ffv1, got 'mpeg2'"),
        ("[settings]\nchroma = 411", "settings.chroma_format: expected '420', '422' or '444', got '411'"),
        ("[settings]\nengine = 'magic'", "settings.engine: expected lite, matching, onnx, torch, got 'magic'"),
        ("[settings]\nsaturation = inf", "settings.saturation: expected a finite number, got inf"),
        ("[settings]\nfps = '1/0'", "settings.fps: expected frames a second, as 18 or \"24000/1001\", got '1/0'"),
        ("[settings]\nstart = 5\nend = 00:00:04.5", "settings.end: expected a time after start (5 s), got 4.5 s"),
        ("[settings]\nend = 0", "settings.end: expected a time after start (0 s), got 0 s"),
    ],
)
def test_fields_that_cannot_be_used(folder: Path, text: str, message: str) -> None:
    line = refusal(folder, text)
    assert line.startswith(message)
    assert ": expected" not in line.removeprefix(message)


def test_a_name_that_the_system_cannot_look_up_is_a_fault(folder: Path) -> None:
    text = f'film = "film.mkv"\n[[references]]\nfile = "{"x" * 400}.png"\n'
    assert "references.1.file: expected the name of a file, got one that cannot be reached (File name too" in refusal(
        folder, text
    )


def test_all_faults_are_named_at_once(folder: Path) -> None:
    line = refusal(folder, "film = 1\n[[references]]\nfile = 2\n[settings]\ncrf = -1\nfoo = 2")
    assert re.findall(r"([\w.]+): expected", line) == ["film", "references.1.file", "settings.crf"]
    assert "settings.foo: unknown name" in line


def test_all_files_that_are_not_there_are_named_at_once(folder: Path) -> None:
    text = """
        film = "no/%06d.png"
        shots = "no.json"
        references = [{ file = "no.png" }, { file = "a.png", mask = "none.png" }, { file = "stills", frame = 3 }]
        settings = { weights = "nothing" }
        """
    line = refusal(folder, text)
    assert sorted(line.split("; ")) == sorted(
        [
            "references.1.file: expected the name of a file, got 'no.png', and there is no " + str(folder / "no.png"),
            "references.2.mask: expected the name of a file, got 'none.png', and there is no "
            + str(folder / "none.png"),
            "references.3.frame: expected none for a folder (stills), got one",
            "settings.weights: expected the name of a file, got 'nothing', and there is no " + str(folder / "nothing"),
            "film: expected the name of a file, got 'no/%06d.png', and there is no " + str(folder / "no/%06d.png"),
            "shots: expected the name of a file, got 'no.json', and there is no " + str(folder / "no.json"),
        ]
    )


def test_files_that_are_no_project(folder: Path) -> None:
    for name, content, problem in (
        ("a.toml", b"film = \n", r"is no TOML \(Invalid value"),
        ("b.toml", b"\xff\xfe", r"is no TOML \('utf-8' codec"),
        ("c.toml", b"film = 'a'\nfilm = 'b'", r"is no TOML \(Cannot overwrite"),
    ):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: {problem}.*; correct the project"):
            read_project(folder / name)
    with pytest.raises(InputError, match=r"no\.toml: cannot be read \(No such file.*; give a project file in TOML"):
        read_project(folder / "no.toml")
    with pytest.raises(InputError, match=r"is a folder; give a project file in TOML"):
        read_project(folder)


def test_a_still_whose_name_says_both_needs_a_word_from_the_file(folder: Path) -> None:
    (folder / "00-00-01_0012.png").touch()
    with pytest.raises(InputError, match=r"00-00-01_0012\.png: says a frame and a time in its name"):
        read(folder, "[[references]]\nfile = '00-00-01_0012.png'")
    assert read(folder, "[[references]]\nfile = '00-00-01_0012.png'\nframe = 12").fields["references"][0].frame == 12


# --- the command line's last word --------------------


def test_the_command_line_wins(folder: Path) -> None:
    project = read(
        folder, "film = 'film.mp4'\nshots = 'shots.json'\n[[references]]\nfile='a.png'\n[settings]\ncrf = 18\nstart = 5"
    )
    spec = job_spec(project, {"output": "o.mp4"}, {"crf": 20, "end": 9.5})
    assert spec.settings.explicit() == {"crf": 20, "start": 5, "end": Fraction(19, 2)}
    assert (spec.film, spec.output, spec.shots) == (folder / "film.mp4", Path("o.mp4"), folder / "shots.json")
    assert spec.reference_files() == (ReferenceFile(folder / "a.png"),)
    replaced = job_spec(project, {"output": "o.mp4", "references": [folder / "stills"]}, {})
    assert replaced.reference_files() == (
        ReferenceFile(folder / "stills/0000003.png", frame=3),
        ReferenceFile(folder / "stills/shot-2/b.png", shot=2),
    )
    assert job_spec(project, {"output": "o.mp4"}, {}).settings == project.settings


@pytest.mark.parametrize(
    ("fields", "settings", "message"),
    [
        ({}, {"crf": 99}, "crf: expected a number less than or equal to 51, got 99; see kinemacolor colorize --help"),
        ({}, {"block_size": "two"}, "block_size: expected integer, got 'two'; see"),
        ({}, {"magic": 1}, "magic: unknown name; known names are engine,"),
        ({}, {"end": 3}, "end: expected a time after start (5 s), got 3 s; see"),
        ({}, {"start": float("nan")}, "start: expected seconds or a time such as"),
        ({"output": None}, {}, "output: expected string, got None"),
        ({"shots": 3}, {}, "shots: expected a shot list, auto or none, got 3; see"),
    ],
)
def test_options_that_cannot_be_used(
    folder: Path, fields: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    project = read(folder, "film = 'film.mp4'\noutput = 'o.mp4'\n[settings]\nstart = 5")
    with pytest.raises(UsageError) as error:
        job_spec(project, fields, settings)
    assert str(error.value).startswith(message)


class Place:
    """Something else that stands for a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


@pytest.mark.parametrize("kind", [str, Path, Place])
def test_a_path_in_any_type_is_a_path(folder: Path, kind: Any) -> None:
    still, shots, weights = folder / "a.png", folder / "shots.json", folder / "net"
    for references in (kind(still), [kind(still)], (kind(path) for path in [still]), {still}, map(kind, [still])):
        spec = JobSpec(
            film=kind(folder / "film.mp4"),
            output=kind(folder / "o.mp4"),
            references=references,
            shots=kind(shots),
            report=kind(folder / "r.html"),
            settings=ColorizeSettings(engine="onnx", weights=kind(weights)),
        )
        assert (spec.film, spec.output, spec.shots) == (folder / "film.mp4", folder / "o.mp4", shots)
        assert spec.reference_files() == (ReferenceFile(still),)
        assert (spec.report, spec.settings.weights) == (folder / "r.html", str(weights))


@pytest.mark.parametrize("value", [b"a.png", {"a.png": 3}, 7, None, True])
def test_what_is_no_path_is_an_error(value: Any) -> None:
    for name in ("film", "output", "references", "shots"):
        values: dict[str, Any] = {"film": "film.mp4", "output": "o.mp4", name: value}
        with pytest.raises(UsageError, match=rf"^{name}: expected "):
            JobSpec(**values)
    if value is not None:
        with pytest.raises(UsageError, match=r"^weights: expected string, got"):
            ColorizeSettings(engine="onnx", weights=value)


@pytest.mark.parametrize("name", ["shots.csv", "no/such/shots.csv", "~/shots.csv"])
def test_a_shot_list_that_is_missing_is_told_before_the_work(folder: Path, name: str) -> None:
    film, still = folder / "two.png", write_still(folder / "b.png", halves())
    write_still(film, halves())
    with pytest.raises(InputError, match=r"shots\.csv: cannot be read \(No such file or directory\)"):
        colorize(film, still, folder / "out.mkv", shots=name, engine="matching", working_size=32)
    assert not list(folder.glob("out*"))


@pytest.mark.parametrize("name", ["film", "output"])
def test_what_neither_says_is_missing(folder: Path, name: str) -> None:
    fields = {"film": "film.mp4", "output": "o.mp4"}
    del fields[name]
    with pytest.raises(UsageError, match=rf"^{name}: .* is missing; see kinemacolor colorize --help$"):
        job_spec(Project(), fields, {})


# --- documentation --------------------


def test_the_example_can_be_run() -> None:
    project = read_project(ROOT / "examples" / "project.toml")
    assert project.fields["film"].is_file()
    (binding,) = bind(files(project), [Fraction(k, 24) for k in range(120)], [Shot(0, 120)])
    assert (binding.file.path.name, binding.frame, binding.shot) == ("still.png", 0, 0)
    assert {"crf", "start", "end"} <= project.settings.model_fields_set


def test_the_project_in_the_documentation(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    names = re.findall(r'"([\w/-]+\.(?!mkv")\w+|scans/[\w.]+)"', example)
    for name in [*names, "keyframes/0000012.png"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    project = read(tmp_path, example)
    bindings = bind(
        files(project), [Fraction(k, 2) for k in range(1500)], [Shot(k, k + 100) for k in range(0, 1500, 100)]
    )
    assert [(b.file.path.name, b.frame, b.shot) for b in bindings] == [
        ("girl.png", 1234, 12),
        ("street.png", 1454, 14),
        ("ballroom.jpg", None, 11),
        ("0000012.png", 12, 0),
    ]
    assert project.settings == ColorizeSettings(codec="h265", crf=16, chroma_upsampling="best", saturation=1.1)


def test_the_documentation_names_every_field() -> None:
    in_project = [n for n, f in JobSpec.model_fields.items() if n != "settings" and job_field(f).in_project]
    for name in (*ColorizeSettings.model_fields, *in_project, *ReferenceEntry.model_fields):
        assert f"`{name}`" in DOCS, name


def test_the_documentations_names_say_what_it_says(tmp_path: Path) -> None:
    rows = dict(re.findall(r"^\| (.*?) \| (.*?) \|$", DOCS.partition("## A project file")[0], re.MULTILINE))
    said = {belongs: re.findall("`(.*?)`", names) for names, belongs in rows.items()}
    frames, times = said["frame 1234"], said["the frame shown 12 minutes and 7.2 seconds into the film"]
    nothing = said["nothing: it is matched by its looks"]
    shots = said["shot 12"]
    both = said["refused: it says both a time and a frame"]
    assert [len(names) for names in (frames, times, shots, nothing, both)] == [3, 3, 2, 5, 1]
    for name in (*frames, *times, *nothing):
        (tmp_path / name).touch()
        project = read(tmp_path, f"[[references]]\nfile = '{name}'")
        one = files(project)[0]
        expected = (1234, None) if name in frames else (None, Fraction("727.2")) if name in times else (None, None)
        assert (one.frame, one.time) == expected, name
    for name in shots:
        (tmp_path / "refs" / name).parent.mkdir(parents=True)
        (tmp_path / "refs" / name).touch()
    assert [file.shot for file in files(read(tmp_path, "[[references]]\nfile = 'refs'"))] == [12, 12]
    (tmp_path / both[0]).touch()
    with pytest.raises(InputError, match="says a frame and a time"):
        read(tmp_path, f"[[references]]\nfile = '{both[0]}'")

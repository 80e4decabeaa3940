"""Lists of shots: round trips, files from other programs, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.shot import Shot
from kinemacolor.shots.lists import read_shot_list, read_shots, shot_record, write_shots

FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
RATES = (Fraction(24), FILM, Fraction(25), NTSC, Fraction(60000, 1001), Fraction(16), Fraction(18), Fraction(120, 7))
SHOTS = (Shot(0, 52), Shot(52, 122), Shot(122, 158))
LIST = "shot,first,last,start,end\n1,0,51,0,2.166667\n2,52,121,,\n3,122,157,,6.583333\n"


@st.composite
def films(draw: st.DrawFn) -> tuple[Shot, ...]:
    edges = sorted(draw(st.sets(st.integers(1, 300_000), min_size=1, max_size=12)))
    return tuple(Shot(a, b) for a, b in zip([0, *edges], edges, strict=False))


# --- round trips --------------------


@pytest.mark.parametrize("suffix", [".json", ".csv", ".edl", ".EDL"])
@given(shots=films(), rate=st.sampled_from(RATES))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trips_are_exact_in_frames(tmp_path: Path, suffix: str, shots: tuple[Shot, ...], rate: Fraction) -> None:
    path = tmp_path / f"shots{suffix}"
    write_shots(path, shots, rate, "film.mp4")
    assert read_shots(path, shots[-1].stop or 0, rate) == shots
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_json_and_csv_hold_frames_and_times(tmp_path: Path) -> None:
    write_shots(tmp_path / "a.json", SHOTS, FILM, "Ünder the film.mp4")
    record = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert record == shot_record(SHOTS, FILM, "Ünder the film.mp4")
    assert (record["film"], record["frames"], record["rate"]) == ("Ünder the film.mp4", 158, "24000/1001")
    assert record["shots"][1] == {"shot": 2, "first": 52, "last": 121, "start": 2.168833, "end": 5.088417}
    write_shots(tmp_path / "a.csv", SHOTS, FILM, "film.mp4")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert (lines[0], lines[2]) == ("shot,first,last,start,end", "2,52,121,2.168833,5.088417")


def test_an_edl_counts_frames_at_the_rounded_rate(tmp_path: Path) -> None:
    write_shots(tmp_path / "a.edl", SHOTS, FILM, "film.mp4")
    lines = (tmp_path / "a.edl").read_text().splitlines()
    assert lines[:2] == ["TITLE: film.mp4", "FCM: NON-DROP FRAME"]
    event = "002  AX       V     C        00:00:02:04 00:00:05:02 00:00:02:04 00:00:05:02"
    assert event in lines
    assert lines[lines.index(event) + 1] == "* FROM CLIP NAME: film.mp4"


# --- files from other programs --------------------


def read(tmp_path: Path, name: str, text: str, rate: Fraction = Fraction(24), frames: int = 158) -> tuple[Shot, ...]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_shots(path, frames, rate)


@pytest.mark.parametrize(
    "text",
    [
        LIST,
        LIST.replace(",", ";"),
        "\ufeff" + LIST.replace("\n", "\r\n"),
        "First\tLast\n0\t51\n52\t121\n122\t157\n",
        'note,last,first\n"a, b",51,0\n,121,52\n,157, 122 \n',
    ],
)
def test_csv_as_spreadsheets_save_it(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "a.csv", text) == SHOTS


def test_json_with_frames_alone(tmp_path: Path) -> None:
    shots = [{"first": 0, "last": 51, "note": "barn"}, {"first": 52, "last": 121}, {"first": 122, "last": 157}]
    assert read(tmp_path, "a.json", json.dumps({"shots": shots})) == SHOTS
    assert read(tmp_path, "a.json", json.dumps({"shots": shots, "rate": 23.976, "frames": 158}), FILM) == SHOTS


EDL = """TITLE: reel one
FCM: NON-DROP FRAME

001  AX       V     C        00:00:00:00 00:00:02:04 01:00:00:00 01:00:02:04
* FROM CLIP NAME: film.mp4
001  AX       AA    C        00:00:00:00 00:00:02:04 01:00:00:00 01:00:02:04
002  AX       V     C        00:00:02:04 00:00:02:04 01:00:02:04 01:00:02:04
002  AX       V     D    010 00:00:02:04 00:00:05:02 01:00:02:04 01:00:05:02
M2   AX       024.0          00:00:02:04
003  AX       V     C        00:00:05:02 00:00:06:14 01:00:05:02 01:00:06:14
"""


def test_an_edl_from_an_editing_program(tmp_path: Path) -> None:
    """The record begins at one hour; there are sound, a transition and comments."""
    assert read(tmp_path, "a.edl", EDL) == SHOTS


def drop_frame(frame: int) -> str:
    """Timecode of 30000/1001 by counting: at each minute but every tenth, frames 0 and 1 get no number."""
    hours = minutes = seconds = rest = 0
    for _ in range(frame):
        rest += 1
        if rest == 30:
            rest, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
            rest = 2 if minutes % 10 else 0
        if minutes == 60:
            minutes, hours = 0, hours + 1
    return f"{hours:02}:{minutes:02}:{seconds:02};{rest:02}"


@pytest.mark.parametrize("edge", [1799, 1800, 1801, 17_981, 17_982, 17_983, 19_781, 107_892])
def test_drop_frame_timecode(tmp_path: Path, edge: int) -> None:
    end = edge + 100
    begin, cut, out = drop_frame(0), drop_frame(edge), drop_frame(end)
    lines = (f"001 AX V C {begin} {cut} {begin} {cut}", f"002 AX V C {cut} {out} {cut} {out}")
    expected = (Shot(0, edge), Shot(edge, end))
    assert read(tmp_path, "a.edl", "\n".join(lines), NTSC, end) == expected
    flagged = "FCM: DROP FRAME\n" + "\n".join(lines).replace(";", ":")
    assert read(tmp_path, "a.edl", flagged, NTSC, end) == expected


def test_a_drop_frame_record_from_one_hour(tmp_path: Path) -> None:
    text = "FCM: DROP FRAME\n001 AX V C 00:00:00:00 00:01:00:02 01:00:00:00 01:01:00:02\n"
    assert read(tmp_path, "a.edl", text, NTSC, 1800) == (Shot(0, 1800),)


# --- what is refused --------------------

EVENT = "001  AX  V  C  {0} {1} {0} {1}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", LIST, "a.txt: its extension is not that of a list of shots; give a file that ends in .json"),
        ("a.csv", "", "a.csv: line 1: has no columns first and last"),
        ("a.csv", "shot,first,last\n", "a.csv: lists no shot"),
        ("a.csv", LIST.replace("52,121", "50,121"), "line 3: begins at frame 50, but 51 belongs to the shot before"),
        ("a.csv", LIST.replace("52,121", "54,121"), "line 3: begins at frame 54, and no shot holds frame 52"),
        ("a.csv", LIST.replace("1,0,51,0", "1,2,51,"), "line 2: begins at frame 2, and no shot holds frame 0"),
        ("a.csv", LIST.replace("1,0,51,0", "1,-2,51,"), "line 2: begins at frame -2, before the film"),
        (
            "a.csv",
            LIST.replace("122,157,,6.583333", "122,158,,"),
            "line 4: ends at frame 158, but the film ends at 157",
        ),
        (
            "a.csv",
            LIST.replace("122,157,,6.583333", "122,155,,"),
            "line 4: the last shot ends at frame 155, the film at",
        ),
        ("a.csv", LIST.replace("52,121", "52,51"), "line 3: a shot from frame 52 to 51 holds no frame"),
        ("a.csv", LIST.replace("52,121", "52,x"), "line 3: last is not a frame number: 'x'"),
        ("a.csv", LIST.replace("52,121,,", "52"), "line 3: last is not a frame number: None"),
        ("a.csv", LIST.replace("6.583333", "6.7"), "line 4: end 6.7 s contradicts the frames, which say 6.583 s"),
        ("a.csv", LIST.replace("6.583333", "nan"), "line 4: end nan s contradicts"),
        ("a.csv", LIST.replace("6.583333", "soon"), "line 4: end is not a time: 'soon'"),
        ("a.csv", LIST.replace("2,52", '"2,52'), "line 3: unexpected end of data"),
        ("a.json", "{", "a.json: is not JSON"),
        ("a.json", "[]", 'a.json: has no list "shots"'),
        ("a.json", '{"shots": [3]}', "a.json: entry 1: is not an object"),
        ("a.json", '{"shots": []}', "a.json: lists no shot"),
        ("a.json", '{"shots": [{"first": 0, "last": 157.0}]}', "entry 1: last is not a frame number: 157.0"),
        ("a.json", '{"shots": [{"first": true, "last": 157}]}', "entry 1: first is not a frame number: True"),
        ("a.json", '{"rate": "25", "shots": []}', "rate is 25, but the film's is 24"),
        ("a.json", '{"rate": "1/0", "shots": []}', "rate is 1/0, but the film's is 24"),
        ("a.json", '{"frames": 159, "shots": []}', "frames is 159, but the film's is 158"),
        ("a.edl", "TITLE: a\n", "a.edl: lists no shot"),
        (
            "a.edl",
            EVENT.format("00:00:00:00", "00:00:06:24"),
            "line 1: 00:00:06:24 is not a timecode at 24 frames",
        ),
        ("a.edl", EVENT.format("00:00:00:00", "00:61:00:00"), "line 1: 00:61:00:00 is not a timecode"),
        (
            "a.edl",
            EVENT.format("00:00:00:00", "00:00:06;14"),
            "line 1: drop-frame timecode does not exist at 24 frames",
        ),
        ("a.edl", EVENT.format("00:00:00:00", "soon"), "line 1: is not an event of a CMX 3600 list"),
        ("a.edl", EVENT.format("00:00:10:00", "00:00:11:00"), "line 1: ends at frame 263, but the film ends at 157"),
        ("a.edl", EDL.replace("D    010 00:00:02:04 00:00:05:02", "D 010 00:00:02:04 00:00:05:00"), "line 8: takes 68"),
        ("a.edl", EDL.replace("00:00:05:02 00:00:06:14", "00:00:04:02 00:00:05:14"), "line 10: source and record"),
    ],
)
def test_bad_lists_are_refused_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, name, text)
    line = str(error.value)
    assert message in line
    assert line.startswith(str(tmp_path / name))
    assert "\n" not in line
    assert error.value.remedy


def test_timecode_that_drop_frame_skips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1: drop-frame timecode has no 00:01:00;01"):
        read(tmp_path, "a.edl", EVENT.format("00:00:00;00", "00:01:00;01"), NTSC, 1799)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"first,last\n\xff\xfe")
    (tmp_path / "b.json").mkdir()
    for name, message in (("a.csv", "is not text in UTF-8"), ("b.json", "is a folder"), ("c.edl", "cannot be read")):
        with pytest.raises(InputError, match=message):
            read_shots(tmp_path / name, 158, Fraction(24))


def test_lists_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    for name, shots, rate, message in (
        ("a.txt", SHOTS, Fraction(24), "its extension is not that of a list of shots"),
        ("a.edl", SHOTS, Fraction(1, 4), "timecode cannot count 158 frames at 0.25 a second"),
        ("a.edl", (Shot(0, 100 * 3600 * 24),), Fraction(24), "timecode cannot count"),
        ("none/a.csv", SHOTS, Fraction(24), "cannot be written"),
    ):
        with pytest.raises(OutputError, match=message):
            write_shots(tmp_path / name, shots, rate, "film.mp4")
    with pytest.raises(ValueError, match="known ends"):
        write_shots(tmp_path / "a.csv", [Shot(0)], Fraction(24), "film.mp4")
    assert not list(tmp_path.iterdir())


# --- what stays gray --------------------


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_list_keeps_what_stays_gray(tmp_path: Path, kind: str) -> None:
    path, shots = tmp_path / f"shots.{kind}", (Shot(0, 10), Shot(10, 30), Shot(30, 40))
    write_shots(path, shots, Fraction(24), "film.mp4", neutral=(1,))
    listed = read_shot_list(path, 40, Fraction(24))
    assert (listed.shots, listed.marks) == (shots, ("color", "neutral", "color"))
    write_shots(path, shots, Fraction(24), "film.mp4")
    assert "neutral" not in path.read_text()
    assert read_shot_list(path, 40, Fraction(24)).marks == ("", "", "")


def test_neutral_is_yes_no_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shots.csv"
    path.write_text("first;last;Neutral\n0;9;YES\n10;29;\n30;39;no\n")
    assert read_shot_list(path, 40, Fraction(24)).marks == ("neutral", "", "color")
    path.write_text("first;last;neutral\n0;9;\n10;39;perhaps\n")
    with pytest.raises(InputError, match="line 3: neutral is not yes or no: 'perhaps'; give yes, no, or nothing"):
        read_shot_list(path, 40, Fraction(24))
    path.with_suffix(".json").write_text(
        '{"shots": [{"first": 0, "last": 9, "neutral": false}, {"first": 10, "last": 39, "neutral": null}]}'
    )
    assert read_shot_list(path.with_suffix(".json"), 40, Fraction(24)).marks == ("color", "")

"""Which frame or shot a still belongs to: file names, folders, and their places in a film."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.references.image import read_still
from kinemacolor.references.placement import (
    STILL_SUFFIXES,
    ReferenceFile,
    bind,
    name_binding,
    reference_files,
)
from tests.stills import halves, write_still

QUICK = settings(deadline=None, max_examples=50)
FOLDERS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text("abcdefghijklmnopqrstuvwxyzäøß ", min_size=1, max_size=12).map(str.strip).filter(bool)
SUFFIXES = st.sampled_from(sorted(STILL_SUFFIXES))
CAMERAS = ("img", "dsc", "scan", "screenshot", "vid", "pano", "mg", "gp", "wp", "pict", "dji", "pxl", "mvi")


def plain(word: str) -> bool:
    """Whether a word is none that cameras write."""
    return not any(camera in word.lower() for camera in CAMERAS)


# --- names --------------------


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("0001234.png", 1234),
        ("1234.jpg", 1234),
        ("frame_001234.png", 1234),
        ("frame-0012.tif", 12),
        ("casablanca.0000000.png", 0),
        ("reel 2_001234.png", 1234),
        ("frame_1927.png", 1927),
        ("1927.png", 1927),
        ("girl_01927.png", 1927),
    ],
)
def test_a_number_at_the_end_is_a_frame(name: str, frame: int) -> None:
    assert name_binding(name) == (frame, None)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("00-12-07.200.png", "727.2"),
        ("00-12-07.png", "727"),
        ("scene 00-12-07-200.png", "727.2"),
        ("00-12-07-007 girl.png", "727.007"),
        ("girl_01-00-00.5.jpg", "3600.5"),
        ("00h12m07.2s.png", "727.2"),
        ("girl-0H2M7S.png", "127"),
        ("metropolis-1927_00-00-01.png", "1"),
    ],
)
def test_a_time_anywhere_in_the_name_is_a_time(name: str, seconds: str) -> None:
    assert name_binding(name) == (None, Fraction(seconds))


@pytest.mark.parametrize(
    "name",
    [
        "girl.png",
        "girl2.png",
        "girl_123.png",
        "girl1234.png",
        "frame 001234.png",
        "0001234 (2).png",
        "IMG_2031.jpg",
        "img-20210305-0001.jpg",
        "_MG_0001.jpg",
        "DSC_0001.jpg",
        "P1010234.JPG",
        "holiday DSCF_0001.jpg",
        "PXL_20210101_120000.jpg",
        "20240511_101530.jpg",
        "20240511.png",
        "Screenshot 2024-01-01 12-07-33.png",
        "Bildschirmfoto vom 2024-01-01 12-07-33.png",
        "24-12-2024.png",
        "metropolis-1927.png",
        "metropolis_1927.png",
        "00-61-07.png",
        "00-12-60.png",
        "00-12-07-12.png",  # a timecode with a frame's number
        "1-00-12-07.png",
        "00-12-07.200mm.png",
        "x00-12-07.png",
        "٠٠٠١٢٣٤.png",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert name_binding(name) == (None, None)


@pytest.mark.parametrize(
    "name",
    [
        "00-12-07.200_001234.png",
        "0001234_00-12-07.200.png",
        "frame_001234 00-12-07-200.png",
        "00-12-07 001234.png",
        "00-12-07-001234.png",
        "girl_00h12m07s_001234.png",
    ],
)
def test_a_name_with_both_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"^{re.escape(name)}: says a frame and a time in its name; leave one"):
        name_binding(name)


def test_a_name_with_two_times_is_refused() -> None:
    with pytest.raises(InputError, match="says two times"):
        name_binding("00-12-07_00-13-00.png")


@QUICK
@given(st.integers(0, 10**9), st.integers(4, 9), st.sampled_from("_-."), st.none() | WORDS.filter(plain), SUFFIXES)
def test_any_padded_number_is_read_back(number: int, width: int, separator: str, word: str | None, end: str) -> None:
    digits = f"{number:0{width}}"
    if word is None:
        assume(not re.match("1[89]|20", digits) or len(digits) != 8)  # may be a date
        assert name_binding(digits + end) == (number, None)
    else:
        taken = re.fullmatch("18[89].|19..|20..", digits) and not word.endswith("frame")
        dated = re.fullmatch("(1[89]|20)......", digits)
        assume(not dated)
        assert name_binding(f"{word}{separator}{digits}{end}") == (None if taken else number, None)


@QUICK
@given(st.integers(0, 99 * 3_600_000), st.sampled_from(["", "girl ", "girl_", "a-"]), st.sampled_from("ab"), SUFFIXES)
def test_any_time_in_thousandths_is_read_back(thousandths: int, before: str, form: str, end: str) -> None:
    rest, ms = divmod(thousandths, 1000)
    h, m, s = rest // 3600, rest // 60 % 60, rest % 60
    if form == "a":
        names = [f"{h:02}-{m:02}-{s:02}.{ms:03}", f"{h:02}-{m:02}-{s:02}-{ms:03}", f"{h:02}h{m:02}m{s:02}.{ms:03}s"]
    else:
        names = [f"{h}h{m}m{s}.{ms:03}s"]
    for name in names:
        assert name_binding(before + name + end) == (None, Fraction(thousandths, 1000))


@QUICK
@given(
    st.text("0123456789abcHÄß٣五 _-.()", max_size=24).filter(lambda text: not re.search("[0-9]{4}|[0-9]-[0-9]", text))
)
def test_names_without_a_number_or_a_time_say_nothing(text: str) -> None:
    assert name_binding(f"{text}.png".replace("/", "")) == (None, None)


@QUICK
@given(st.text("0123456789-_. hmsab", max_size=24))
def test_no_name_says_two_things(text: str) -> None:
    with suppress(InputError):
        frame, time = name_binding(text + ".png")
        assert frame is None or time is None
        assert (frame or 0) >= 0
        assert (time or 0) >= 0


# --- folders --------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_means_its_images_in_natural_order_and_those_of_its_shots(tmp_path: Path) -> None:
    touch(tmp_path, "girl10.png", "girl2.PNG", "0000007.jpg", ".hidden.png", "notes.txt", "other/no.png")
    touch(tmp_path, "shot_10/a.png", "Shot-0002/b2.tif", "Shot-0002/0000031.png", "shot_2x/no.png", "shot/no.png")
    (tmp_path / "folder.png").mkdir()
    files = reference_files([tmp_path])
    assert [(str(f.path.relative_to(tmp_path)), f.frame, f.shot) for f in files] == [
        ("0000007.jpg", 7, None),
        ("girl2.PNG", None, None),
        ("girl10.png", None, None),
        ("Shot-0002/0000031.png", 31, 2),
        ("Shot-0002/b2.tif", None, 2),
        ("shot_10/a.png", None, 10),
    ]
    assert all(f.time is None and f.mask is None for f in files)


def test_files_keep_their_order_and_a_shots_folder_may_be_given_itself(tmp_path: Path) -> None:
    touch(tmp_path, "z.png", "00-00-01.png", "shot-3/a.png", "odd.still")
    files = reference_files([tmp_path / "z.png", tmp_path / "shot-3", str(tmp_path / "00-00-01.png")])
    assert [(f.path.name, f.time, f.shot) for f in files] == [
        ("z.png", None, None),
        ("a.png", None, 3),
        ("00-00-01.png", Fraction(1), None),
    ]
    assert reference_files([tmp_path / "odd.still"]) == (ReferenceFile(tmp_path / "odd.still"),)
    assert reference_files([]) == ()


@FOLDERS
@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=8, unique=True))
def test_numbered_images_come_in_the_order_of_their_numbers(tmp_path: Path, numbers: list[int]) -> None:
    folder = tmp_path / f"case{len(list(tmp_path.iterdir()))}"
    touch(folder, *(f"still-{number}.png" for number in numbers))
    assert [f.path.name for f in reference_files([folder])] == [f"still-{number}.png" for number in sorted(numbers)]


def test_folders_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.png: cannot be read \(No such file.*; give an image file"):
        reference_files([tmp_path / "missing.png"])
    touch(tmp_path, "text.txt", "deep/a.png")
    with pytest.raises(InputError, match="is a folder without images; put colored stills"):
        reference_files([tmp_path])


@pytest.mark.parametrize("suffix", sorted(STILL_SUFFIXES))
def test_a_folder_takes_what_can_be_read(tmp_path: Path, suffix: str) -> None:
    write_still(tmp_path / f"a{suffix}", halves())
    (file,) = reference_files([tmp_path])
    assert read_still(file.path).rgb.shape == (64, 96, 3)


# --- in a film --------------------


def regular(count: int, rate: Fraction = Fraction(24)) -> list[Fraction]:
    return [k / rate for k in range(count)]


FILM = regular(48)
SHOTS = (Shot(0, 10), Shot(10, 30), Shot(30))


def file(name: str = "a.png", frame: int | None = None, time: object = None, shot: int | None = None) -> ReferenceFile:
    return ReferenceFile(Path(name), frame, None if time is None else Fraction(str(time)), shot)


def test_numbers_times_and_shots_are_bound() -> None:
    files = [file("a", 12), file("b", time=1), file("c", shot=3), file("d"), file("e", 29, shot=2)]
    assert [(b.file.path.name, b.frame, b.shot) for b in bind(files, FILM, SHOTS)] == [
        ("a", 12, 1),
        ("b", 24, 1),
        ("c", None, 2),
        ("d", None, None),
        ("e", 29, 1),
    ]
    assert [b.shot for b in bind([file("a", 12), file("d")], FILM, ())] == [None, None]


@QUICK
@given(
    st.sampled_from([Fraction(18), Fraction(24000, 1001), Fraction(25), Fraction(60)]),
    st.integers(1, 60),
    st.fractions(0, 4),
)
def test_at_a_constant_rate_it_is_the_last_frame_that_begins_within_half_a_frame(
    rate: Fraction, count: int, time: Fraction
) -> None:
    times = regular(count, rate)
    half = 1 / (2 * (rate if count > 1 else Fraction(24)))
    if time >= times[-1] + 2 * half:
        with pytest.raises(InputError, match="but the film runs from 0:00:00"):
            bind([file(time=time)], times, ())
        return
    expected = max(k for k in range(count) if times[k] <= time + half)
    assert bind([file(time=time)], times, ())[0].frame == expected


@QUICK
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.data())
def test_at_any_rate_a_frames_own_time_is_its_own(gaps: list[int], data: st.DataObject) -> None:
    times = [Fraction(sum(gaps[:k]), 997) for k in range(len(gaps) + 1)]
    index = data.draw(st.integers(0, len(gaps)))
    assert bind([file(time=times[index])], times, ())[0].frame == index
    if min(gaps) > 1:  # times in thousandths tell the frames apart
        rounded = Fraction(round(times[index] * 1000), 1000)
        assert bind([file(time=rounded)], times, ())[0].frame == index


def test_a_frame_held_long_is_shown_until_half_a_usual_frame_before_the_next() -> None:
    times = [*regular(5), Fraction(10), Fraction(241, 24)]
    shown = [bind([file(time=t)], times, ())[0].frame for t in (5, 9, Fraction(10) - Fraction(1, 47), 10)]
    assert shown == [4, 4, 4, 5]
    assert bind([file(time=10 - Fraction(1, 48))], times, ())[0].frame == 5


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            [file("a.png", 48)],
            "a.png: belongs to frame 48, but the film's frames are 0 to 47; name a frame of the film",
        ),
        (
            [file("a.png", time=2)],
            "a.png: belongs to 0:00:02.000, but the film runs from 0:00:00.000 to 0:00:02.000; name a time",
        ),
        (
            [file("a.png", 24), file("b.png"), file("c.png", time=1)],
            "c.png: belongs to frame 24, and so does a.png; leave one of the two",
        ),
        ([file("a.png", shot=4)], "a.png: belongs to shot 4, but the film has shots 1 to 3; name a shot of the list"),
        ([file("a.png", shot=0)], "a.png: belongs to shot 0, but the film has shots 1 to 3; name a shot of the list"),
        (
            [file("a.png", 10, shot=1)],
            "a.png: belongs to frame 10, which is not in its shot 1 (frames 0 to 9); correct the frame or the shot",
        ),
        (
            [file("a.png", 29, shot=3)],
            "a.png: belongs to frame 29, which is not in its shot 3 (frames from 30 on); correct the frame or the shot",
        ),
    ],
)
def test_places_that_the_film_does_not_have(files: list[ReferenceFile], message: str) -> None:
    with pytest.raises(InputError) as error:
        bind(files, FILM, SHOTS)
    assert str(error.value).startswith(message)


def test_a_frame_and_a_time_at_once() -> None:
    with pytest.raises(UsageError, match=r"a\.png: has both a frame and a time; leave one"):
        bind([file(frame=3, time=1)], FILM, SHOTS)


def test_a_shot_needs_a_list() -> None:
    with pytest.raises(InputError, match="shot 1, but the film has no shot list"):
        bind([file(shot=1)], FILM, ())


def test_frames_may_have_other_numbers() -> None:
    numbers = [86400, 86401, 86404, *range(86410, 86455)]
    bindings = bind([file("a", 86404), file("b", time=1), file("c", 86454)], FILM, SHOTS, numbers=numbers)
    assert [b.frame for b in bindings] == [2, 24, 47]
    with pytest.raises(InputError, match="frame 86402, but the film's frames are 86400 to 86454, with gaps; name"):
        bind([file(frame=86402)], FILM, SHOTS, numbers=numbers)
    with pytest.raises(InputError, match="belongs to frame 86401, and so does a"):
        bind([file(frame=86401), file(time="0.04")], FILM, SHOTS, numbers=numbers)
    with pytest.raises(ValueError, match="one of each for every frame"):
        bind([], FILM, SHOTS, numbers=[1])


def test_places_outside_a_part_of_a_film() -> None:
    """Frames 24 to 47 of a film: stills for frames around them are no error, and not those of its first or last."""
    part, numbers, shots = FILM[24:], range(24, 48), [Shot(0, 6), Shot(6)]
    files = [file("a", 3), file("b", 47), file("c", 70), file("d", time=0.5), file("e", time=3), file("f", time=1)]
    files += [file("g", 3, shot=9), file("h", time="0.9999"), file("i", 70), file("j", shot=2)]
    expected = [(-21, None), (23, 1), (46, None), (-12, None), (48, None), (0, 0), (-21, None)]
    with pytest.raises(InputError, match="h: belongs to frame 24, and so does f"):
        bind(files[:6] + files[7:8], part, shots, numbers=numbers, partial=True)
    bindings = bind(files[:7] + files[8:], part, shots, numbers=numbers, partial=True)
    assert [(b.frame, b.shot) for b in bindings] == [*expected, (46, None), (None, 1)]
    for wrong, message in (
        (files[0], "frame 3, but the film's frames are 24 to 47"),
        (files[3], "0:00:00.500, but the film runs from 0:00:01.000 to 0:00:02.000"),
    ):
        with pytest.raises(InputError, match=message):
            bind([wrong], part, shots, numbers=numbers)


@QUICK
@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 120))
def test_a_part_counts_as_the_film_does(first: int, length: int, frame: int) -> None:
    part = [Fraction(k, 24) for k in range(first, first + length)]
    files = [file(frame=frame)], [file(time=Fraction(frame, 24))]
    frames = {bind(pair, part, (), numbers=range(first, first + length), partial=True)[0].frame for pair in files}
    assert frames == {frame - first}


@QUICK
@given(st.data())
def test_every_frame_is_in_the_shot_that_says_so(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, 47), max_size=6)))
    shots = [Shot(a, b) for a, b in zip([0, *cuts], [*cuts, 48], strict=True)]
    frame, named = data.draw(st.integers(0, 47)), data.draw(st.none() | st.integers(1, len(shots)))
    home = next(k for k, shot in enumerate(shots) if shot.start <= frame < (shot.stop or 0))
    if named in (None, home + 1):
        (binding,) = bind([file(frame=frame, shot=named)], FILM, shots)
        assert (binding.frame, binding.shot) == (frame, home)
    else:
        with pytest.raises(InputError, match="which is not in its shot"):
            bind([file(frame=frame, shot=named)], FILM, shots)

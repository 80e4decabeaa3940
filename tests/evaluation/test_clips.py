"""Clips, protocols and references of a benchmark."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import Array
from kinemacolor.evaluation.clips import BenchmarkClip, digest_of_files, find_clips, images_in, load_clip
from kinemacolor.evaluation.exemplars import parse_choice, references_of
from kinemacolor.evaluation.protocol import load_protocol, protocols
from kinemacolor.evaluation.splits import load_split
from tests.evaluation.toys import color_film, toy_protocol, write_film, write_frames
from tests.media import Film, make_film
from tests.stills import halves, write_still

# --- finding --------------------


def test_only_films_and_frame_folders_are_found(tmp_path: Path) -> None:
    write_frames(tmp_path / "b", color_film(2))
    write_film(tmp_path / "c.mkv", color_film(2))
    (tmp_path / "a.mp4").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden.mp4").touch()
    assert [clip.name for clip in find_clips(tmp_path)] == ["a", "b", "c"]


def test_davis_layout_is_found(tmp_path: Path) -> None:
    for name in ("bear", "camel"):
        write_frames(tmp_path / "JPEGImages" / "480p" / name, color_film(2))
    write_frames(tmp_path / "Annotations" / "480p" / "bear", color_film(2))
    assert [clip.name for clip in find_clips(tmp_path)] == ["bear", "camel"]


def test_folders_without_clips_and_clips_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no clip"):
        find_clips(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_clips(tmp_path / "absent")
    write_frames(tmp_path / "a", color_film(2))
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match="same name as a"):
        find_clips(tmp_path)


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        write_still(tmp_path / f"f{number}.png", halves())
    assert [file.name for file in images_in(tmp_path)] == ["f1.png", "f9.png", "f10.png", "f100.png"]


def test_the_digest_depends_on_content_and_names(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"x")
    b.write_bytes(b"x")
    assert digest_of_files([a]) != digest_of_files([b])
    before = digest_of_files([a, b])
    b.write_bytes(b"y")
    assert digest_of_files([a, b]) != before


# --- loading --------------------


def area_means(film: Array, factor: int) -> Array:
    """By a float64 reshape, where the size divides."""
    t, height, width, _ = film.shape
    cells = film.astype(np.float64).reshape(t, height // factor, factor, width // factor, factor, 3)
    return np.rint(cells.mean(axis=(2, 4)))


@pytest.mark.parametrize("kind", ["frames", "film"])
def test_network_size_is_the_area_mean_and_lightness_is_its_own(tmp_path: Path, kind: str) -> None:
    film = color_film(3, 96, 144)
    path = write_frames(tmp_path / "a", film) if kind == "frames" else write_film(tmp_path / "a.mkv", film)
    truth = load_clip(BenchmarkClip("a", path), toy_protocol(tmp_path, width=48, height=32))
    assert truth.rgb.shape == (3, 32, 48, 3)
    assert (truth.clip_size, truth.length) == ((96, 144), 3)
    # An image is taken as it is stored; a film of R'G'B' goes through 8-bit Y'CbCr.
    np.testing.assert_allclose(truth.rgb, area_means(film, 3), atol=0 if kind == "frames" else 2)
    np.testing.assert_allclose(truth.lightness, rgb2lab(truth.rgb / 255.0)[..., 0], atol=0.02)


def test_true_colors_restore_the_truth(tmp_path: Path) -> None:
    truth = load_clip(BenchmarkClip("a", write_frames(tmp_path / "a", color_film(2))), toy_protocol(tmp_path))
    ab = np.ascontiguousarray(rgb2lab(truth.rgb[1] / 255.0)[..., 1:], dtype=np.float32)
    assert np.abs(truth.colored(1, ab).astype(int) - truth.rgb[1]).max() <= 1


def test_paper_stretches_and_film_keeps_luma_bit_for_bit(tmp_path: Path) -> None:
    clip = BenchmarkClip("a", write_film(tmp_path / "a.mkv", color_film(3, 96, 144)))
    stretched = load_clip(clip, toy_protocol(tmp_path, "stretch", 40, 40))
    assert stretched.rgb.shape == (3, 40, 40, 3)
    full = load_clip(clip, toy_protocol(tmp_path, "full", 48, 32))
    assert full.rgb.shape == (3, 96, 144, 3)
    assert full.lightness.shape == (3, 32, 48)
    gray = full.colored(0, np.zeros((32, 48, 2), np.float32))
    assert np.abs(gray.astype(int) - full.frames[0].luma[..., None]).max() <= 1
    references, _ = references_of(full, parse_choice("first"))
    np.testing.assert_allclose(references[0].lightness, full.lightness[0], atol=1.5)
    back = full.colored(0, references[0].ab)
    assert np.abs(back.astype(int) - full.rgb[0]).mean() < 4


def test_a_protocol_may_limit_the_number_of_frames(tmp_path: Path) -> None:
    clip = BenchmarkClip("a", write_frames(tmp_path / "a", color_film(5)))
    truth = load_clip(clip, toy_protocol(tmp_path, frames=3))
    assert (len(truth), truth.length) == (3, 5)


def test_bad_clips_are_named(tmp_path: Path) -> None:
    protocol = toy_protocol(tmp_path)
    one = BenchmarkClip("one", write_frames(tmp_path / "one", color_film(1)))
    gray = np.repeat(color_film(2)[..., :1], 3, axis=3)
    odd = write_frames(tmp_path / "odd", color_film(2))
    shutil.copy(write_still(tmp_path / "x.png", halves(100, 80)), odd / "00002.png")
    corrupt = write_frames(tmp_path / "corrupt", color_film(2))
    (corrupt / "00001.png").write_bytes(b"no image")
    make_film(tmp_path / "gray.mkv", Film(pixel_format="gray"))
    make_film(tmp_path / "cut.mkv", Film(count=12))
    content = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    for clip, problem in (
        (one, "single frame"),
        (BenchmarkClip("g", write_frames(tmp_path / "g", gray)), "is gray"),
        (BenchmarkClip("gray", tmp_path / "gray.mkv"), "is gray"),
        (BenchmarkClip("odd", odd), "is 100x80, the first frame is 64x48"),
        (BenchmarkClip("corrupt", corrupt), "00001.png: cannot be read as an image"),
        (BenchmarkClip("cut", tmp_path / "cut.mkv"), "is damaged"),
    ):
        with pytest.raises(InputError, match=problem):
            load_clip(clip, protocol)


# --- protocols --------------------


def test_protocols_of_the_package() -> None:
    assert protocols() == ["film", "network", "paper"]
    for name in protocols():
        assert load_protocol(name).title
    assert load_protocol("paper").network_shape(1.0) == (216, 384)
    assert load_protocol("network").network_shape(854 / 480) == (216, 384)
    assert load_protocol("network").network_shape(368 / 480) == (329, 252)
    changed = load_protocol("network", frames=7, reference="last")
    assert (changed.frames, changed.reference) == (7, "last")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("size = ", "is not TOML"),
        (
            'title = "t"\nsize = "huge"\nwidth = 64\nheight = 48',
            "size: expected 'area', 'stretch' or 'full', got 'huge'",
        ),
        (
            'title = "t"\nsize = "area"\nwidth = 6\nheight = 48',
            "width: expected a number greater than or equal to 32, got 6",
        ),
        ('title = "t"\nsize = "area"\nwidth = 6\nheight = 8', r"width: expected .* \(and 1 more\)"),
        (
            'title = "t"\nsize = "area"\nwidth = 64\nheight = 48\nframe = 3',
            r"frame: unknown name; did you mean frames\?",
        ),
    ],
)
def test_bad_protocols_are_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=problem) as raised:
        load_protocol(file)
    assert "\n" not in str(raised.value)


def test_unknown_protocols_and_frame_counts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no protocol fast"):
        load_protocol("fast")
    with pytest.raises(InputError, match="cannot be read"):
        load_protocol(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="1 is too few"):
        load_protocol("paper", frames=1)


# --- references --------------------


def test_frames_as_references(tmp_path: Path) -> None:
    truth = load_clip(BenchmarkClip("a", write_frames(tmp_path / "a", color_film(7))), toy_protocol(tmp_path))
    for text, indices in (("first", [0]), ("middle", [3]), ("last", [6]), ("every:3", [0, 3, 6])):
        references, shown = references_of(truth, parse_choice(text))
        assert len(references) == len(indices)
        for reference, index in zip(references, indices, strict=True):
            lab = rgb2lab(truth.rgb[index] / 255.0)
            np.testing.assert_allclose(reference.ab, lab[..., 1:], atol=0.05)
            np.testing.assert_array_equal(reference.lightness, truth.lightness[index])
        assert np.abs(shown.astype(int) - truth.rgb[indices[0]]).max() <= 1
    mirrored, _ = references_of(truth, parse_choice("mirrored"))
    np.testing.assert_array_equal(mirrored[0].lightness[:, ::-1], truth.lightness[0])
    first, _ = references_of(truth, parse_choice("first"))
    np.testing.assert_array_equal(mirrored[0].ab[:, ::-1], first[0].ab)


def test_stills_from_a_folder(tmp_path: Path) -> None:
    film = color_film(3)
    truth = load_clip(BenchmarkClip("a", write_frames(tmp_path / "a", film)), toy_protocol(tmp_path))
    stills = tmp_path / "stills"
    stills.mkdir()
    write_still(stills / "a_1.png", film[1])
    write_still(stills / "ab.png", film[2])
    write_still(stills / "a_2.png", halves(80, 40))
    references, _ = references_of(truth, parse_choice(str(stills)))
    assert [reference.name for reference in references] == ["a_1.png", "a_2.png"]
    lab = rgb2lab(film[1] / 255.0)
    np.testing.assert_allclose(references[0].ab, lab[..., 1:], atol=0.1)
    np.testing.assert_allclose(references[0].lightness, lab[..., 0], atol=0.1)
    assert references[1].size[1] / references[1].size[0] == pytest.approx(2, rel=0.05)
    stretched = load_clip(BenchmarkClip("a", tmp_path / "a"), toy_protocol(tmp_path, "stretch", 40, 40))
    assert {r.size for r in references_of(stretched, parse_choice(str(stills)))[0]} == {(40, 40)}


def test_stretched_stills_take_no_color_from_transparent_pixels(tmp_path: Path) -> None:
    truth = load_clip(
        BenchmarkClip("a", write_frames(tmp_path / "a", color_film(2))), toy_protocol(tmp_path, "stretch", 40, 40)
    )
    still = np.full((90, 120, 3), (200, 60, 50), np.uint8)
    still[:, 62:] = (0, 0, 255)
    alpha = np.full((90, 120), 255, np.uint8)
    alpha[:, 62:] = 0  # three pixels of the still become one: the 21st column is opaque by two thirds
    (tmp_path / "stills").mkdir()
    write_still(tmp_path / "stills" / "a.png", still, alpha)
    reference = references_of(truth, parse_choice(str(tmp_path / "stills")))[0][0]
    assert reference.mask[:, :21].all()
    assert not reference.mask[:, 21:].any()
    expected = rgb2lab(np.array([[[200, 60, 50]]]) / 255.0)[0, 0, 1:]
    np.testing.assert_allclose(
        reference.ab[reference.mask], np.broadcast_to(expected, (reference.mask.sum(), 2)), atol=1
    )


@pytest.mark.parametrize("text", ["second", "every:0", "every:x", "absent/folder"])
def test_bad_choices_are_named(text: str) -> None:
    with pytest.raises(UsageError, match="reference: "):
        parse_choice(text)


def test_missing_stills_are_named(tmp_path: Path) -> None:
    truth = load_clip(BenchmarkClip("a", write_frames(tmp_path / "a", color_film(2))), toy_protocol(tmp_path))
    (tmp_path / "stills").mkdir()
    with pytest.raises(InputError, match="contains no still for the clip a"):
        references_of(truth, parse_choice(str(tmp_path / "stills")))


def test_sixteen_bit_frames_are_scaled_not_cut(tmp_path: Path) -> None:
    film = color_film(2)
    folder = tmp_path / "deep"
    folder.mkdir()
    for number, frame in enumerate(film):
        assert cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1].astype(np.uint16) * 257)
    truth = load_clip(BenchmarkClip("deep", folder), toy_protocol(tmp_path))
    np.testing.assert_array_equal(truth.rgb, film)


# --- lists of clips --------------------


def davis(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        write_frames(root / "JPEGImages" / "480p" / name, color_film(2, 32, 32))
    return root


def test_a_list_leaves_the_training_clips_out(tmp_path: Path) -> None:
    val, train = load_split("davis2017-val"), load_split("davis2017-train")
    root = davis(tmp_path, [*val, *train[:3]])
    assert len(find_clips(root)) == 33
    found = find_clips(root, "davis2017-val")
    assert [clip.name for clip in found] == sorted(val)
    assert all(clip.path == root / "JPEGImages" / "480p" / clip.name for clip in found)
    assert [clip.name for clip in find_clips(root, "davis2017-val", ["goat", "camel"])] == ["camel", "goat"]
    with pytest.raises(UsageError, match="there is no clip bear"):
        find_clips(root, "davis2017-val", ["bear"])


def test_missing_clips_of_a_list_are_named_and_never_left_out(tmp_path: Path) -> None:
    root = davis(tmp_path, [name for name in load_split("davis2017-val") if name not in ("goat", "libby")])
    with pytest.raises(InputError, match="2 of 30 clips of davis2017-val are missing: goat, libby; add them"):
        find_clips(root, "davis2017-val")
    assert len(find_clips(root, "davis2017-val", ["camel"])) == 1
    with pytest.raises(InputError, match="1 of 2 clips of davis2017-val are missing: goat"):
        find_clips(root, "davis2017-val", ["camel", "goat"])
    with pytest.raises(UsageError, match="fvi-test: is not included"):
        find_clips(root, "fvi-test")


def test_videvos_test_folder_is_found(tmp_path: Path) -> None:
    write_frames(tmp_path / "test" / "CoupleWalking", color_film(2, 32, 32))
    write_frames(tmp_path / "train" / "Walking", color_film(2, 32, 32))
    assert [clip.path for clip in find_clips(tmp_path)] == [tmp_path / "test" / "CoupleWalking"]

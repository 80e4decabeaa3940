"""Colored stills: which files are taken, and how they come to the engines."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kinemacolor.core.color import rgb_to_lab, still_lightness
from kinemacolor.core.errors import InputError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.orientation import Orientation
from kinemacolor.core.types import Array
from kinemacolor.engine.key_grid import cell_colors
from kinemacolor.references.image import Still, read_reference, read_still, to_reference
from kinemacolor.references.placement import ReferenceFile
from tests.stills import BLUE, GREEN, RED, gray, halves, write_still

FLAT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def still(image: Array, mask: Array | None = None) -> Still:
    opaque = np.ones(image.shape[:2], bool) if mask is None else mask
    return Still(np.asarray(image / np.float32(255), np.float32), opaque, "still.png")


def lab(color: tuple[int, int, int]) -> Array:
    return rgb_to_lab(np.array([[color]], np.float32) / 255)[0, 0]


# --- files --------------------


@pytest.mark.parametrize(
    ("name", "error"), [("a.png", 0.0), ("a.tiff", 0.0), ("a.bmp", 0.0), ("a.webp", 0.03), ("a.jpg", 0.1)]
)
def test_formats_are_read_in_their_colors(tmp_path: Path, name: str, error: float) -> None:
    image = halves()
    read = read_still(write_still(tmp_path / name, image))
    assert (read.rgb.dtype, read.rgb.shape, read.name) == (np.float32, image.shape, name)
    assert read.mask.all()
    np.testing.assert_allclose(read.rgb.mean(axis=(0, 1)), image.mean(axis=(0, 1)) / 255, atol=0.01)
    assert np.abs(read.rgb - image / 255).mean() <= error + 1e-6


@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_are_read_as_sixteen(tmp_path: Path, alpha: bool) -> None:
    image = halves().astype(np.uint16) * 257 + 100
    opacity = np.full(image.shape[:2], 65535, np.uint16)
    opacity[:10] = 32767
    read = read_still(write_still(tmp_path / "a.png", image, opacity if alpha else None))
    np.testing.assert_allclose(read.rgb, image / 65535, atol=1e-6)
    assert read.mask[:10].any() != alpha
    assert read.mask[10:].all()


@pytest.mark.parametrize(("turn", "quarter"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_turns_are_honored(tmp_path: Path, turn: int, quarter: int) -> None:
    exif = Image.Exif()
    exif[0x112] = turn
    image = halves()
    Image.fromarray(image).save(tmp_path / "a.jpg", exif=exif, quality=95)
    read = read_still(tmp_path / "a.jpg")
    upright = np.rot90(image, quarter)
    assert read.rgb.shape == upright.shape
    assert np.abs(read.rgb - upright / 255).mean() < 0.05


def test_transparency_of_a_palette(tmp_path: Path) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48], image[:, 48:] = RED, BLUE
    palette = Image.fromarray(image).quantize(4)
    palette.save(tmp_path / "a.png", transparency=palette.getpixel((0, 0)))
    read = read_still(tmp_path / "a.png")
    assert not read.mask[:, :48].any()
    assert read.mask[:, 48:].all()
    np.testing.assert_allclose(read.rgb[0, -1] * 255, BLUE, atol=1)


def test_transparent_from_half_downwards(tmp_path: Path) -> None:
    alpha = np.repeat(np.arange(96)[None] * 255 // 95, 64, axis=0).astype(np.uint8)
    read = read_still(write_still(tmp_path / "a.png", halves(), alpha))
    np.testing.assert_array_equal(read.mask, alpha >= 128)


@pytest.mark.parametrize("noise", [0, 2, 3])
def test_gray_with_a_little_noise_is_gray(tmp_path: Path, noise: int) -> None:
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (300, 400, 3))
    image = np.clip(np.repeat(gray(halves(400, 300))[..., None], 3, 2) + grain, 0, 255).astype(np.uint8)
    with pytest.raises(InputError, match="is gray"):
        read_still(write_still(tmp_path / "a.png", image))


def test_a_small_colored_thing_is_color(tmp_path: Path) -> None:
    image = np.repeat(gray(halves(400, 300))[..., None], 3, 2)
    image[100:120, 100:120] = RED
    assert read_still(write_still(tmp_path / "a.png", image)).mask.all()


def test_color_below_transparent_areas_does_not_count(tmp_path: Path) -> None:
    image = np.repeat(gray(halves())[..., None], 3, 2)
    image[:, :48] = RED
    alpha = np.full((64, 96), 255, np.uint8)
    assert read_still(write_still(tmp_path / "a.png", image, alpha))
    alpha[:, :48] = 0
    with pytest.raises(InputError, match="is gray"):
        read_still(write_still(tmp_path / "b.png", image, alpha))


@pytest.mark.parametrize(("width", "height", "taken"), [(32, 32, True), (31, 200, False), (200, 31, False)])
def test_thirty_two_pixels_are_enough(tmp_path: Path, width: int, height: int, taken: bool) -> None:
    path = write_still(tmp_path / "a.png", halves(width, height))
    if taken:
        assert read_still(path).mask.shape == (height, width)
    else:
        with pytest.raises(InputError, match=f"is {width}x{height}, too small"):
            read_still(path)


def test_values_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    image = (halves() / 255).astype(np.float32)
    image[5, 5], image[6, 6] = np.nan, np.inf
    cv2.imwrite(str(tmp_path / "a.tiff"), image[..., ::-1])
    read = read_still(tmp_path / "a.tiff")
    assert read.rgb[5, 5].tolist() == [0, 0, 0]
    assert float(read.rgb.max()) <= 1
    to_reference(read, (64, 96), "bt709", aspect=1.5)


def test_what_decoders_print_is_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "a.jpg"):
        content = bytearray(write_still(tmp_path / name, halves(200, 200)).read_bytes())
        half = len(content) // 2
        content[half : half + 80] = np.random.default_rng(0).bytes(80)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="corrupt"):
            read_still(tmp_path / name)
    assert capfd.readouterr() == ("", "")


# --- to network size --------------------


def test_a_still_of_the_films_shape_gets_the_frames_size() -> None:
    for size in ((64, 96), (128, 192), (65, 97)):
        reference = to_reference(still(halves(size[1], size[0])), (216, 325), "bt709", aspect=1.5)
        assert reference.size == (216, 325)


def test_a_frame_of_the_film_keeps_its_place() -> None:
    image = halves(192, 128)
    reference = to_reference(still(image), (64, 96), "bt601", aspect=1.5)
    small = cv2.resize(np.asarray(image / 255, np.float32), (96, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(reference.lightness, still_lightness(small, "bt601"), atol=0.01)
    np.testing.assert_allclose(reference.ab, rgb_to_lab(small)[..., 1:], atol=0.01)


def test_another_shape_is_kept_at_the_same_area() -> None:
    reference = to_reference(still(halves(200, 100)), (100, 150), "bt709", aspect=1.5)
    height, width = reference.size
    assert width / height == pytest.approx(2, rel=0.02)
    assert width * height == pytest.approx(100 * 150, rel=0.02)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotated_film_gets_the_still_turned_back(rotation: int) -> None:
    upright = halves(96, 64)
    stored = np.rot90(upright, rotation // 90)  # a viewer turns it clockwise
    height, width = stored.shape[:2]
    reference = to_reference(
        still(upright), (height, width), "bt601", aspect=width / height, orientation=Orientation(rotation)
    )
    assert reference.size == (height, width)
    np.testing.assert_allclose(
        reference.lightness, still_lightness(np.asarray(stored / np.float32(255), np.float32), "bt601"), atol=0.01
    )


def test_lightness_depends_on_the_matrix_of_the_film() -> None:
    image = still(halves())
    lightness = [to_reference(image, (64, 96), matrix, aspect=1.5).lightness for matrix in ("bt601", "bt709")]
    assert np.abs(lightness[0] - lightness[1]).mean() > 1


@pytest.mark.parametrize("size", [(64, 96), (45, 67), (200, 300)])
def test_transparent_areas_stay_so_and_their_color_does_not_leak(size: tuple[int, int]) -> None:
    image = np.zeros((128, 192, 3), np.uint8)
    image[:], image[:, 75:] = GREEN, (255, 0, 255)
    mask = np.zeros((128, 192), bool)
    mask[:, :75] = True
    reference = to_reference(still(image, mask), size, "bt709", aspect=1.5)
    edge = 75 * size[1] / 192
    columns = np.arange(size[1])
    assert reference.mask[:, columns + 1 <= edge].all()
    assert not reference.mask[:, columns >= edge].any()
    off = np.abs(reference.ab - lab(GREEN)[1:]).max(axis=2)
    assert off[reference.mask].max() < 1
    assert off[:, columns > edge + 1].min() > 20  # the picture below stays for matching


def test_a_still_with_hardly_any_opaque_pixel_is_refused() -> None:
    mask = np.zeros((640, 960), bool)
    mask[100, 100:800] = True
    with pytest.raises(InputError, match="hardly anything"):
        to_reference(still(halves(960, 640), mask), (216, 324), "bt709", aspect=1.5)


@FLAT
@given(
    width=st.integers(32, 300),
    height=st.integers(32, 300),
    frame=st.tuples(st.integers(32, 160), st.integers(32, 160)),
    rotation=st.sampled_from([0, 90, 180, 270]),
    opaque=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_any_still_fits_or_is_refused(
    width: int, height: int, frame: tuple[int, int], rotation: int, opaque: tuple[float, float, float, float]
) -> None:
    mask = np.zeros((height, width), bool)
    (top, bottom), (left, right) = sorted(opaque[:2]), sorted(opaque[2:])
    mask[int(top * height) : int(bottom * height) + 1, int(left * width) : int(right * width) + 1] = True
    image = still(halves(width, height), mask)
    aspect = frame[1] / frame[0]
    try:
        reference = to_reference(image, frame, "bt709", aspect=aspect, orientation=Orientation(rotation))
    except InputError:
        assert mask.mean() < 0.05
        return
    assert (cell_colors(reference)[1] >= 0.5).any()  # so that an engine always finds an entry
    shape = (height / width if rotation % 180 else width / height) / aspect
    rows, columns = reference.size
    if abs(shape - 1) < 0.03:
        assert reference.size == frame
    elif min(rows, columns) > MINIMUM_SIDE:
        assert columns / rows / aspect == pytest.approx(shape, rel=0.04)
        assert rows * columns == pytest.approx(frame[0] * frame[1], rel=0.04)


# --- masks --------------------


def test_a_mask_goes_on_top_of_transparency(tmp_path: Path) -> None:
    opacity: Array = np.full((64, 96), 255, np.uint8)
    opacity[:, :20] = 0
    mask: Array = np.full((64, 96), 255, np.uint8)
    mask[:31], mask[31:40] = 0, 128
    path = write_still(tmp_path / "a.png", halves(), opacity)
    still = read_reference(ReferenceFile(path, mask=write_still(tmp_path / "m.png", mask)))
    expected = np.ones((64, 96), bool)
    expected[:, :20] = expected[:31] = False
    np.testing.assert_array_equal(still.mask, expected)
    np.testing.assert_array_equal(still.rgb, read_still(path).rgb)
    np.testing.assert_array_equal(read_reference(ReferenceFile(path)).mask, opacity > 0)


def test_a_mask_of_sixteen_bits(tmp_path: Path) -> None:
    mask = np.where(np.arange(96) < 50, 65535, 32767)[None].repeat(64, 0).astype(np.uint16)
    path = write_still(tmp_path / "a.png", halves())
    still = read_reference(ReferenceFile(path, mask=write_still(tmp_path / "m.png", mask)))
    np.testing.assert_array_equal(still.mask, mask == 65535)


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    path = write_still(tmp_path / "a.png", halves())
    small = write_still(tmp_path / "small.png", np.full((64, 95), 255, np.uint8))
    black = write_still(tmp_path / "black.png", np.zeros((64, 96), np.uint8))
    (tmp_path / "text.png").write_text("none")
    for mask, problem in (
        (small, r"small\.png: is 95x64, its still .*a\.png 96x64; give both one size"),
        (black, r"black\.png: leaves nothing of .*a\.png; paint white"),
        (tmp_path / "text.png", r"text\.png: is not an image, or corrupt"),
        (tmp_path / "no.png", r"no\.png: cannot be read \(No such file or directory\); give a gray image as mask"),
    ):
        with pytest.raises(InputError, match=problem):
            read_reference(ReferenceFile(path, mask=mask))

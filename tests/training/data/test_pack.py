"""A pack: within its limit, close to the cache it was made from, the same samples, and one line when corrupt."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.evaluation.metrics import psnr
from kinemacolor.training.data.cache import Cache, CachedClip, write_cache
from kinemacolor.training.data.pack import PACK_QUALITIES, open_pack, pack
from kinemacolor.training.data.windows import WindowSampler
from tests.training.toys import moving, picture, toy_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return toy_cache(tmp_path_factory.mktemp("data") / "cache")


def test_unpacked_pictures_are_close_and_samples_drawn_alike(cache: Cache, tmp_path: Path) -> None:
    packed = pack(cache, tmp_path / "toy.pack")
    assert (packed.crf, packed.jpeg) == PACK_QUALITIES[0]
    assert packed.bytes == packed.path.stat().st_size
    assert (packed.frames, packed.photos, packed.dropped) == (19, 2, ())
    unpacked = open_pack(packed.path, tmp_path / "unpacked")
    assert unpacked.folder == tmp_path / "unpacked"
    assert [(c.name, c.shape, c.offset) for c in unpacked.clips] == [(c.name, c.shape, c.offset) for c in cache.clips]
    for clip in cache.clips:
        assert psnr(unpacked.frames(clip), np.array(cache.frames(clip))).min() > 36
    a, b = (WindowSampler(source, 3, (40, 60)).sample(4) for source in (cache, unpacked))
    assert (a.name, a.reference_frame) == (b.name, b.reference_frame)
    assert np.abs(a.ab - b.ab).mean() < 3
    stamp = (unpacked.folder / "frames.bin").stat().st_mtime_ns
    again = open_pack(packed.path, unpacked.folder)
    assert (again.digest, again.clips) == (unpacked.digest, unpacked.clips)
    assert (unpacked.folder / "frames.bin").stat().st_mtime_ns == stamp  # not unpacked twice


def test_the_same_cache_makes_the_same_file(tmp_path: Path) -> None:
    """Sides are multiples of 16: of other sizes x264 makes one of several files, by memory that it never set."""
    shot, photo = moving(9, 64, 96), picture(64, 96, 10)[None]
    entries = [
        (CachedClip("f#0", "f", False, *shot.shape[:3]), shot),
        (CachedClip("p", "p", True, *photo.shape[:3]), photo),
    ]
    cache = write_cache(tmp_path / "cache", entries, [], "toy")
    a, b = (pack(cache, tmp_path / f"{name}.pack").path.read_bytes() for name in "ab")
    assert a == b


def test_a_tight_limit_costs_quality_first_and_clips_last(cache: Cache, tmp_path: Path) -> None:
    full = pack(cache, tmp_path / "full.pack")
    tight = pack(cache, tmp_path / "tight.pack", full.bytes * 2 // 3)
    assert tight.bytes <= full.bytes * 2 // 3
    assert tight.crf > full.crf
    assert tight.dropped == ()
    least = pack(cache, tmp_path / "least.pack", 9000)
    assert least.bytes <= 9000
    assert least.crf == PACK_QUALITIES[-1][0]
    assert least.dropped
    kept = {clip.name for clip in open_pack(least.path, tmp_path / "least").clips}
    assert kept | set(least.dropped) == {clip.name for clip in cache.clips}
    assert not kept & set(least.dropped)
    with pytest.raises(OutputError, match="500 bytes have no room for a single clip; allow a larger pack"):
        pack(cache, tmp_path / "none.pack", 500)
    assert not (tmp_path / "none.pack").exists()


def test_corrupt_packs_and_other_files_are_refused(cache: Cache, tmp_path: Path) -> None:
    path = pack(cache, tmp_path / "toy.pack").path
    content = path.read_bytes()
    corrupt = tmp_path / "corrupt.pack"
    corrupt.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"corrupt\.pack: is not a pack, or is corrupt; pack the cache again"):
        open_pack(corrupt, tmp_path / "a")
    with pytest.raises(InputError, match="cannot be read"):
        open_pack(tmp_path / "nowhere.pack", tmp_path / "a")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(corrupt, "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, whole.read(name)[:-200] if name.endswith("0.mkv") else whole.read(name))
    with pytest.raises(InputError, match=r"films/f0#0 in it is corrupt"):
        open_pack(corrupt, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "a.part").exists()


def test_another_packs_folder_is_not_taken(cache: Cache, tmp_path: Path) -> None:
    path = pack(cache, tmp_path / "toy.pack").path
    with pytest.raises(OutputError, match="exists and is not a cache of these sources"):
        open_pack(path, cache.folder)
    with pytest.raises(OutputError, match="the pack cannot be written"):
        pack(cache, path / "inside.pack")

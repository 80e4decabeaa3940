"""The contract with peers, proven by a small stand-in, with its failures; what checkouts lack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import Array
from kinemacolor.evaluation.benchmark import MeasurementSettings, run
from kinemacolor.evaluation.methods import parse_methods
from kinemacolor.evaluation.results import Results
from kinemacolor.peers import records
from kinemacolor.peers.adapters import contract
from kinemacolor.peers.records import PEERS, PeerRecord, PeerWeights
from kinemacolor.peers.runner import Checkout, run_peer
from tests.evaluation.toys import color_film, toy_protocol, write_frames

STAND_IN = Path(__file__).with_name("stand_in.py")


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@t"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A repository with the stand-in's marker and weights; its record is among the peers as ``stand-in``."""
    adapters = tmp_path / "adapters"
    adapters.mkdir()
    shutil.copy(STAND_IN, adapters)
    shutil.copy(Path(contract.__file__), adapters)
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "model.py").write_text("# the peer's own code\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "peer")
    (folder / "weights.pth").write_bytes(b"weights")
    record = PeerRecord(
        "stand-in", "Stand-in", "nobody, nowhere", "nobody/stand-in", git(folder, "rev-parse", "HEAD"), "MIT",
        "exemplar", "one reference", "model.py", (PeerWeights("weights.pth", "a page"),), (), "stand_in.py",
    )  # fmt: skip
    monkeypatch.setitem(PEERS, "stand-in", record)
    monkeypatch.setattr(records, "ADAPTER_FOLDER", adapters)
    return Checkout(record, folder)


def film(frames: int = 4) -> tuple[list[Array], Array]:
    """Gray frames and a reddish reference."""
    gray = [np.full((20, 30, 3), 60 + 20 * t, np.uint8) for t in range(frames)]
    return gray, np.broadcast_to(np.array([180, 90, 90], np.uint8), (20, 30, 3)).copy()


def color(checkout: Checkout, **options: float) -> Array:
    gray, reference = film()
    return run_peer(checkout, gray, [reference], [0], **options).film  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["", "bytes"])
def test_a_peer_colors_a_clip_in_its_own_process(checkout: Checkout, kind: str) -> None:
    (checkout.folder / "fault.txt").write_text(kind)
    gray, reference = film()
    output = run_peer(checkout, gray, [reference], [0])
    assert output.film.shape == (4, 20, 30, 3)
    assert output.film.dtype == np.uint8
    expected = np.array([60, 60, 60]) * np.array([1.5, 0.75, 0.75])
    np.testing.assert_allclose(output.film[0, 0, 0], expected, atol=1)
    assert 0 < output.seconds < 5  # the network's, told by the adapter
    assert output.memory is None or output.memory > 5 << 20
    assert sorted(path.name for path in checkout.folder.iterdir()) == [".git", "fault.txt", "model.py", "weights.pth"]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("crash", "ended with exit code 1: RuntimeError: the weights do not fit"),
        ("missing", r"gave no result for 1 of 4 frames \(1\)"),
        ("extra", "gave 1 frames more than there are"),
        ("size", "frame 0 is 30x19, expected 30x20"),
        ("nan", "frame 2 holds NaN or infinity"),
        ("type", "frame 0 is of type int32, not a picture"),
    ],
)
def test_what_a_peer_does_wrong_is_told_in_one_line(checkout: Checkout, fault: str, problem: str) -> None:
    (checkout.folder / "fault.txt").write_text(fault)
    with pytest.raises(InputError, match=f"peer stand-in: {problem}") as caught:
        color(checkout)
    assert "\n" not in str(caught.value)


def test_a_peer_that_hangs_is_ended_with_its_children(checkout: Checkout) -> None:
    (checkout.folder / "fault.txt").write_text("hang")
    begin = time.monotonic()
    with pytest.raises(InputError, match="peer stand-in: took more than 5 seconds for a clip; give it more time"):
        color(checkout, limit=5)
    assert time.monotonic() - begin < 60
    child = int((checkout.folder / "child.txt").read_text())
    for _ in range(100):
        status = Path(f"/proc/{child}/status")
        if not status.exists() or "\nState:\tZ" in status.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the child goes on")


def test_a_python_that_cannot_be_started_is_told(checkout: Checkout) -> None:
    python = checkout.folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("no program")
    assert checkout.python == python
    with pytest.raises(InputError, match=r"peer stand-in: its Python cannot be started \("):
        color(checkout)


def test_what_a_checkout_lacks_is_named(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.problems() == []
    (checkout.folder / "weights.pth").unlink()
    assert checkout.problems() == ["weights are missing: weights.pth (from a page)"]
    assert replace(checkout, random=True).problems() == []
    (checkout.folder / "more.py").touch()
    git(checkout.folder, "add", "more.py")
    git(checkout.folder, "commit", "-qm", "another")
    commit = git(checkout.folder, "rev-parse", "HEAD")
    with pytest.raises(InputError, match=f"the checkout is at commit {commit[:12]}, .*; weights are missing"):
        checkout.check()
    assert len(replace(checkout, any_commit=True).problems()) == 1
    shutil.rmtree(checkout.folder / ".git")
    assert "no commit that can be told" in checkout.problems()[0]
    (checkout.folder / "model.py").unlink()
    assert "is no checkout of nobody/stand-in: model.py is missing" in checkout.problems()[0]
    assert replace(checkout, folder=tmp_path / "no").problems() == [f"there is no folder {tmp_path / 'no'}"]
    assert "there is no adapter" in Checkout(PEERS["ddcolor"], checkout.folder).problems()[0]


def test_a_benchmark_measures_a_peer_like_any_method(checkout: Checkout, tmp_path: Path) -> None:
    write_frames(tmp_path / "clips" / "one", color_film(3))
    settings = MeasurementSettings(flow="dis", perceptual=False)
    methods = parse_methods(f"gray,peer:stand-in={checkout.folder},peer:stand-in={checkout.folder}+random")
    assert [method.name for method in methods] == ["gray", "stand-in", "stand-in (random weights)"]
    assert methods[2].summary.startswith("RANDOM WEIGHTS, a test of its adapter")
    finished = run(tmp_path / "clips", methods, tmp_path / "out", toy_protocol(tmp_path), settings=settings, jobs=0)
    results = Results(finished, {})
    assert results.means["stand-in"]["seconds"]
    assert os.name != "posix" or results.means["stand-in"]["memory"]
    assert results.means["gray"]["memory"] is None
    assert "memory" in [column.key for column in results.columns()]
    before = methods[1].fingerprint(next(iter(finished.clips)))
    (checkout.folder / "weights.pth").write_bytes(b"other weights")
    assert methods[1].fingerprint(next(iter(finished.clips))) != before


def test_peers_are_named_with_their_checkouts(checkout: Checkout) -> None:
    for text, problem in (
        ("peer:nobody=x", "there is no peer nobody; choose among chromagan"),
        ("peer:stand-in", "does not name its checkout"),
    ):
        with pytest.raises(UsageError, match=problem):
            parse_methods(text)
    with pytest.raises(InputError, match="peer deepexemplar: there is no folder"):
        parse_methods("peer:deepexemplar=/no/such/folder")


def test_published_results_of_another_size_are_read(tmp_path: Path) -> None:
    truth = color_film(3)
    write_frames(tmp_path / "clips" / "one", truth)
    half = np.stack([cv2.resize(frame, (32, 24), interpolation=cv2.INTER_AREA) for frame in truth])
    write_frames(tmp_path / "published" / "one", half)
    method = parse_methods(f"peer:fullyautomatic={tmp_path / 'published'}")
    settings = MeasurementSettings(flow="dis", perceptual=False)
    protocol = toy_protocol(tmp_path)
    result = run(tmp_path / "clips", method, tmp_path / "out", protocol, settings=settings, jobs=0).results
    assert (result["one", "fullyautomatic"].measurement.figures["psnr"] or 0) > 20
    (tmp_path / "published" / "one" / "00002.png").unlink()
    with pytest.raises(InputError, match="has 2 frames, expected 3"):
        run(tmp_path / "clips", method, tmp_path / "other", protocol, settings=settings, jobs=0)


def test_every_record_is_complete() -> None:
    for record in PEERS.values():
        assert record.paper
        assert record.needs
        if record.adapter:
            assert record.script.is_file()
            assert len(record.commit or "") == 40
            assert record.marker
            assert record.weights


def test_the_command_lists_what_is_ready(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    from kinemacolor.cli.peers import peers

    peers([f"stand-in={checkout.folder}", "tcvc=/no/such/folder"], as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["stand-in"]["state"] == f"ready in {checkout.folder}"
    assert rows["tcvc"]["state"] == "not ready: there is no folder /no/such/folder"
    assert rows["deepexemplar"]["state"].startswith("has an adapter; needs a checkout")
    peers(None, as_json=False)
    assert "ColorMNet" in capsys.readouterr().out
    with pytest.raises(UsageError, match="names no folder"):
        peers(["tcvc"], as_json=False)


def test_lab_of_the_contract_is_that_of_the_package() -> None:
    from kinemacolor.core.color import lab_to_rgb, rgb_to_lab

    rgb = color_film(1)[0]
    lab = rgb_to_lab(rgb.astype(np.float32) / 255)
    np.testing.assert_allclose(contract.to_lab(rgb), lab, atol=2e-2)
    np.testing.assert_allclose(contract.to_rgb(lab), lab_to_rgb(lab), atol=2e-4)

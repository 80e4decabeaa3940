"""The page in a browser: a person opens the film, paints, tries, runs, loses the server, and goes on."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.types import Array
from kinemacolor.video.reader import VideoReader
from tests.studio.browser import axe_violations, open_page
from tests.studio.films import write_film
from tests.studio.running import Client, StudioProcess, studio_here

SETTINGS = {"engine": "matching", "working_size": 48, "codec": "ffv1", "max_segment_frames": 6}
CANVAS = ".stage > .canvas"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_film(tmp_path / "film.mkv", 60, cut=36, width=192, height=128)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with studio_here(folder) as client:
        record = client.open(folder / "film.mkv")
        client("PUT", f"/api/films/{record['id']}/settings", SETTINGS)
        yield client


def address(client: Client) -> str:
    return f"http://127.0.0.1:{client.port}/{client.secret}/"


def picture(page: Any, selector: str) -> Array:
    """(H, W, 3) of what an element shows."""
    content = np.frombuffer(page.locator(selector).screenshot(), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR)).astype(np.int16)


def draw(page: Any, *places: tuple[float, float]) -> None:
    """A stroke through places of the frame, in shares of its width and height."""
    box = page.locator(CANVAS).bounding_box()
    scale = min((box["width"] - 24) / 192, (box["height"] - 24) / 128)
    left, top = (box["width"] - 192 * scale) / 2, (box["height"] - 128 * scale) / 2
    points = [(box["x"] + left + x * 192 * scale, box["y"] + top + y * 128 * scale) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def wait_for_revision(page: Any, revision: int) -> float:
    """Seconds from the newest stroke to its picture."""
    page.wait_for_selector(f'{CANVAS}[data-revision="{revision}"]')
    return float(page.locator(CANVAS).get_attribute("data-seconds"))


def open_painting(page: Any) -> None:
    page.wait_for_selector(".shots .shot")
    page.get_by_role("button", name="Propose key frames").click()
    page.wait_for_selector(".picks li")
    page.locator(".picks li").first.get_by_role("button", name="Paint frame").click()
    page.wait_for_selector(f"{CANVAS}[data-revision]")


def test_a_person_paints_tries_and_runs_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    folder, state = tmp_path, tmp_path / "state"
    write_film(folder / "film.mkv", 480, cut=36, width=192, height=128)  # long enough to be canceled, then killed
    studio = StudioProcess("film.mkv", state=state, folder=folder)
    record = studio.client.open(folder / "film.mkv")
    film = f"/api/films/{record['id']}"
    studio.client("PUT", f"{film}/settings", SETTINGS)
    with open_page(studio.address) as page:
        open_painting(page)
        before = picture(page, CANVAS)
        for number, (color, x) in enumerate((("#b04438", 0.15), ("#3f6f94", 0.85), ("#6f8f4e", 0.5)), start=1):
            page.locator(f'.swatch[data-color="{color}"]').click()
            draw(page, (x, 0.3), (x, 0.7))
            assert wait_for_revision(page, number) < 10
        after = picture(page, CANVAS)
        changed = np.abs(after - before).max(axis=2) > 12
        assert changed.mean() > 0.2
        page.keyboard.press("Control+z")
        wait_for_revision(page, 4)
        page.keyboard.press("Control+y")
        wait_for_revision(page, 5)
        page.get_by_role("button", name="Try the shot").click()
        page.wait_for_selector(".trial .canvas[data-first]")
        assert float(page.locator(".trial .canvas").get_attribute("data-first")) < 20
        page.get_by_text("frames are colored; the weakest is").wait_for()
        assert page.locator(".bars .bar").count() > 20
        page.get_by_role("button", name="Back to painting").click()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_role("button", name="Run the film").click()
        page.wait_for_selector(".job .segments img")
        page.locator(".job").get_by_role("button", name="Cancel").click()
        page.wait_for_selector('.job[data-state="canceled"]')
        page.get_by_role("button", name="Go on").click()
        page.wait_for_selector('.job[data-state="running"]')
        page.wait_for_selector('.job[data-state="running"] .segments img')
        studio.kill()
        page.get_by_text("The studio does not answer").first.wait_for()
        studio = StudioProcess("film.mkv", "--port", str(studio.client.port), state=state, folder=folder)
        page.get_by_role("button", name="Go on").wait_for()
        page.wait_for_selector("#work .offline", state="detached")
        page.get_by_role("button", name="Go on").click()
        page.wait_for_selector('.job[data-state="finished"]')
        page.get_by_role("link", name="Report").wait_for()
    studio.stop()
    command = [sys.executable, "-m", "kinemacolor", "colorize", "--project", "film.toml", "-o", "again.mkv", "-q"]
    command += ["--report", "again.html"]
    environment = dict(studio.environment)
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=200)
    assert planes(folder / "film-color.mkv") == planes(folder / "again.mkv")


def planes(path: Path) -> list[str]:
    """A hash of each frame's planes."""
    with VideoReader(path) as reader:
        frames = list(reader.frames(chroma=True))
    assert all(frame.chroma for frame in frames)
    return [
        hashlib.sha256(b"".join([f.luma.tobytes(), *(p.tobytes() for p in f.chroma or ())])).hexdigest() for f in frames
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(client: Client, scheme: str) -> None:
    with open_page(address(client), color_scheme=scheme, reduced_motion="reduce") as page:
        open_painting(page)
        draw(page, (0.2, 0.3), (0.2, 0.6))
        wait_for_revision(page, 1)
        assert axe_violations(page) == []
        page.get_by_role("button", name="Try the shot").click()
        page.wait_for_selector(".trial .canvas[data-first]")
        assert axe_violations(page) == []
        for name in ("Shots", "Run"):
            page.get_by_role("button", name=name, exact=True).click()
            page.wait_for_timeout(300)
            assert axe_violations(page) == []
        page.locator(".film-name").click()
        page.wait_for_selector(".file")
        assert axe_violations(page) == []


def test_cuts_are_changed_by_the_keyboard(client: Client, folder: Path) -> None:
    with open_page(address(client)) as page:
        page.wait_for_selector(".shots .shot")
        assert page.locator(".shots .shot").count() == 2
        for _ in range(2):
            page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("ArrowLeft")
        page.get_by_text("Frame 19").first.wait_for()
        page.keyboard.press("c")
        page.wait_for_selector(".shots li:nth-child(3)")
        page.keyboard.press("]")
        page.get_by_text("Frame 20").first.wait_for()
        page.keyboard.press("g")
        page.wait_for_selector(".shot.gray")
    shots = client("GET", f"/api/films/{client('GET', '/api/desk').json['films'][0]['id']}").json["shots"]
    assert [(shot["start"], shot["gray"]) for shot in shots] == [(0, False), (20, True), (36, False)]
    assert (folder / "film-shots.json").exists()


def test_a_stroke_is_painted_by_the_keyboard_and_another_page_sees_it(client: Client, folder: Path) -> None:
    with open_page(address(client)) as page:
        open_painting(page)
        page.locator(CANVAS).focus()
        for key in ("ArrowLeft", "Enter", "Shift+ArrowUp", "ArrowLeft", "Enter"):
            page.keyboard.press(key)
        wait_for_revision(page, 1)
        files = list((folder / "film-studio").glob("*.strokes.json"))
        assert len(files) == 1
        stroke = json.loads(files[0].read_text())["strokes"][0]
        assert len(stroke["points"]) > 1
        frame = int(files[0].name.split(".")[0])
        films = client("GET", "/api/desk").json["films"]
        path = f"/api/films/{films[0]['id']}/stills/{frame}/strokes"
        other = {**stroke, "id": "other", "points": [[20, 20], [30, 30]]}
        assert client("POST", path, {"base": 1, "add": [other], "remove": []}).status == 200
        page.wait_for_selector(f'{CANVAS}[data-revision="2"]')  # the page has taken the other's stroke


def test_films_are_opened_from_a_folder_and_faults_are_told(client: Client, folder: Path) -> None:
    (folder / "broken.mp4").write_bytes(b"no film")
    with open_page(address(client)) as page:
        page.locator(".film-name").click()
        page.locator(".file", has_text=folder.name).click()
        page.locator(".file", has_text="broken.mp4").click()
        page.locator(".toast.error").wait_for()
        assert "broken.mp4" in page.locator(".toast.error").inner_text()
        page.locator(".file", has_text="film.toml").click()
        page.wait_for_selector(".shots .shot")

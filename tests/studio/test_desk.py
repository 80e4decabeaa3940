"""What a page does, by its requests: every step lands in files that the command line reads."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.pipeline.project import job_spec, read_project
from kinemacolor.references.image import read_still
from kinemacolor.shots.lists import read_shot_list
from kinemacolor.video.reader import VideoReader
from tests.stills import write_still
from tests.studio.films import write_film
from tests.studio.running import Client, StudioProcess, studio_here

RED, BLUE = "#c83c32", "#3250d2"
SETTINGS = {"engine": "matching", "working_size": 48, "codec": "ffv1"}


def stroke(name: str, x: float, color: str | None = RED, kind: str = "color", **fields: Any) -> dict[str, Any]:
    return {"id": name, "kind": kind, "color": color, "points": [[x, 10], [x, 54]], "width": 5, **fields}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_film(tmp_path / "film.mkv", 24, cut=14)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with studio_here(folder) as client:
        yield client


@pytest.fixture
def film(client: Client, folder: Path) -> str:
    record = client.open(folder / "film.mkv")
    assert client("PUT", f"/api/films/{record['id']}/settings", SETTINGS).status == 200
    return f"/api/films/{record['id']}"


def paint(client: Client, film: str, frame: int, *strokes: dict[str, Any], base: int = 0, remove: Any = ()) -> Any:
    answer = client(
        "POST", f"{film}/stills/{frame}/strokes", {"base": base, "add": list(strokes), "remove": list(remove)}
    )
    assert answer.status == 200, answer.content
    return answer.json


def flush(client: Client, film: str) -> None:
    assert client.desk
    client.desk.shelf(client.desk.project(film.rsplit("/", 1)[1])).flush()


def test_a_film_is_analyzed_once_and_its_shots_can_be_changed(client: Client, film: str, folder: Path) -> None:
    record = client("GET", film).json
    assert [(shot["start"], shot["stop"]) for shot in record["shots"]] == [(0, 14), (14, 24)]
    changed = client("PUT", f"{film}/shots", {"starts": [0, 9, 14], "gray": [1]})
    assert [shot["gray"] for shot in changed.json["shots"]] == [False, True, False]
    reader = VideoReader(folder / "film.mkv")
    listed = read_shot_list(folder / "film-shots.json", 24, reader.info.rate)
    assert [shot.start for shot in listed.shots] == [0, 9, 14]
    assert listed.marks == ("color", "neutral", "color")
    assert read_project(folder / "film.toml").fields["shots"] == folder / "film-shots.json"
    for starts in ([1, 9], [0, 9, 9], [0, 24], []):
        assert client("PUT", f"{film}/shots", {"starts": starts, "gray": []}).status == 400
    with studio_here(folder) as again:  # nothing is read anew
        begin = time.monotonic()
        reopened = again("POST", "/api/films", {"path": str(folder / "film.mkv")}).json
        assert time.monotonic() - begin < 2
        assert reopened["analyzed"]
        assert [shot["start"] for shot in reopened["shots"]] == [0, 9, 14]
        assert again("GET", "/api/desk").json["jobs"] == []


def test_strokes_become_a_still_that_the_command_line_reads(client: Client, film: str, folder: Path) -> None:
    before = client("GET", f"{film}/stills/5/picture.jpg").content
    record = paint(client, film, 5, stroke("left", 12), stroke("right", 84, BLUE))
    assert record["revision"] == 1
    assert not record["merged"]
    after = client("GET", f"{film}/stills/5/picture.jpg").content
    colors = cv2.imdecode(np.frombuffer(after, np.uint8), cv2.IMREAD_COLOR).astype(int)
    gray = cv2.imdecode(np.frombuffer(before, np.uint8), cv2.IMREAD_COLOR).astype(int)
    assert np.ptp(gray, axis=2).max() < 8
    assert (colors[20:44, 8:16, 2] > colors[20:44, 8:16, 0] + 40).all()
    assert (colors[20:44, 80:88, 0] > colors[20:44, 80:88, 2] + 40).all()
    flush(client, film)
    still = read_still(folder / "film-stills" / "0000005.png")
    luma = VideoReader(folder / "film.mkv").frames(first=5, last=6)
    weights = np.array([0.299, 0.587, 0.114])
    film_luma = next(iter(luma)).luma / 255
    assert np.abs(still.rgb @ weights - film_luma).max() < 0.02  # the film's own
    spec = job_spec(read_project(folder / "film.toml"), {}, {})
    assert [file.frame for file in spec.reference_files()] == [5]
    assert spec.settings.explicit() == SETTINGS
    assert client("GET", film).json["stills"] == [
        {"file": str(folder / "film-stills" / "0000005.png"), "frame": 5, "shot": 0}
    ]
    undone = paint(client, film, 5, base=1, remove=["right"])
    assert [one["id"] for one in undone["strokes"]] == ["left"]
    assert client("DELETE", f"{film}/stills/5").status == 200
    assert not (folder / "film-stills" / "0000005.png").exists()
    assert client("GET", film).json["stills"] == []


def test_two_pages_do_not_lose_each_others_strokes(client: Client, film: str) -> None:
    paint(client, film, 5, stroke("first", 12))
    one = paint(client, film, 5, stroke("mine", 30), base=1)
    other = paint(client, film, 5, stroke("yours", 84, BLUE), base=1)
    assert not one["merged"]
    assert other["merged"]
    assert [stroke["id"] for stroke in other["strokes"]] == ["first", "mine", "yours"]
    threads = [
        threading.Thread(target=paint, args=(client, film, 5, stroke(f"t{number}", 8 + number)), kwargs={"base": 3})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {one["id"] for one in client("GET", f"{film}/stills/5").json["strokes"]}
    assert names == {"first", "mine", "yours", *(f"t{number}" for number in range(8))}


def test_a_still_is_written_after_a_kill_in_between(client: Client, film: str, folder: Path) -> None:
    paint(client, film, 5, stroke("left", 12))
    flush(client, film)
    still = folder / "film-stills" / "0000005.png"
    first = still.read_bytes()
    record = folder / "film-studio" / "0000005.strokes.json"
    kept = json.loads(record.read_text())
    kept["strokes"].append(stroke("right", 84, BLUE))
    kept["revision"] += 1  # as it is between the answer to a stroke and the writing of its picture
    record.write_text(json.dumps(kept))
    with studio_here(folder) as again:
        again.open(folder / "film.mkv")
        again("GET", f"{film}/stills/9")
        flush(again, film)
    assert still.read_bytes() != first
    assert json.loads(record.read_text())["baked"] == kept["revision"]


def test_no_color_and_neutral(client: Client, film: str, folder: Path) -> None:
    paint(
        client,
        film,
        5,
        stroke("left", 12),
        stroke("hole", 84, None, "open", width=20),
        stroke("gray", 50, None, "neutral"),
    )
    flush(client, film)
    still = read_still(folder / "film-stills" / "0000005.png")
    assert not still.mask[20:44, 80:88].any()
    assert still.mask[:, :40].all()
    assert np.ptp(still.rgb[25:40, 49:51], axis=2).max() < 0.05


def test_a_still_of_another_program_lies_below_new_strokes(client: Client, film: str, folder: Path) -> None:
    truth = write_film(folder / "again.mkv", 6)[5]
    (folder / "film-stills").mkdir()
    write_still(folder / "film-stills" / "0000005.png", truth)
    record = client("GET", f"{film}/stills/5").json
    assert record["ground"] == "picture"
    assert record["strokes"] == []
    paint(client, film, 5, stroke("right", 84, "#28aa3c"), base=record["revision"])
    flush(client, film)
    still = read_still(folder / "film-stills" / "0000005.png").rgb
    assert np.abs(still[20:44, 8:20] - truth[20:44, 8:20] / 255).mean() < 0.06
    assert (still[20:44, 82:86, 1] > still[20:44, 82:86, 2]).all()
    changed = write_still(folder / "film-stills" / "0000005.png", np.ascontiguousarray(truth[..., ::-1]))
    assert client.desk
    client.desk.shelf(client.desk.project(film.rsplit("/", 1)[1])).forget()
    told = client("GET", f"{film}/stills/5").json
    assert "changed by another program" in told["note"]
    assert told["strokes"] == []
    assert changed.exists()


def test_a_finished_picture_is_laid_onto_its_frame(client: Client, film: str, folder: Path) -> None:
    truth = write_film(folder / "again.mkv", 8)
    encoded = cv2.imencode(".png", np.ascontiguousarray(truth[5][..., ::-1]))[1].tobytes()
    record = client("PUT", f"{film}/stills/5/picture", encoded)
    assert record.status == 200, record.content
    assert "laid onto the frame" in record.json["note"]
    flush(client, film)
    still = read_still(folder / "film-stills" / "0000005.png").rgb
    assert np.abs(still - truth[5] / 255).mean() < 0.06
    refused = client("PUT", f"{film}/stills/18/picture", encoded)
    assert refused.status == 422
    assert "does not show this frame" in refused.json["message"]
    assert client("PUT", f"{film}/stills/5/picture", b"no picture").status == 422


def test_key_frames_are_proposed_and_known_again(client: Client, film: str, folder: Path) -> None:
    assert client("GET", f"{film}/keyframes").json is None
    job = client("POST", f"{film}/keyframes").json
    assert client.wait_for(job["id"])["state"] == "finished"
    proposal = client("GET", f"{film}/keyframes").json
    assert {pick["shot"] for pick in proposal["picks"]} == {0, 1}
    shares = [pick["share_after"] for pick in proposal["picks"]]
    assert shares == sorted(shares)
    client("PUT", f"{film}/shots", {"starts": [0, 9, 14], "gray": []})
    assert client("GET", f"{film}/keyframes").json is None  # it was for other shots


def test_a_shot_is_tried_and_a_frame_corrected_from_it(client: Client, film: str) -> None:
    refused = client("POST", f"{film}/tries", {"frame": 5})
    assert refused.status == 400
    paint(client, film, 3, stroke("left", 12), stroke("right", 84, BLUE))
    job = client("POST", f"{film}/tries", {"frame": 3, "radius": 4}).json
    record = client.wait_for(job["id"])
    assert record["state"] == "finished", record["last"]
    confidence = record["last"]["summary"]["confidence"]
    assert sorted(map(int, confidence)) == list(range(8))
    for layer, start in (("color", b"\xff\xd8"), ("gray", b"\xff\xd8"), ("confidence", b"\x89PNG")):
        assert client("GET", f"/api/jobs/{job['id']}/frames/6.{layer}").content.startswith(start)
    assert client("GET", f"/api/jobs/{job['id']}/frames/12.color").status == 400
    assert client("GET", f"/api/jobs/{job['id']}/frames/6.source").status == 404
    corrected = client("PUT", f"{film}/stills/7/ground", {"ground": "film"}).json
    assert corrected["ground"] == "film"
    picture = cv2.imdecode(
        np.frombuffer(client("GET", f"{film}/stills/7/picture.jpg").content, np.uint8), cv2.IMREAD_COLOR
    )
    assert (picture[20:44, 8:14, 2].astype(int) > picture[20:44, 8:14, 0] + 20).all()
    assert (
        len(client("GET", film).json["stills"]) == 1
    )  # it is no still before something is painted on it, or it is kept
    client("PUT", f"{film}/stills/7/kept", {"kept": True})
    flush(client, film)
    assert len(client("GET", film).json["stills"]) == 2


def test_a_film_runs_and_its_report_is_shown_cut_off(client: Client, film: str, folder: Path) -> None:
    paint(client, film, 3, stroke("left", 12), stroke("right", 84, BLUE))
    estimate = client("POST", f"{film}/estimate").json
    assert estimate["frames"] == 24
    assert estimate["seconds"] > 0
    job = client("POST", f"{film}/runs", {}).json
    twice = client("POST", f"{film}/runs", {})
    record = client.wait_for(job["id"])
    assert twice.status == 400 or record["state"] == "finished"
    assert record["state"] == "finished", record["last"]
    assert record["segments"]
    assert (folder / "film-color.mkv").exists()
    report = client("GET", f"{film}/report")
    assert report.status == 200
    assert report.headers["content-security-policy"].startswith("sandbox")
    again = client("POST", f"{film}/runs", {}).json
    failed = client.wait_for(again["id"])
    assert failed["state"] == "failed"
    assert "exists already" in failed["last"]["message"]


def test_films_queue_and_leave_it(client: Client, film: str, folder: Path) -> None:
    write_film(folder / "second.mkv", 10)
    other = f"/api/films/{client.open(folder / 'second.mkv')['id']}"
    client("PUT", f"{other}/settings", SETTINGS)
    jobs = []
    for address in (film, other):
        paint(client, address, 3, stroke("left", 12), stroke("right", 84, BLUE))
        jobs.append(client("POST", f"{address}/runs", {}).json["id"])
    states = {job["id"]: job["state"] for job in client("GET", "/api/desk").json["jobs"]}
    if states[jobs[1]] == "waiting":
        assert client("DELETE", f"/api/jobs/{jobs[1]}").json["state"] == "canceled"
        jobs[1] = client("POST", f"{other}/runs", {}).json["id"]
    assert [client.wait_for(job)["state"] for job in jobs] == ["finished", "finished"]


def test_settings_are_checked_and_kept(client: Client, film: str, folder: Path) -> None:
    bad = client("PUT", f"{film}/settings", {"saturation": 9})
    assert bad.status == 400
    assert "saturation" in bad.json["message"]
    assert client("PUT", f"{film}/settings", {"weights": "/etc/passwd", "engine": "onnx"}).status == 422
    good = client("PUT", f"{film}/settings", {"saturation": 1.2, "codec": "h264", "crf": None})
    assert good.status == 200
    assert read_project(folder / "film.toml").settings.explicit() == {"saturation": 1.2}
    schema = client("GET", "/api/schema").json
    assert schema["properties"]["saturation"]["group"] == "Color"
    palettes = {"palettes": [{"name": "Coats", "colors": ["#102030"]}]}
    assert client("PUT", f"{film}/palettes", palettes).json == palettes["palettes"]
    assert client("PUT", f"{film}/palettes", {"palettes": [{"name": "x", "colors": ["red"]}]}).status == 400


def test_bad_films_and_projects_are_one_line(client: Client, folder: Path) -> None:
    (folder / "broken.mp4").write_bytes(b"no film")
    (folder / "odd.toml").write_text("film = 3")
    (folder / "other.toml").write_text('film = "film.mkv"')
    write_film(folder / "other.mkv", 2)
    for name, words in (
        ("broken.mp4", "broken.mp4"),
        ("odd.toml", "film"),
        ("missing.mkv", "no such file"),
        ("other.mkv", "another film"),
    ):
        answer = client("POST", "/api/films", {"path": str(folder / name)})
        assert answer.status == 422
        assert words in answer.json["message"]


def test_a_film_that_has_changed_is_analyzed_again(client: Client, film: str, folder: Path) -> None:
    write_film(folder / "film.mkv", 12)
    with studio_here(folder) as again:
        record = again.open(folder / "film.mkv")
        assert record["frames"] == 12
        assert "has changed" in record["remarks"][0]


def test_events_reach_a_page(client: Client, film: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    connection.request("GET", f"/{client.secret}/api/events")
    stream = connection.getresponse()
    messages = []

    def read() -> None:
        while not any(message.get("kind") == "strokes" for message in messages):
            line = stream.readline()
            if line.startswith(b"data: "):
                messages.append(json.loads(line[6:]))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    time.sleep(0.3)
    paint(client, film, 5, stroke("left", 12))
    reader.join(15)
    assert messages[0] == {"kind": "hello"}
    assert any(message["kind"] == "strokes" and message["revision"] == 1 for message in messages)
    connection.close()


def test_the_command_prints_its_address_first_keeps_its_secret_and_stops(folder: Path) -> None:
    state = folder / "state"
    first = StudioProcess("film.mkv", state=state, folder=folder)
    assert first.address.startswith("http://127.0.0.1:")
    assert first.client("GET", "/").status == 200
    assert first.client.raw("GET", "/").status == 404
    code, errors = first.stop()
    assert code == 0
    assert errors == "the studio is closed; films that ran go on from what is finished\n"
    second = StudioProcess("film.mkv", "--port", str(first.client.port), state=state, folder=folder)
    assert second.address == first.address  # an open page goes on
    second.kill()

"""Who may talk to the studio, and what it may touch."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.studio.roots import AllowedRoots
from kinemacolor.studio.security import PAGE_POLICY, kept_secret, local_hosts
from tests.studio.films import write_film
from tests.studio.running import SECRET, Client, studio_here


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    write_film(folder / "film.mkv")
    with studio_here(folder, most_upload=200_000) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/api/desk", "/page/studio.css", "/api/events", f"/{SECRET[:-1]}x/", f"/{SECRET}x/"]
)
def test_nothing_is_given_without_the_secret(client: Client, path: str) -> None:
    answer = client.raw("GET", path)
    assert answer.status == 404
    assert b"secret" in answer.content
    assert b"<html" not in answer.content


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_other_names_and_other_pages_are_refused(client: Client, headers: dict[str, str]) -> None:
    filled = {name: value.format(port=client.port) for name, value in headers.items()}
    answer = client("GET", "/api/desk", **filled)
    assert answer.status == 403
    assert answer.content.count(b"\n") == 1
    own = {"Origin": f"http://127.0.0.1:{client.port}", "Sec_Fetch_Site": "same-origin"}
    assert client("GET", "/api/desk", **own).status == 200


def test_the_page_loads_nothing_from_elsewhere_and_allows_no_other_page(client: Client) -> None:
    answer = client("GET", "/")
    assert answer.status == 200
    assert answer.headers["content-security-policy"] == PAGE_POLICY
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["referrer-policy"] == "no-referrer"
    files = sorted(
        path for path in (Path(__file__).parents[2] / "kinemacolor/studio/page").rglob("*") if path.is_file()
    )
    assert len(files) > 5
    for file in files:
        text = file.read_text("utf-8")
        for word in ("http://", "https://", "//cdn", "@import"):
            assert word not in text.replace("http://www.w3.org/2000/svg", ""), f"{file.name} names {word}"


def test_a_websocket_is_refused_too(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        lines = ["GET /api/events HTTP/1.1", f"Host: 127.0.0.1:{client.port}", "Upgrade: websocket"]
        lines += [
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "",
            "",
        ]
        connection.sendall("\r\n".join(lines).encode())
        assert b" 101 " not in connection.recv(200)


def test_what_lies_outside_of_the_roots_is_refused_after_links_are_resolved(
    client: Client, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.mkv"
    write_film(outside)
    (folder / "link.mkv").symlink_to(outside)
    (folder / "away").symlink_to(tmp_path)
    for path in (
        outside,
        folder / "link.mkv",
        folder / "away" / "secret.mkv",
        folder / ".." / "x.mkv",
        Path("/etc/passwd"),
    ):
        answer = client("POST", "/api/films", {"path": str(path)})
        assert answer.status == 422
        assert "lies outside" in answer.json["message"]
    for path in ("/", "/etc", str(folder / "away"), str(folder.parent)):
        assert client("GET", f"/api/browse?folder={path}").status == 422
    names = [entry["name"] for entry in client("GET", f"/api/browse?folder={folder}").json["entries"]]
    assert "film.mkv" in names
    assert not {"link.mkv", "away"} & set(names)
    assert client("GET", "/page/../../security.py").status == 404
    assert client("GET", "/page/%2e%2e/security.py").status == 404


def test_a_project_that_names_files_elsewhere_is_refused(client: Client, folder: Path, tmp_path: Path) -> None:
    project = folder / "odd.toml"
    for line in (
        f'film = "film.mkv"\noutput = "{tmp_path}/x.mkv"',
        f'film = "film.mkv"\n[[references]]\nfile = "{__file__}"',
    ):
        project.write_text(line)
        answer = client("POST", "/api/films", {"path": str(project)})
        assert answer.status == 422
        assert "lies outside" in answer.json["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/films", b"{", 400),
        ("POST", "/api/films", b"\xff\xfe", 400),
        ("POST", "/api/films", b"[" * 100_000, 400),
        ("POST", "/api/films", {"path": 3}, 400),
        ("POST", "/api/films", {"path": "x", "more": 1}, 400),
        ("POST", "/api/films", {"path": "a\0b"}, 422),
        ("GET", "/api/films/none", None, 400),
        ("GET", "/api/nothing", None, 404),
        ("DELETE", "/api/jobs/j999", None, 400),
        ("DELETE", "/api/desk", None, 405),
        ("PUT", "/api/uploads/film.exe", b"MZ", 422),
        ("PUT", "/api/uploads/film.mp4", b"this is no film", 422),
        ("PUT", "/api/uploads/..%2f..%2fx.mp4", b"this is no film", 404),
    ],
)
def test_malformed_requests_get_one_line(client: Client, method: str, path: str, body: object, status: int) -> None:
    answer = client(method, path, body)
    assert answer.status == status, answer.content
    message = answer.json["message"] if answer.content.startswith(b"{") else answer.content.decode()
    assert "Traceback" not in message
    assert "\n" not in message.strip()


def test_uploads_are_limited_and_checked_by_content(client: Client, folder: Path) -> None:
    refused = client("PUT", "/api/uploads/big.mp4", b"0" * 200_001)
    assert refused.status == 413
    content = (folder / "film.mkv").read_bytes()
    taken = client("PUT", "/api/uploads/my%20film.mkv", content)
    assert taken.status == 201
    kept = Path(taken.json["film"])
    assert kept.read_bytes() == content
    assert kept.parent == folder / "kinemacolor-films"
    again = client("PUT", "/api/uploads/my%20film.mkv", content)
    assert Path(again.json["film"]).name == "my film-2.mkv"
    assert sorted(path.suffix for path in kept.parent.iterdir() if path.name.startswith(".")) == []


def test_roots_resolve_themselves(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "name").symlink_to(tmp_path / "real")
    roots = AllowedRoots([tmp_path / "name", tmp_path / "missing"])
    assert roots.folders == ((tmp_path / "real").resolve(),)
    assert roots.check(tmp_path / "name" / "x") == (tmp_path / "real" / "x").resolve()
    with pytest.raises(InputError, match="--root"):
        roots.check(tmp_path)


def test_the_secret_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    secret = kept_secret(folder)
    assert len(secret) == 32
    assert stat.S_IMODE((folder / "studio-secret").stat().st_mode) == 0o600
    assert kept_secret(folder) == secret
    (folder / "studio-secret").chmod(0o644)  # others may have read it
    other = kept_secret(folder)
    assert other != secret
    (folder / "studio-secret").write_text("short")
    assert len(kept_secret(folder)) == 32


def test_names_of_this_machine() -> None:
    assert "localhost:8320" in local_hosts("127.0.0.1", 8320)
    assert "127.0.0.1" in local_hosts("127.0.0.1", 80)
    assert local_hosts("192.168.0.7", 8320) == {"192.168.0.7:8320"}

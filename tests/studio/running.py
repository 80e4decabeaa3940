"""A studio that runs, for tests: its own process, or a server in this one; and a client."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from kinemacolor.studio.app import studio_app
from kinemacolor.studio.desk import Desk
from kinemacolor.studio.roots import AllowedRoots
from kinemacolor.studio.security import Guard, local_hosts
from kinemacolor.studio.server import bind_socket

SECRET = "s" * 32


@dataclass
class Answer:
    """What a request got."""

    status: int
    content: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Client:
    """Talks to a studio.

    Attributes:
        port: of the server.
        secret: the first part of each path.
        desk: of a server in this process.
    """

    port: int
    secret: str = SECRET
    desk: Desk | None = None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.raw(method, f"/{self.secret}{path}", body, **headers)

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, content, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        answer = Answer(response.status, response.read(), {key.lower(): value for key, value in response.getheaders()})
        connection.close()
        return answer

    def wait_for(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """The record of a job once it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            record = next(job for job in self("GET", "/api/desk").json["jobs"] if job["id"] == job_id)
            if record["state"] in ("finished", "failed", "canceled"):
                return dict(record)
            time.sleep(0.05)
        raise AssertionError(f"{job_id} is not over after {seconds} s")

    def open(self, path: Path) -> dict[str, Any]:
        """Opens a film and waits for its analysis."""
        answer = self("POST", "/api/films", {"path": str(path)})
        assert answer.status == 200, answer.content
        record = answer.json
        for job in self("GET", "/api/desk").json["jobs"]:
            if job["project"] == record["id"] and job["kind"] == "analyze":
                assert self.wait_for(job["id"])["state"] == "finished"
        return dict(self("GET", f"/api/films/{record['id']}").json)


@contextmanager
def studio_here(*roots: Path, most_upload: int = 1 << 30) -> Iterator[Client]:
    """A studio in a thread of this process."""
    desk = Desk(AllowedRoots(roots))
    listener = bind_socket("127.0.0.1", 0)
    port = int(listener.getsockname()[1])
    app = Guard(studio_app(desk, most_upload=most_upload), SECRET, local_hosts("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Client(port, SECRET, desk)
    finally:
        server.should_exit = True
        desk.close()
        thread.join(10)
        listener.close()


class StudioProcess:
    """``kinemacolor studio`` in a process of its own.

    Args:
        arguments: of the command.
        state: folder that holds its secret.
        folder: in which it runs.
    """

    def __init__(self, *arguments: str, state: Path, folder: Path) -> None:
        self.environment = {**os.environ, "XDG_STATE_HOME": str(state), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "kinemacolor", "studio", *arguments, "--no-browser"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.address = self.process.stdout.readline().strip()
        parts = urlsplit(self.address)
        assert parts.port, self.process.communicate()[1]
        self.client = Client(parts.port, parts.path.strip("/"))

    def kill(self) -> None:
        """Ends it at once, as a power failure would."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """Interrupts it; exit code and standard error."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors

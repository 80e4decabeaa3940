"""The server of the studio: binds, prints its address, and runs until it is interrupted."""

from __future__ import annotations

import contextlib
import socket
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from kinemacolor.core.errors import UsageError
from kinemacolor.studio.app import studio_app
from kinemacolor.studio.desk import Desk, default_roots
from kinemacolor.studio.security import Guard, kept_secret, local_hosts, state_folder

DEFAULT_PORT = 8320
_TRIED_PORTS = 20


def bind_socket(host: str, port: int | None) -> socket.socket:
    """A socket that listens on a port; without one, on the usual port or the next that is free.

    Raises:
        UsageError: the port or the host cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + _TRIED_PORTS), 0]
    reason = ""
    for candidate in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
    raise UsageError("port", f"{host}:{ports[0]} cannot be used ({reason})", "give another port or host")


def serve(
    target: Path | None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    roots: Sequence[str] = (),
    most_upload: int = 8 << 30,
) -> None:
    """Runs the studio until it is interrupted. Its address is the first line that is printed.

    Args:
        target: a film or a project to open, or None.
        host, port: where it listens.
        browser: whether to open the page.
        roots: folders that it may use; by default the film's, the current one and the home folder.
        most_upload: bytes of a film that is dropped onto the page, at most.

    Raises:
        UsageError, InputError: it cannot start; one line.
    """
    desk = Desk(default_roots(target, roots))
    if target is not None:
        desk.first = desk.open(str(target)).id
    listener = bind_socket(host, port)
    bound = int(listener.getsockname()[1])
    secret = kept_secret(state_folder())
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{bound}/{secret}/"
    print(address, flush=True)
    hosts = local_hosts(host, bound) if host not in ("0.0.0.0", "::") else None
    app = Guard(studio_app(desk, most_upload=most_upload), secret, hosts)
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    if browser:
        threading.Thread(target=_open_browser, args=(address,), daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        desk.close()
        listener.close()


def _open_browser(address: str) -> None:
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)

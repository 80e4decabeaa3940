"""Who may talk to the server: the secret in the address, the Host and the Origin of each request.

The secret is the first part of every path, so that pictures, modules and event streams carry it without a cookie. A
page of another origin cannot read it nor guess it; were it to know an address, its Origin would give it away.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECRET_BYTES = 24
_SECRET = re.compile(r"[A-Za-z0-9_-]{32}")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: nothing from elsewhere."""
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
)
"""What a film's report may do, which has its script inside of it: it is cut off from the studio."""


def state_folder() -> Path:
    """Where the studio keeps what outlives it and belongs to no project."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "kinemacolor"


def kept_secret(folder: Path) -> str:
    """The secret of this user, the same after a restart so that an open page goes on; made where there is none.

    The file is readable for its owner alone. Where it cannot be kept, the secret lasts as long as the server.
    """
    path = folder / "studio-secret"
    with contextlib.suppress(OSError):
        secret = path.read_text("ascii", errors="replace").strip()
        if _SECRET.fullmatch(secret) and not path.stat().st_mode & 0o077:
            return secret
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
    return secret


def local_hosts(host: str, port: int) -> frozenset[str]:
    """Values of the header Host under which the server may be asked for."""
    names = {"127.0.0.1", "localhost", "[::1]"} if host in ("127.0.0.1", "localhost", "::1") else set()
    names.add(f"[{host}]" if ":" in host else host)
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))


class Guard:
    """Refuses requests and sockets without the secret, from other pages, and under other names of this machine.

    Args:
        app: what is guarded; it sees paths without the secret.
        secret: the first part of each path.
        hosts: values that the header Host may have; None where any is allowed.
    """

    def __init__(self, app: ASGIApp, secret: str, hosts: frozenset[str] | None) -> None:
        self._app, self._secret, self._hosts = app, secret.encode(), hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            status, line = refusal
            await PlainTextResponse(f"{line}\n", status, headers=_HEADERS)(scope, receive, send)
            return
        inner = {**scope, "root_path": f"/{self._secret.decode()}"}
        await self._app(inner, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and host not in self._hosts:
            return 403, "this address is not that of the studio; use the one that it printed"
        if origin is not None and origin != f"http://{host}":
            return 403, "requests of other pages are refused"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "requests of other pages are refused"
        parts = scope["path"].split("/", 2)
        if len(parts) < 3 or not hmac.compare_digest(parts[1].encode("utf-8", "surrogateescape"), self._secret):
            return 404, "not found; use the address that the studio printed, the secret in it included"
        return None


_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            present: list[Any] = list(message.get("headers", []))
            names = {name for name, _ in present}
            more = {**_HEADERS, "content-security-policy": PAGE_POLICY}
            present += [(name.encode(), value.encode()) for name, value in more.items() if name.encode() not in names]
            message = {**message, "headers": present}
        await send(message)

    return wrapped

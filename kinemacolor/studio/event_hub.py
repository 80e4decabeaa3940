"""What happens in the studio, handed from the threads that work to all pages that listen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

QUEUED = 500
"""Messages that wait for a slow page; one that falls behind further is told to read everything anew."""
KEEPALIVE_SECONDS = 10.0


class _Listener:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUED)

    def put(self, line: str) -> None:
        """In the loop's thread."""
        try:
            self.queue.put_nowait(line)
        except asyncio.QueueFull:
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait('{"kind": "behind"}')


class EventHub:
    """Messages as JSON, to every page that is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[_Listener] = set()

    def publish(self, **message: Any) -> None:
        """Sends a message; may be called from any thread."""
        line = json.dumps(message)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                listener.loop.call_soon_threadsafe(listener.put, line)

    async def stream(self) -> AsyncIterator[bytes]:
        """Messages from now on, as server-sent events."""
        listener = _Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield b'retry: 1000\ndata: {"kind": "hello"}\n\n'
            while True:
                try:
                    line = await asyncio.wait_for(listener.queue.get(), KEEPALIVE_SECONDS)
                    yield f"data: {line}\n\n".encode()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            with self._lock:
                self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        """Pages that listen."""
        with self._lock:
            return len(self._listeners)

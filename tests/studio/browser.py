"""A browser for tests of the page: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@lru_cache(maxsize=1)
def browser_path() -> str:
    """Where Chromium is; it is installed where the system's package manager can do so. Skips the test elsewhere."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q chromium"
        subprocess.run(install, shell=True, check=False, capture_output=True, timeout=280)
        found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium, and none can be installed by this user")
    return found


@contextmanager
def open_page(address: str, **options: Any) -> Iterator[Any]:
    """A page at an address; what it logs as an error, and requests to elsewhere, fail the test."""
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    allowed = address.split("/", 3)[:3]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 720}, **options)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.extend(_elsewhere(request.url, "/".join(allowed))))
        page.set_default_timeout(150_000)
        page.goto(address)
        yield page
        browser.close()
    assert not faults, faults


def _elsewhere(url: str, own: str) -> list[str]:
    return [] if url.startswith((own, "data:", "blob:")) else [f"a request to {url}"]


def axe_violations(page: Any) -> list[str]:
    """What axe-core finds serious or critical."""
    import axe_playwright_python

    source = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
    page.evaluate(f"() => {{ {source}\nwindow.axe = window.axe || module.exports; }}")
    found = page.evaluate("() => window.axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['impact']}: {one['id']}: {one['nodes'][0]['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]

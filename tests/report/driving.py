"""A page in a real browser: how tests open it, read it and look at it."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

HOSTILE = [
    "</script><script>window.pwned = 1</script>",
    "\"'><img src=x onerror='window.pwned = 2'>",
    "{{ 7 * 7 }} 🦊 <!-- \u2028 日本",
]

LOOKS = [{}, {"dark": True}, {"phone": True}, {"dark": True, "phone": True}]


RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    "rules": {"skip-link": {"enabled": 0}},  # takes "#node-3", the address of a card, for a place on the page
}

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def visit(browser, page):
    """Open a page, and see in the end that it ran nothing that it should not, and complained of nothing."""
    browser.get("about:blank")
    browser.get(page.as_uri())
    yield browser
    assert browser.execute_script("return window.pwned") is None
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def find(browser, selector):
    return browser.find_elements("css selector", selector)


def wait(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not come to what was expected"
        time.sleep(0.02)


def card_shown(browser):
    return browser.execute_script(
        "return Number(document.querySelector('dialog[open] [data-card]')?.dataset.card ?? NaN)"
    )


def barriers(browser):
    """What axe finds on the page as it is now: the rules that are broken, and where."""
    axe = pytest.importorskip("axe_core_python.selenium").Axe()
    found = axe.run(browser, options=RULES)["violations"]
    return [(rule["id"], [part["html"] for part in rule["nodes"]]) for rule in found]


@contextmanager
def seen_as(browser, *, dark=False, phone=False, medium=""):
    """The page as others see it: by night, on a phone, on paper."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": [scheme]})
    if phone:
        size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})

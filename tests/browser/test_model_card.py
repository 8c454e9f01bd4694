"""The model card in a real browser: it can be read by everybody, on a phone too, and asks for nothing else."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from flows._card import write_card
from lockstep.evaluation.card.page import render
from tests.lockstep.evaluation.card.document import document

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium is not installed: apt-get install chromium chromium-driver"
)

#: Contrast of each text with what is behind it (WCAG 2.2, relative luminance).
CONTRASTS = """
const rgb = c => c.match(/[\\d.]+/g).map(Number);
const luminance = c => rgb(c).slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if ((rgb(c)[3] ?? 1) > 0) return c; } return 'rgb(255, 255, 255)'; };
const found = [];
for (const e of document.body.querySelectorAll('*')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
  const style = getComputedStyle(e), svg = e.namespaceURI.includes('svg');
  const [a, b] = [luminance(svg ? style.fill : style.color), luminance(svg ? 'rgb(255,255,255)' : behind(e))];
  found.push([e.textContent.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
}
return found;
"""
#: What a screen reader needs, as sentences about what is wrong.
FAULTS = """
const faults = [], all = s => [...document.querySelectorAll(s)];
if (!document.documentElement.lang) faults.push('the page has no language');
if (!document.title) faults.push('the page has no title');
for (const name of ['header', 'nav', 'main', 'footer', 'h1'])
  if (all(name).length !== 1) faults.push(`${all(name).length} elements ${name}`);
let level = 0;
for (const heading of all('h1, h2, h3, h4')) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) faults.push(`${heading.textContent} skips a level`);
  level = next;
}
const ids = all('[id]').map(e => e.id);
if (new Set(ids).size !== ids.length) faults.push('two elements have one id');
for (const e of all('svg'))
  if (e.getAttribute('role') !== 'img' || !e.getAttribute('aria-label')) faults.push('a picture has no name');
for (const e of all('th')) if (!e.scope) faults.push(`${e.textContent} has no scope`);
for (const e of all('table')) if (!e.caption?.textContent) faults.push('a table has no caption');
for (const e of all('[aria-labelledby]'))
  if (!document.getElementById(e.getAttribute('aria-labelledby'))) faults.push('a label is missing');
for (const e of all('a'))
  if (!document.querySelector(e.getAttribute('href')) || !e.textContent) faults.push(`${e.href} leads nowhere`);
const named = all('[role=region]').map(e => e.getAttribute('aria-label'));
for (const [i, name] of named.entries()) if (named.indexOf(name) !== i) faults.push(`two regions ${name}`);
for (const e of all('.wide'))
  if (e.scrollWidth > e.clientWidth && e.tabIndex !== 0) faults.push('a table scrolls for the mouse alone');
return faults;
"""
#: What axe-core finds against WCAG 2.1, levels A and AA, and against its own best practices.
VIOLATIONS = """
const done = arguments[arguments.length - 1];
const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
axe.run(document, {runOnly, resultTypes: ['violations']}).then(found => done({
  passed: found.passes.length,
  violations: found.violations.map(v => `${v.id}: ${v.help}, as in ${v.nodes[0].html.slice(0, 200)}`),
}), error => done({passed: 0, violations: [String(error)]}));
"""
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
#: How a page may be looked at: commands to the browser.
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "desktop": ("Emulation.clearDeviceMetricsOverride", {}),
    "phone": ("Emulation.setDeviceMetricsOverride", PHONE),
    "print": ("Emulation.setEmulatedMedia", {"media": "print"}),
    "dark": (
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    ),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--window-size=1000,900",
    ):
        options.add_argument(flag)
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(300)
    yield driver
    driver.quit()


@pytest.fixture
def card(browser: webdriver.Chrome, tmp_path: Path) -> webdriver.Chrome:
    page = tmp_path / "card.html"
    page.write_bytes(render(document()))
    browser.get(page.as_uri())
    return browser


@contextmanager
def seen(browser: webdriver.Chrome, look: str) -> Iterator[None]:
    """Look at the page in one of `LOOKS`."""
    browser.execute_cdp_cmd(*LOOKS[look])
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def violations(browser: webdriver.Chrome, look: str) -> list[str]:
    with seen(browser, look):
        browser.execute_script(resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
        found = browser.execute_async_script(VIOLATIONS)
    assert found["passed"] > 10
    return [f"{look}: {violation}" for violation in found["violations"]]


def test_axe_finds_nothing_against_it(card: webdriver.Chrome) -> None:
    assert violations(card, "desktop") == []
    card.execute_script("document.querySelector('svg').removeAttribute('aria-label')")
    assert [found.split(":")[1].strip() for found in violations(card, "desktop")] == ["svg-img-alt"]


@pytest.mark.slow
def test_axe_finds_nothing_against_the_pages_of_a_run(
    browser: webdriver.Chrome, small_project: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    for page in (write_card(project), project / "reports/validation.html"):
        browser.get(page.as_uri())
        assert [violation for look in LOOKS for violation in violations(browser, look)] == []


def test_everybody_can_read_it(card: webdriver.Chrome) -> None:
    assert card.execute_script(FAULTS) == []
    contrasts = card.execute_script(CONTRASTS)
    assert len(contrasts) > 100
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    assert card.get_log("browser") == []


def test_it_asks_for_nothing_else(card: webdriver.Chrome) -> None:
    assert card.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_it_fits_a_phone(card: webdriver.Chrome) -> None:
    with seen(card, "phone"):
        assert card.execute_script("return document.documentElement.scrollWidth") <= 360
        assert card.execute_script("return getComputedStyle(document.body).fontSize") == "16px"


def test_it_prints(card: webdriver.Chrome) -> None:
    printed = card.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
    with seen(card, "print"):
        hidden = card.execute_script("return getComputedStyle(document.querySelector('nav')).display")
        cut = card.execute_script(
            "return [...document.querySelectorAll('.wide')]"
            ".filter(e => getComputedStyle(e).overflowX !== 'visible').length"
        )
    assert (hidden, cut) == ("none", 0)


def test_a_folded_table_is_there_for_everybody_and_in_print(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    long = document()
    long["reports"]["long"] = {f"row {i}": {"figure": i} for i in range(40)}
    page = tmp_path / "card.html"
    page.write_bytes(render(long))
    browser.get(page.as_uri())
    shown = "return document.querySelector('details td').checkVisibility({contentVisibilityAuto: true})"
    assert not browser.execute_script(shown)
    assert violations(browser, "desktop") == []
    with seen(browser, "print"):
        # The browser says so with its next frame.
        WebDriverWait(browser, 10).until(lambda _: browser.execute_script(shown))
    browser.find_element("tag name", "summary").click()
    assert browser.execute_script(shown)

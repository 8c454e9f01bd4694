"""The model card in a real browser: it can be read by everybody, on a phone too, and asks for nothing else."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    page = tmp_path_factory.mktemp("card") / "card.html"
    page.write_bytes(render(document()))
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
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def test_everybody_can_read_it(browser: webdriver.Chrome) -> None:
    assert browser.execute_script(FAULTS) == []
    contrasts = browser.execute_script(CONTRASTS)
    assert len(contrasts) > 100
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    assert browser.get_log("browser") == []


def test_it_asks_for_nothing_else(browser: webdriver.Chrome) -> None:
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_it_fits_a_phone(browser: webdriver.Chrome) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        assert browser.execute_script("return getComputedStyle(document.body).fontSize") == "16px"
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_prints(browser: webdriver.Chrome) -> None:
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        hidden = browser.execute_script("return getComputedStyle(document.querySelector('nav')).display")
        cut = browser.execute_script(
            "return [...document.querySelectorAll('.wide')]"
            ".filter(e => getComputedStyle(e).overflowX !== 'visible').length"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert (hidden, cut) == ("none", 0)

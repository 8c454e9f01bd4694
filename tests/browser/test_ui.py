"""A person's way through Prefect's UI in a real browser: from the deployment's form to what a run shows.

With ``LOCKSTEP_SCREENSHOTS=1`` (`make screenshots`) it goes the same way on the whole Census table and writes
docs/screenshots/.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest
import yaml
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.conftest import ROOT, copy_project, set_up_keys, shrink
from tests.flows.conftest import LOCKSTEP, free_port, wait_for

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SCREENSHOTS = ROOT / "docs" / "screenshots" if os.environ.get("LOCKSTEP_SCREENSHOTS") else None
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en",
    "--window-size=1180,1000",
)  # fmt: skip
#: Keys of what an experiment shows, and some of the words in it.
ARTIFACTS = {
    "validation": ("expect_column_values_to_not_be_null", "0 failed."),
    "balance": ("Classes before and after", "made by the sampler"),
    "bias": ("Cramér's V", "country_of_birth"),
    "groups": ("demographic parity difference", "Female"),
    "metrics": ("Verdict: ", "average_precision", "equalized_odds_difference:sex"),
    "experiment": ("Experiment shorter.", "average_precision"),
    "roc": ("ROC curve on the test rows.",),
    "pr": ("Precision-recall curve on the test rows.",),
}
#: Until a run ends, on a busy machine.
SECONDS = 500
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium is not installed: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed project that was never run, whose training takes long enough to be cancelled."""
    root = copy_project(tmp_path_factory.mktemp("browser") / "project")
    if not SCREENSHOTS:
        shrink(root)
        params = yaml.safe_load((root / "params.yaml").read_text())
        params["train"].update(epochs=1000, patience=1000)
        (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    set_up_keys(root)
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "Start"], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def api(
    project: Path, tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]
) -> Iterator[httpx.Client]:
    """The API of a `lockstep up` of the project."""
    log, port = tmp_path_factory.mktemp("log") / "up.log", free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(prefect_home(log.parent)), "PYTHONPATH": str(project)}
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*LOCKSTEP, "up", "--port", str(port)],
            cwd=project,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(lambda: up.poll() is not None or "Ctrl-C ends both." in log.read_text(), seconds=180)
        assert up.poll() is None, log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/", timeout=30) as client:
            yield client
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=60) == 0, log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    yield driver
    driver.quit()


class Page:
    """What a person does in the UI. It opens where the server sends who asks for nothing else."""

    def __init__(self, browser: webdriver.Chrome, api: httpx.Client) -> None:
        self.browser = browser
        self.api = api
        browser.get(str(api.base_url).removesuffix("/api/"))
        wait_for(lambda: self.find("//a[contains(@href, '/deployments')]"))
        self.root = browser.current_url.split("/dashboard")[0]

    def find(self, path: str) -> list[WebElement]:
        return self.browser.find_elements(By.XPATH, path)

    def click(self, path: str) -> None:
        def clicked() -> bool:
            try:
                [*_, element] = self.find(path)
                element.click()
            except (ValueError, StaleElementReferenceException):
                return False
            return True

        try:
            wait_for(clicked, seconds=30)
        except AssertionError:
            raise AssertionError(f"no {path} in {self.text()}") from None

    def text(self) -> str:
        return str(self.browser.execute_script("return document.body.innerText"))

    def shows(self, *texts: str, seconds: float = 30) -> None:
        try:
            wait_for(lambda: all(text in self.text() for text in texts), seconds)
        except AssertionError:
            raise AssertionError(f"no {texts} in {self.text()}") from None

    def waits(self, run: str) -> None:
        """Wait until a run has ended, away from its page, whose moving parts would take a core of the run's."""
        self.browser.get("about:blank")
        wait_for(lambda: self.api.get(f"flow_runs/{run}").json()["state"]["type"] in ENDED, SECONDS)
        self.open(run)

    def ends(self, state: str, seconds: float = 60) -> None:
        """Wait until the run whose page is open is in a state."""
        try:
            wait_for(lambda: self.find(f"//*[text()='{state}']"), seconds)
        except AssertionError:
            raise AssertionError(f"not {state}: {self.text()}") from None

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            time.sleep(4)  # for what moves to its place
            self.browser.save_screenshot(str(SCREENSHOTS / f"{name}.png"))

    def menu(self, word: str) -> None:
        """Choose an entry of the run's menu, and confirm it."""
        self.click("(//button[.//span[text()='Open menu']])[1]")
        self.click(f"//*[@role='menuitem'][normalize-space()='{word}']")
        self.click("(//*[@role='dialog' or @role='alertdialog']//button[text()])[last()]")

    def submit(
        self, *, overrides: Sequence[str] = (), stages: Sequence[str] = (), name: str = "", picture: str = ""
    ) -> str:
        """Fill in the deployment's form and send it; the run's page is open then. Return the run's id."""
        [deployment] = self.api.post("deployments/filter", json={}).json()
        self.browser.get(f"{self.root}/deployments/deployment/{deployment['id']}")
        self.click("//button[normalize-space()='Run']")
        self.click("//*[@role='menuitem'][normalize-space()='Custom run']")
        self.shows("overrides (Optional)", "allow_missing (Optional)", "Submit")
        for label, items in (("stages", stages), ("overrides", overrides)):
            for number, item in enumerate(items, 1):
                after = f"//*[text()='{label} (Optional)']/following::"
                self.click(f"({after}button[normalize-space()='Add item'])[1]")
                wait_for(lambda path=f"({after}textarea)[{number}]": self.find(path))
                self.find(f"({after}textarea)[{number}]")[0].send_keys(item)
        if name:
            self.find("(//*[text()='name (Optional)']/following::textarea)[1]")[0].send_keys(name)
        if picture:
            self.picture(picture)
        before = self.runs()
        # A field that loses the focus may move the button away from under the click.
        self.browser.execute_script("document.activeElement.blur()")
        button = "//button[normalize-space()='Submit']"
        self.click(button)
        for _ in range(6):
            try:
                [run] = wait_for(lambda: self.runs() - before, seconds=20)
                break
            except AssertionError:
                # The form is still there: it validated the field that lost the focus, and the click was lost.
                if self.find(button):
                    self.click(button)
        else:
            raise AssertionError(f"nothing was submitted: {self.text()}")
        self.open(run)
        return run

    def runs(self) -> set[str]:
        """Flow runs that a person asked for."""
        found = self.api.post("flow_runs/filter", json={"sort": "EXPECTED_START_TIME_DESC"}).json()
        return {run["id"] for run in found if not run["auto_scheduled"]}

    def open(self, run: str, tab: str = "Logs") -> None:
        self.browser.get(f"{self.root}/runs/flow-run/{run}")
        self.click(f"//button[@role='tab'][normalize-space()='{tab}']")

    def task_runs(self, run: str) -> dict[str, tuple[str, str]]:
        """Name and message of the state of each task run of a flow run."""
        found = self.api.post("task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}}).json()
        # The events of a new one reach the database one by one.
        states = {task["name"]: task["state"] for task in found if task["state"]}
        return {name: (state["name"], state["message"]) for name, state in states.items()}

    def message(self, run: str) -> str:
        return str(self.api.get(f"flow_runs/{run}").json()["state"]["message"])


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome, api: httpx.Client) -> Page:
    return Page(browser, api)


@pytest.fixture(scope="module")
def finished(page: Page, project: Path) -> str:
    """The run of an experiment that was started in the form; its page is open."""
    run = page.submit(overrides=["train.epochs=4"], name="shorter", picture="form")
    page.waits(run)
    page.ends("Completed")
    page.open(run, "Artifacts")
    page.picture("run")
    return run


@pytest.fixture(scope="module")
def links(page: Page, finished: str) -> dict[str, str]:
    """Where the artifacts of the finished run are, by their keys."""
    page.open(finished, "Artifacts")
    path = "//a[contains(@href, '/artifacts/')]"
    wait_for(lambda: len(page.find(path)) >= len(ARTIFACTS))
    # A card shows kind, key, date and description.
    return {link.text.split("\n")[1]: str(link.get_attribute("href")) for link in page.find(path)}


@pytest.fixture(scope="module")
def cancelled(page: Page, finished: str) -> str:
    """A run of the workspace that was cancelled in the menu while it trained; its page is open."""
    run = page.submit()
    page.browser.get("about:blank")
    wait_for(lambda: page.task_runs(run).get("train", ())[:1] == ("Running",), SECONDS)
    page.open(run)
    page.menu("Cancel")
    page.ends("Cancelled")
    return run


def files(project: Path) -> list[str]:
    return sorted(
        str(path.relative_to(project))
        for path in project.rglob("*")
        if not {".git", ".dvc", ".lockstep", "__pycache__"} & set(path.relative_to(project).parts)
    )


def test_a_bad_override_fails_before_any_stage(page: Page) -> None:
    run = page.submit(overrides=["train.epohcs=4"])
    page.ends("Failed")
    # The UI does not look again for what a run logged at its end.
    page.open(run)
    page.shows("train.epohcs is not a parameter of this project. Did you mean train.epochs?")
    assert page.task_runs(run) == {}


@pytest.mark.slow
def test_an_override_makes_an_experiment_and_leaves_the_workspace(
    project: Path, page: Page, request: pytest.FixtureRequest
) -> None:
    before = files(project)
    run = request.getfixturevalue("finished")
    assert page.message(run).startswith("Experiment shorter: 9 of 9 stages ran.")
    assert files(project) == before
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, check=True)
    assert status.stdout == b""
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "show", "--json"], cwd=project, capture_output=True, check=True
    )
    [experiment] = [row for rev in json.loads(shown.stdout) for row in rev["experiments"] or []]
    assert experiment["name"] == "shorter"
    data = experiment["revs"][0]["data"]
    assert data["params"]["params.yaml"]["data"]["train"]["epochs"] == 4
    assert data["metrics"]["reports/metrics.json"]["data"]["n_test"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("key", "texts"), ARTIFACTS.items())
def test_an_artifact_is_shown(page: Page, links: dict[str, str], key: str, texts: tuple[str, ...]) -> None:
    page.browser.get(links[key])
    page.shows(*texts)
    if key in ("roc", "pr"):
        # In one step, for the page may be drawn anew in between.
        widths = "return [...document.images].filter(i => i.src.startsWith('data:image/svg')).map(i => i.naturalWidth)"
        wait_for(lambda: [width > 300 for width in page.browser.execute_script(widths)] == [True])
    if key in ("metrics", "roc"):
        page.picture(key)


@pytest.mark.slow
def test_cancelling_stops_the_stage(page: Page, cancelled: str) -> None:
    # Prefect says another thing of the stages of a run that it had to kill.
    wait_for(lambda: page.task_runs(cancelled)["train"] == ("Cancelled", "It was stopped."))


@pytest.mark.slow
def test_another_run_finds_cached_stages(page: Page, cancelled: str) -> None:
    run = page.submit(stages=["resample"])
    # It waits for the slot of the run that was cancelled.
    page.waits(run)
    page.ends("Completed")
    page.click("//button[@role='tab'][normalize-space()='Task Runs']")
    page.shows("Cached", "resample")
    assert page.message(run) == "0 of 6 stages ran."
    assert set(page.task_runs(run).values()) == {("Cached", "unchanged")}


@pytest.mark.slow
def test_a_retry_goes_on_where_the_run_was_stopped(project: Path, page: Page, cancelled: str) -> None:
    # As in the experiment, whose outputs DVC's run cache has.
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["epochs"] = 4
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    page.open(cancelled)
    page.menu("Retry")
    wait_for(lambda: page.api.get(f"flow_runs/{cancelled}").json()["state"]["type"] not in ENDED)
    page.waits(cancelled)
    page.ends("Completed")
    states = {name for name, _ in page.task_runs(cancelled).values()}
    assert states == {"Cached", "Cancelled", "Completed"}

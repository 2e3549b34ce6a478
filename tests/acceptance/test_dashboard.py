"""The dashboard in a real browser: a person submits, watches, pauses, sends again, looks at images and costs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect, sync_playwright

from tests.acceptance.mill import Mill
from tests.acceptance.processes import Process
from tests.acceptance.waiting import wait_until
from tests.services.find import find_chromium
from worker.simulator.running import Simulator

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 30_000
CANARY = (
    "\"'><img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script><svg onload='window.pwned=1'>{{7*7}}"
)
ROWS = [
    {"custom_id": f"fox-{row:02}", "model": "gpt-image-1", "quality": "low", "prompt": f"a fox, number {row}"}
    for row in range(1, 22)
] + [
    {"custom_id": f"odd-{row}", "model": "gpt-image-1", "quality": "low", "prompt": f"odd {row} [[sim: 400 x1]]"}
    for row in range(1, 4)
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find_chromium()), args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Desk:
    """A person at a browser, before a server."""

    mill: Mill
    server: Process
    url: str
    context: BrowserContext
    page: Page
    wrong: list[str] = field(default_factory=list)
    """What browsers say where a policy was broken, a script failed, or a dialog opened."""

    def goto(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            self.wrong.append(message.text)


@pytest.fixture
def desk(mill: Mill, simulator: Simulator, chromium: Browser) -> Iterator[Desk]:
    simulator.configure(latency_s=0.3)
    server, url = serve(mill, 0)
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    found = Desk(mill, server, url, context, page)
    page.on("console", found.hear)
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    page.on("dialog", lambda dialog: (found.wrong.append(dialog.message), dialog.dismiss()))
    yield found
    context.close()
    assert found.wrong == []


def serve(mill: Mill, port: int) -> tuple[Process, str]:
    """`imagemill serve`, answering; where."""
    server = mill.start("serve", "--port", str(port))
    wait_until(lambda: "imagemill serves " in server.said() or not server.running, 60, server.tail)
    assert server.running, server.tail()
    return server, server.said().partition("imagemill serves ")[2].split()[0]


def test_a_person_submits_watches_pauses_sends_again_and_counts_the_cost(desk: Desk) -> None:
    page, mill = desk.goto("/"), desk.mill
    expect(page.get_by_role("heading", name="No batch yet")).to_be_visible()
    page.get_by_role("link", name="Submit your first manifest").click()
    page.get_by_label("Manifest").set_input_files(mill.write(ROWS, "foxes.jsonl"))
    page.get_by_label("Budget, USD").fill("5")
    page.get_by_role("button", name="Check and price it").click()
    assert not any(mill.run("status", "--json").json()["jobs"].values())  # priced, not recorded
    page.get_by_role("button", name="Submit 24 jobs").click()
    expect(page.get_by_role("heading", name="foxes", exact=True)).to_be_visible()
    batch_id = page.url.rpartition("/")[2]

    working = mill.start("run", batch_id, "--progress", "none", in_flight=2)
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "live")
    expect(page.locator(".legend")).to_contain_text("succeeded")  # without a reload
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".toolbar .state")).to_have_text("paused")
    working.wait(60)
    page.get_by_role("button", name="Resume").click()
    mill.start("run", batch_id, "--progress", "none", in_flight=8).wait(60)
    expect(page.locator(".toolbar .state")).to_have_text("done")
    expect(page.locator(".legend")).to_contain_text("3 failed")

    page.get_by_role("button", name="Retry 3…").click()
    expect(page.get_by_role("heading", name="Retry 3 jobs, at most $")).to_be_visible()
    page.get_by_role("button", name="Retry 3 jobs").click()
    expect(page.get_by_text("3 jobs queued again")).to_be_visible()
    mill.start("run", batch_id, "--progress", "none", in_flight=8).wait(60)
    expect(page.locator(".legend")).to_contain_text("24 succeeded")

    told = mill.run("status", batch_id, "--json").json()
    shown = [int(one.get_attribute("value") or "") for one in page.locator(".figures data").all()]
    assert shown == [told[f"{name}_nanodollars"] for name in ("confirmed", "possible", "reserved")]

    page.locator(".strip .thumb").first.click()
    picture = page.locator("figure img")
    expect(picture).to_be_visible()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
    page.get_by_role("link", name="charges").click()
    expect(page.get_by_role("cell", name="image out")).to_be_visible()
    page.get_by_role("link", name="Costs", exact=True).click()
    expect(page.locator(".chart")).to_be_visible()
    report = mill.run("report", "--by", "day", "--json").json()
    expect(page.locator("tfoot")).to_contain_text(f"${report['confirmed_dollars']}")
    mill.check()


def test_no_text_of_a_stranger_becomes_a_script_on_any_page(desk: Desk) -> None:
    mill = desk.mill
    rows: list[dict[str, Any]] = [
        {
            "custom_id": f"{CANARY}{fault}",
            "model": "gpt-image-1",
            "prompt": f"{CANARY} {fault}",
            "tags": {"b": CANARY},
        }
        for fault in ("", "[[sim: 400]]", "[[sim: refuse]]", "[[sim: close]]")
    ]
    batch_id = mill.submit(rows, "--name", CANARY, "--tag", f"season={CANARY}")
    mill.run("run", batch_id, "--progress", "none", expect=None)
    mill.run("pause", batch_id, "--reason", CANARY, expect=None)
    paths = [f"/batches/{batch_id}/jobs/{row}" for row in range(1, 5)]
    here = f"/batches/{batch_id}"
    paths += ["/", here, f"{here}/jobs", f"{here}/images", "/doubts", "/workers", "/acts", "/costs?by=tag:season"]
    for path in paths:
        page = desk.goto(path)
        expect(page.locator("#main")).to_be_visible()
        assert page.evaluate("window.pwned") is None, path
        assert page.locator("main script, main img[src=x], main svg[onload]").count() == 0, path
    desk.goto(here).get_by_role("button", name="Retry 1…").first.click()
    expect(desk.page.get_by_role("heading", name="Retry 1 job")).to_be_visible()
    desk.goto(f"/batches/{CANARY.replace('/', '')}")
    assert desk.page.evaluate("window.pwned") is None


def test_figures_say_since_when_they_are_stale_and_come_alive_after_a_restart(desk: Desk) -> None:
    batch_id = desk.mill.submit(ROWS[:1])
    page = desk.goto(f"/batches/{batch_id}")
    badge = page.locator("[data-live]")
    expect(badge).to_have_attribute("data-live", "live")
    desk.server.crash()
    expect(badge).to_contain_text("stale since")
    serve(desk.mill, int(desk.url.rpartition(":")[2]))
    expect(badge).to_have_attribute("data-live", "live")
    desk.mill.run("pause", batch_id)
    expect(page.locator(".toolbar .state")).to_have_text("paused")


@pytest.mark.parametrize("script", ["htmx.min.js", "hx-sse.min.js", "dashboard.js"])
def test_figures_come_alive_however_late_a_script_comes(desk: Desk, script: str) -> None:
    def late(route: Route) -> None:
        desk.page.wait_for_timeout(1_000)
        route.continue_()

    desk.page.route(f"**/{script}*", late)
    page = desk.goto("/")
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "live", timeout=10_000)


def test_everything_is_there_without_scripts(desk: Desk, chromium: Browser) -> None:
    batch_id = desk.mill.submit(ROWS[:2])
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{desk.url}/batches/{batch_id}")
    expect(page.get_by_role("link", name="reload")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".toolbar .state")).to_have_text("paused")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_telephone(desk: Desk, chromium: Browser, scheme: Any) -> None:
    mill = desk.mill
    batch_id = mill.submit([ROWS[0], ROWS[-1], {**ROWS[1], "prompt": "a fox [[sim: close]]"}])
    mill.run("run", batch_id, "--progress", "none", expect=None)
    context = chromium.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    here = f"/batches/{batch_id}"
    for path in ("/", here, f"{here}/jobs", f"{here}/jobs/1", f"{here}/images", "/costs", "/doubts", "/submit"):
        page.goto(desk.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()


def test_the_keyboard_reaches_the_content_and_shows_where_it_is(desk: Desk) -> None:
    page = desk.goto("/")
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "live")  # its link to reload is gone
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    first = page.get_by_role("link", name="Submit your first manifest")
    expect(first).to_be_focused()
    assert first.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"

"""The page that a scheduler serves itself, in a browser: panes come and go, stay where they were put, and the end of the scheduler is said."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect

from browser.lab import SCREENSHOTS, Chromium
from jupyterfut import Client, LocalCluster


def double(x: int) -> int:
    return 2 * x


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, name="study") as cluster:
        yield cluster


@pytest.fixture
def page(chromium: Chromium, cluster: LocalCluster) -> Iterator[Page]:
    page = chromium.page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(cluster.dashboard_link)
    page.locator(".jf-dash-tile").first.wait_for()
    yield page
    page.context.close()
    assert not errors


def layout(page: Page) -> str:
    return unquote(page.url.partition("#")[2])


def test_the_page_shows_the_cluster_and_keeps_no_token(page: Page, cluster: LocalCluster) -> None:
    assert "token" not in page.url
    expect(page.locator("h1")).to_have_text("study")
    expect(page.locator(".jf-dash-facts")).to_contain_text("2 workers")
    with Client(cluster, set_as_default=False) as client:
        client.gather(client.map(double, range(500)))
        expect(page.locator(".jf-dash-facts")).to_contain_text("500 done")
    assert page.title() == "study – jupyterfut"


def test_panes_come_and_go_and_are_there_after_a_reload(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("flame")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Profile")).to_be_visible()
    for name in ("Workers", "Task stream"):
        tile = page.get_by_role("region", name=name, exact=True)
        if tile.count():
            tile.get_by_role("button", name=f"Close {name}").click()
            expect(tile).to_have_count(0)
    page.get_by_role("button", name="Events", exact=True).click()
    expect(page.get_by_role("button", name="Events", exact=True)).to_have_attribute("aria-pressed", "true")
    before = layout(page)
    assert "profile" in before
    assert "events" in before
    assert "workers" not in before
    page.reload()
    page.locator(".jf-dash-tile").first.wait_for()
    assert layout(page) == before
    expect(page.get_by_role("region", name="Profile")).to_be_visible()


def test_a_link_shows_what_it_says(page: Page) -> None:
    page.evaluate("location.hash = 'workers+events/task-stream!2'")
    expect(page.locator(".jf-dash-tile")).to_have_count(3)
    boxes = [page.get_by_role("region", name=name, exact=True).bounding_box() for name in ("Workers", "Events", "Task stream")]
    workers, events, stream = (box for box in boxes if box is not None)
    assert workers["y"] == events["y"] < stream["y"]
    assert stream["height"] > 1.8 * workers["height"]


def test_panes_are_moved_resized_and_enlarged(page: Page) -> None:
    page.evaluate("location.hash = 'workers+events'")
    expect(page.locator(".jf-dash-tile")).to_have_count(2)
    page.get_by_role("separator", name="Width").press("ArrowRight")
    assert layout(page) == "workers~1.06+events~0.94"
    head = page.get_by_role("region", name="Events").locator(".jf-dash-tile-head")
    head.drag_to(page.get_by_role("region", name="Workers").locator(".jf-dash-tile-stage"), target_position={"x": 200, "y": 5})
    assert layout(page) == "events/workers"
    page.get_by_role("region", name="Workers").get_by_role("button", name="Enlarge Workers").click()
    expect(page.locator(".jf-dash-tile")).to_have_count(1)
    page.get_by_role("button", name="Enlarge Workers").click()
    expect(page.locator(".jf-dash-tile")).to_have_count(2)


def test_light_and_dark(page: Page, cluster: LocalCluster) -> None:
    with Client(cluster, set_as_default=False) as client:
        client.gather(client.map(double, range(2000)))
    button = page.get_by_role("button", name="Colours")
    colours = []
    for scheme in ("light", "dark"):
        button.click()
        expect(button).to_have_attribute("aria-label", f"Colours: {scheme}")
        colours.append(page.evaluate("getComputedStyle(document.querySelector('.jf-dash-tile')).backgroundColor"))
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"dashboard-page-{scheme}.png")
    assert colours == ["rgb(255, 255, 255)", "rgb(33, 33, 33)"]


def test_the_end_of_the_scheduler_is_said(page: Page, cluster: LocalCluster) -> None:
    cluster.close()
    expect(page.locator(".jf-dash-note")).to_have_text("The scheduler has closed.")
    expect(page.locator("h1")).to_have_text("study")  # the last picture stays

"""Panes that are tables, pictures and logs, on a real cluster in a real browser: what they show, with the mouse, and with the keyboard alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from browser.lab import SCREENSHOTS, Chromium
from jupyterfut import Client, LocalCluster, wait


def double(x: int) -> int:
    return 2 * x


def add_up(xs: list[int]) -> int:
    logging.getLogger("jupyterfut.worker").warning("adding up %d numbers", len(xs))
    return sum(xs)


def spin(n: int) -> int:
    total = 0
    for i in range(n):
        total += i * i
    return total


def fail(x: int) -> int:
    raise ValueError(f"{x} is out of range")


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


def show(page: Page, *panes: str) -> list[Locator]:
    page.evaluate("panes => { location.hash = panes; }", "/".join(panes))
    found = [page.locator(f".jf-pane-{pane}") for pane in panes]
    for pane in found:
        expect(pane).to_be_visible()
    return found


def picture(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_workers_are_sorted_found_and_asked(page: Page, cluster: LocalCluster) -> None:
    workers, memory, network = show(page, "workers", "memory", "network")
    for pane in (workers, memory, network):
        expect(pane.locator(".jf-row:visible")).to_have_count(2)
    heading = workers.get_by_role("columnheader", name="Worker")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    names = workers.locator(".jf-row:visible .jf-cell:first-child")
    assert sorted(names.all_text_contents()) == ["0", "1"]
    field = workers.get_by_role("searchbox")
    field.fill("nobody of this name")
    expect(workers.get_by_text("None of 2 is like that.")).to_be_visible()
    field.press("Escape")
    expect(workers.locator(".jf-row:visible")).to_have_count(2)
    workers.get_by_role("grid").press("ArrowDown")
    drawer = workers.get_by_role("complementary", name="Details")
    expect(drawer).to_contain_text("tcp://127.0.0.1:")
    drawer.get_by_role("button", name="Tasks").click()
    expect(drawer).to_contain_text("It has nothing to do.")
    drawer.get_by_role("button", name="Call stacks").click()
    expect(drawer).to_contain_text("No task runs on it at the moment.")
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_be_hidden()


def test_the_graph_is_walked_with_the_keys_and_tells_stories(page: Page, cluster: LocalCluster) -> None:
    (graph,) = show(page, "graph")
    expect(graph.get_by_text("No tasks are held.")).to_be_visible()
    with Client(cluster, set_as_default=False) as client:
        doubles = client.map(double, range(3))
        total = client.submit(add_up, doubles)
        assert total.result() == 6
        expect(graph.locator(".jf-facts")).to_contain_text("4 tasks")
        expect(graph.locator(".jf-facts")).to_contain_text("4 held")
        place = graph.get_by_role("application")
        said = graph.locator("[aria-live]")
        place.press("ArrowRight")
        expect(said).to_have_text("double: held; 0 inputs, 1 output")
        place.press("ArrowRight")
        expect(said).to_have_text("add_up: held; 3 inputs, 0 outputs")
        place.press("Enter")
        drawer = graph.get_by_role("complementary", name="Details")
        expect(drawer).to_contain_text("It is finished, and its result is held.")
        expect(drawer.locator(".jf-story")).to_contain_text("submitted")
        picture(page, "pane-graph")
        place.press("Escape")
        expect(drawer).to_be_hidden()


def test_events_are_filtered_and_timings_have_histograms(page: Page, cluster: LocalCluster) -> None:
    events, timings = show(page, "events", "timings")
    with Client(cluster, set_as_default=False) as client:
        failed = client.submit(fail, 7)
        wait([failed])
        assert client.submit(add_up, list(range(10))).result() == 45
        line = events.locator(".jf-row:visible", has_text="7 is out of range")
        expect(line).to_be_visible()
        expect(events.locator(".jf-row:visible", has_text="adding up 10 numbers")).to_be_visible()
        events.get_by_role("combobox").select_option("error")
        expect(events.locator(".jf-row:visible")).to_have_count(1)
        line.click()
        drawer = events.get_by_role("complementary", name="Details")
        drawer.get_by_role("button", name="Story").click()
        expect(drawer).to_contain_text("It has failed.")
        row = timings.locator(".jf-row:visible", has_text="add_up")
        expect(row).to_be_visible()
        row.click()
        expect(timings.get_by_role("complementary", name="Details")).to_contain_text("median")
        picture(page, "pane-events")


def test_the_profile_is_a_picture_and_a_table(page: Page, cluster: LocalCluster) -> None:
    (profile,) = show(page, "profile")
    with Client(cluster, set_as_default=False) as client:
        wait(client.map(spin, range(3_000_000, 3_000_010)))
        profile.get_by_role("radio", name="Functions").check()
        expect(profile.locator(".jf-row:visible", has_text="spin").first).to_be_visible()
        profile.get_by_role("radio", name="Flame graph").check()
        place = profile.get_by_role("application")
        place.press("ArrowDown")
        expect(profile.locator("[aria-live]")).to_contain_text("spin")
        place.press("Enter")
        expect(profile.get_by_role("navigation", name="Zoomed into")).to_contain_text("spin")
        picture(page, "pane-profile")
        place.press("Escape")
        expect(profile.get_by_role("navigation", name="Zoomed into")).to_be_hidden()

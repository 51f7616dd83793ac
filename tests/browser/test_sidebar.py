"""The sidebar in a real JupyterLab: clusters from the first click to the last, panes beside a notebook, and not one request to a kernel that the user
did not make."""

from __future__ import annotations

import re
from collections.abc import Callable

from browser.lab import Notebook, Window
from browser.sidebar import Requests, Sidebar
from jupyterfut import Client, LocalCluster

WORK = """
import time
def step(i):
    time.sleep(0.02)
    return i
futures = client.map(step, range(200))
"""


def test_a_cluster_from_its_start_to_its_end(sidebar: Sidebar, window: Window, in_lab: Callable[..., Notebook]) -> None:
    requests = Requests(sidebar.page)
    notebook = in_lab("", WORK, "client.gather(futures)[-1]")
    sidebar.start("mill", n_workers="1", threads_per_worker="2")
    sidebar.wait_current("mill")
    assert requests.executed == 0

    sidebar.press("mill", "Insert")
    notebook.output(0).get_by_text(re.compile("mill|Client")).first.wait_for()
    assert notebook.cell(0).inner_text().count("Client") >= 1
    sidebar.card("mill").locator(".jf-sign.jf-mod-accent").wait_for()  # the notebook uses it
    assert requests.executed == 1
    notebook.run(1)
    before = requests.executed

    for title in ("Progress", "Task stream", "Workers", "Memory"):
        sidebar.open_pane(title)
    assert sidebar.open_panes == ["Progress", "Task stream", "Workers", "Memory"]
    sidebar.screenshot("sidebar-panes")
    sidebar.card("mill").get_by_role("button", name="One worker more").click()
    sidebar.wait_workers("mill", 2)
    field = sidebar.card("mill").get_by_role("spinbutton", name="Workers")
    field.fill("1")
    field.press("Enter")
    sidebar.wait_workers("mill", 1)
    assert requests.executed == before  # whatever was clicked

    notebook.page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', { path }).then(() => null)", notebook.path.name)
    notebook.wait_ready()
    notebook.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    sidebar.card("mill").locator(".jf-sign.jf-mod-accent").wait_for(state="detached")

    window.reload()
    again = Sidebar(window.page)
    again.wait_workers("mill", 1)
    window.page.wait_for_function("() => document.querySelectorAll('.jf-tab').length === 4")
    assert sorted(again.open_panes) == ["Memory", "Progress", "Task stream", "Workers"]

    again.press("mill", "Stop")
    again.page.locator(".jp-Dialog").get_by_text("Stop mill?").wait_for()
    again.accept()
    again.wait_gone("mill")
    assert again.page.locator(".jf-list-empty").is_visible()


def test_adapting_and_back(sidebar: Sidebar) -> None:
    sidebar.start("tide", n_workers="1", threads_per_worker="1")
    card = sidebar.card("tide")
    card.get_by_role("switch").click()
    card.get_by_role("spinbutton", name="Fewest workers").wait_for()
    fewest = card.get_by_role("spinbutton", name="Fewest workers")
    fewest.fill("2")
    fewest.press("Enter")
    sidebar.wait_workers("tide", 2)
    card.get_by_role("switch").click()
    card.get_by_role("button", name="One worker fewer").click()
    sidebar.wait_workers("tide", 1)


def test_what_cannot_be_started_is_said_and_can_be_changed(sidebar: Sidebar) -> None:
    sidebar.start("first", n_workers="1")
    sidebar.page.locator("[data-command='jupyterfut:start-cluster']").first.click()
    form = sidebar.form()
    form.locator("input[name='name']").fill("first")
    form.get_by_text("A cluster of this name runs already.").wait_for()
    form.locator("input[name='memory_limit']").fill("a lot")
    form.get_by_text("A size such as 4GB").wait_for()
    assert sidebar.page.locator(".jf-dialog .jp-mod-accept").is_disabled()
    sidebar.screenshot("sidebar-form")
    form.locator("input[name='name']").fill("second")
    form.locator("input[name='memory_limit']").fill("1 GB")
    sidebar.page.locator(".jf-dialog .jp-mod-accept").click()
    sidebar.wait_workers("second", 1)  # what was chosen last stood in the form
    assert sidebar.names == ["first", "second"]


def test_logs(sidebar: Sidebar) -> None:
    sidebar.start("loud", n_workers="1")
    sidebar.menu("loud", "Show Logs")
    logs = sidebar.page.locator(".jf-logs pre")
    logs.get_by_text(re.compile("scheduler|worker|logged")).first.wait_for()


def test_a_scheduler_elsewhere(sidebar: Sidebar) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        sidebar.page.locator("[data-command='jupyterfut:connect-cluster']").first.click()
        form = sidebar.form()
        form.get_by_label("Address").fill("nonsense")
        form.get_by_text("An address such as").wait_for()
        form.get_by_label("Address").fill(client.address)
        form.get_by_label("Name").fill("far")
        form.get_by_label("Token").fill("not this one")
        sidebar.page.locator(".jf-dialog .jp-mod-accept").click()
        form.get_by_role("alert").wait_for()  # the reason, with what was typed still there
        form = sidebar.form()
        assert form.get_by_label("Name").input_value() == "far"
        form.get_by_label("Token").fill(cluster.security.token or "")
        sidebar.page.locator(".jf-dialog .jp-mod-accept").click()
        sidebar.wait_workers("far", 1)
        sidebar.press("far", "Disconnect")
        sidebar.wait_gone("far")
        assert client.submit(abs, -1).result(20) == 1  # it goes on


def test_panes_are_found_by_words_and_opened_by_keys(sidebar: Sidebar) -> None:
    sidebar.start("mill", n_workers="1")
    search = sidebar.page.get_by_role("searchbox", name="Search panes")
    search.fill("mem")
    titles = sidebar.node.locator(".jf-panes .jf-pane-title").all_inner_texts()
    assert titles[0] == "Memory"
    search.press("ArrowDown")
    sidebar.page.keyboard.press("Enter")
    sidebar.pane("Memory")
    search.fill("no such pane")
    sidebar.node.get_by_text("No pane has this word.").wait_for()
    search.press("Escape")
    sidebar.node.locator(".jf-panes button").nth(5).wait_for()


def test_a_pane_is_dragged_where_it_shall_be(sidebar: Sidebar, in_lab: Callable[..., Notebook]) -> None:
    in_lab("1")
    sidebar.start("mill", n_workers="1")
    entry = sidebar.node.locator(".jf-panes button[data-pane='workers']")
    area = sidebar.page.locator(".jp-NotebookPanel:visible").bounding_box()
    assert area is not None
    entry.hover()
    sidebar.page.mouse.down()
    sidebar.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=5)
    sidebar.page.mouse.move(area["x"] + area["width"] - 12, area["y"] + area["height"] / 2, steps=5)
    sidebar.page.mouse.up()
    box = sidebar.pane("Workers").bounding_box()
    assert box is not None
    assert box["x"] > area["x"] + area["width"] / 3  # to the right of the notebook, which is still there
    assert sidebar.page.locator(".jp-NotebookPanel:visible").count() == 1


def test_a_cluster_is_dragged_into_a_notebook(sidebar: Sidebar, in_lab: Callable[..., Notebook]) -> None:
    requests = Requests(sidebar.page)
    notebook = in_lab("first = 1", "second = 2")
    sidebar.start("mill", n_workers="1")
    target = notebook.cell(1).bounding_box()
    assert target is not None
    sidebar.card("mill").locator(".jf-cluster-line").hover()
    sidebar.page.mouse.down()
    sidebar.page.mouse.move(target["x"] + 150, target["y"] + 12, steps=8)
    sidebar.page.mouse.up()
    notebook.cell(2).get_by_text("second = 2").wait_for()
    assert 'Client("mill")' in notebook.cell(1).inner_text()
    assert requests.executed == 0


def test_a_pane_says_when_its_cluster_has_ended(sidebar: Sidebar) -> None:
    sidebar.start("brief", n_workers="1")
    pane = sidebar.open_pane("Workers")
    sidebar.press("brief", "Stop")
    sidebar.accept()
    sidebar.wait_gone("brief")
    pane.get_by_text("brief has ended").wait_for()
    sidebar.start("next", n_workers="1")
    pane.get_by_role("combobox", name="Cluster").locator("option", has_text="next").first.wait_for(state="attached")
    assert not pane.get_by_text("has ended").is_visible()

"""What a saved notebook shows: the final states, when it is opened again without a kernel and when it is converted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from browser.lab import Chromium, Notebook, Server, Theme, Window

CELLS = (
    "%load_ext jupyterfut\nimport time\nfrom jupyterfut import Client, progress\nclient = Client(n_workers=2, threads_per_worker=2)\n"
    "def step(i, seconds=0.3):\n    time.sleep(seconds)\n    return i\ndef fail():\n    raise ValueError('this is what went wrong')",
    "one = client.submit(step, 1)\none",
    "failing = client.submit(fail)\nfailing",
    "many = client.map(step, range(100), [0.01] * 100)\nmany",
    "progress(many)",
    "%%submit\nx = step('so be ' + 'it')\nprint('said on a worker')\nx",
    "%%submit\nsaid = 1\nraise KeyError('this failed as well')",
    "value = one.result(), x.result(), client.gather(many)",
)


FINAL = {
    1: ["finished"],
    2: ["error", "this is what went wrong"],
    3: ["100 of 100 done"],
    4: ["100 of 100"],
    5: ["finished", "said on a worker", "'so be it'"],
    6: ["error", "this failed as well"],
}


def wait_for_final_states(notebook: Notebook) -> None:
    for index, words in FINAL.items():
        notebook.wait_text(index, *words)


def faint_texts(notebook: Notebook) -> list[str]:
    """What does not stand out from what is behind it by WCAG's ratio for large texts and for parts of controls."""
    return [text for index in range(1, len(CELLS)) for text in notebook.faint(index, 3.0)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_opened_again_without_a_kernel(server: Server, window: Window, in_lab: Callable[..., Notebook], theme: Theme) -> None:
    notebook = in_lab(*CELLS)
    window.theme(theme)
    notebook.run(*range(len(CELLS)))
    wait_for_final_states(notebook)
    assert faint_texts(notebook) == []
    notebook.screenshot(f"saved-before-{theme}")
    notebook.save()
    window.close_notebook()
    server.shut_down_kernels()
    notebook = window.open(notebook.path, kernel=False)
    wait_for_final_states(notebook)
    assert faint_texts(notebook) == []
    notebook.screenshot(f"saved-opened-without-a-kernel-{theme}")
    assert notebook.page.locator(".jp-Notebook").get_by_text("model not found").count() == 0
    notebook.page.locator(".jf button").first.wait_for(state="detached")  # nobody would hear them
    assert server.ask("GET", "kernels") == []


def test_converted_to_html(chromium: Chromium, in_lab: Callable[..., Notebook]) -> None:
    from nbconvert import HTMLExporter

    notebook = in_lab(*CELLS)
    notebook.run(*range(len(CELLS)))
    wait_for_final_states(notebook)
    notebook.save()
    html, _ = HTMLExporter().from_filename(str(notebook.path))
    page = chromium.page()
    try:
        file = notebook.path.with_suffix(".html")
        file.write_text(html, encoding="utf-8")
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
        page.goto(file.as_uri(), wait_until="domcontentloaded")
        cells = page.locator(".jp-Cell")
        for index, words in FINAL.items():
            text = cells.nth(index).locator(".jp-Cell-outputWrapper").inner_text()
            assert [word for word in words if word not in text] == []
        assert page.get_by_text("model not found").count() == 0
    finally:
        page.context.close()

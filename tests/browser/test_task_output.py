"""What tasks print and display stands under the cell that submitted them, whatever cell the kernel is at by then."""

from __future__ import annotations

from collections.abc import Callable

from browser.lab import Notebook

CLIENT = """
%load_ext jupyterfut
import time
from jupyterfut import Client, get_client, wait
client = Client(n_workers=2, threads_per_worker=2)
def say(word, seconds=0.0):
    for i in range(5):
        time.sleep(seconds / 5)
        print(word, i)
def ask(word):
    print('asking for', word)
    return get_client().submit(say, word, 0.5, pure=False).result()
"""


def test_under_the_right_one_of_two_cells(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(
        CLIENT, "apples = client.submit(say, 'apple', 1)", "pears = client.submit(say, 'pear', 1)", "print('a third one')", "time.sleep(3)"
    )
    notebook.run(0, 1, 2, 3)
    notebook.run(4, wait=False)
    notebook.wait_text(1, "apple 4")
    notebook.wait_text(2, "pear 4")
    assert notebook.is_running(4)
    assert notebook.texts(1).split("\n") == [f"apple {i}" for i in range(5)]
    assert notebook.texts(2).split("\n") == [f"pear {i}" for i in range(5)]
    assert notebook.texts(3) == "a third one"
    assert notebook.texts(4) == ""
    notebook.interrupt(4)
    notebook.screenshot("output-of-two-cells")
    saved = notebook.save()
    assert [[output.text for output in cell.outputs] for cell in saved.cells[1:4]] == [
        ["".join(f"apple {i}\n" for i in range(5))],
        ["".join(f"pear {i}\n" for i in range(5))],
        ["a third one\n"],
    ]


def test_of_tasks_that_tasks_submit(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(CLIENT, "plum = client.submit(ask, 'plum')", "%%submit\nask('cherry')", "print('a third one')")
    notebook.run(0, 1, 2, 3)
    notebook.wait_text(1, "asking for plum", "plum 4")
    notebook.wait_text(2, "asking for cherry", "cherry 4")
    assert "cherry" not in notebook.texts(1)
    assert "plum" not in notebook.texts(2)
    assert notebook.texts(3) == "a third one"


def test_rich_displays_and_bars(in_lab: Callable[..., Notebook]) -> None:
    notebook = in_lab(
        CLIENT,
        "def draw():\n    from IPython.display import HTML, display\n    display(HTML('<b id=\"drawn\">drawn on a worker</b>'))\n"
        "    for i in range(101):\n        print(f'\\r{i} %', end='')\n        time.sleep(0.005)",
        "drawing = client.submit(draw)",
        "drawing.result()",
    )
    notebook.run(0, 1, 2, 3)
    notebook.output(2).locator("b#drawn").wait_for()
    notebook.wait_text(2, "100 %")
    assert "99 %" not in notebook.texts(2)

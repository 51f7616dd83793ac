"""The flame graph: widths that are shares, everything escaped, nothing from elsewhere."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from jupyterfut.core.profile import Node, to_plain
from jupyterfut.views.flame import DEEPEST, Flame, bars, page


def tree(*stacks: list[str]) -> dict[str, Any]:
    root = Node()
    for stack in stacks:
        root.add(stack)
    return to_plain(root, lambda name: (name, {"name": name, "filename": f"/home/me/{name}.py", "line_number": 3, "line": ""}))


def test_a_bar_is_as_wide_as_its_share_and_stands_below_its_caller() -> None:
    drawn = {bar.name: bar for bar in bars(tree(["f", "g"], ["f", "h"], ["f"], ["k"]))}
    assert (drawn["all tasks"].width, drawn["f"].width, drawn["g"].width) == (1.0, 0.75, 0.25)
    assert (drawn["f"].depth, drawn["g"].depth) == (1, 2)
    assert drawn["g"].left + drawn["g"].width == drawn["h"].left
    assert drawn["k"].left == 0.75
    assert drawn["f"].own == 1


def test_names_are_escaped() -> None:
    text = page(tree(["<lambda>", '</script><img src=x onerror="alert(1)">']))
    assert "<lambda>" not in text
    assert "<img" not in text
    assert text.count("</script>") == 1
    assert "&lt;lambda&gt;" in text


def test_nothing_comes_from_elsewhere() -> None:
    assert not re.search(r"(src|href)=|url\(|@import|https?:", page(tree(["f"])))


def test_very_deep_and_very_many_frames() -> None:
    deep = page(tree([f"f{i}" for i in range(3000)]))
    assert deep.count('class="b"') == DEEPEST + 1
    wide = page(tree(*[["busy", f"f{i}"] for i in range(5000)]))
    assert wide.count('class="b"') < 10  # too narrow to be seen


def test_a_figure_shows_itself() -> None:
    figure = Flame(tree(["f"]))
    assert repr(figure) == "<Flame 1 samples>"
    frame = figure._repr_html_()
    assert 'sandbox="allow-scripts"' in frame
    (inner,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert unescape(inner) == figure.page()


def test_no_samples() -> None:
    assert "no task ran long enough" in page(tree())
    assert bars(tree()) == []

"""Writes the pages that are made from the code: `docs/design/state-diagrams.md` from the machines' transition tables, `docs/settings.md` from the
settings, `docs/reference/` from the docstrings.

python docs/generate.py            write them
python docs/generate.py --check    write nothing; exit code 1 if one is not current (CI does this)
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import reference_pages  # noqa: E402

from jupyterfut import config  # noqa: E402
from jupyterfut.core.client import machine as client_machine  # noqa: E402
from jupyterfut.core.scheduler import hot  # noqa: E402
from jupyterfut.core.scheduler import state as scheduler_state  # noqa: E402
from jupyterfut.core.scheduler import transitions as scheduler  # noqa: E402
from jupyterfut.core.worker import transitions as worker  # noqa: E402

HEAD = """# The states of the three machines

This page is generated from the machines' transition tables by `python docs/generate.py`; CI checks that it is current. A pair of states that is not
here cannot happen: the machine raises an error that tells the task's story.
"""


def diagram(pairs: Iterable[tuple[str, str]], start: str) -> str:
    """A Mermaid state diagram."""
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {start}", *(f"    {a} --> {b}" for a, b in pairs), "```"])


def table(rows: Iterable[tuple[str, str, str]]) -> str:
    """A Markdown table of transitions."""
    return "\n".join(["| from | to | what happens |", "|---|---|---|", *(f"| {a} | {b} | {what} |" for a, b, what in rows)])


def told(function: Callable[..., Any]) -> str:
    """The first sentence of a function's docstring, or its name."""
    doc = " ".join((function.__doc__ or "").split())
    doc = re.sub(r"^[\w, ]+ -> \w+[:,.] ?", "", doc)  # the row itself says from where and to where
    sentence = re.split(r"(?<=[.;])\s", doc)[0].rstrip(".;")
    name = f"`{function.__name__.strip('_')}`"
    return f"{name}: {sentence}" if sentence else name


def scheduler_page() -> str:
    """The scheduler's table, and the hot roads beside it."""
    roads: dict[tuple[str, str], str] = {}
    for name, road in re.findall(r"^    (\w+_many) +([^\n]*->[^\n]*)$", hot.__doc__ or "", re.MULTILINE):
        steps = [step.split(" or ") for step in road.split("  ")[0].split(" -> ")]
        for before, after in itertools.pairwise(steps):
            roads.update({(a.strip(), b.strip()): name for a in before for b in after})
    pairs = sorted({*scheduler.TABLE, *roads}, key=lambda pair: [scheduler_state.STATES.index(state) for state in pair])
    rows = []
    for pair in pairs:
        said = [told(scheduler.TABLE[pair][0])] if pair in scheduler.TABLE else []
        if pair in roads:
            said.append(f"`hot.{roads[pair]}`, for whole columns of tasks")
        rows.append((*pair, "; ".join(said)))
    states = re.findall(r"^    (\w+)  +([^\n]+)$", scheduler_state.__doc__ or "", re.MULTILINE)
    known = "\n".join(f"- **{name}**: {what}" for name, what in states if name in scheduler_state.STATES)
    overtaken = ", ".join(f"{a} -> {b}" for a, b in sorted(scheduler.OVERTAKEN))
    return f"""## A task in the scheduler (`core/scheduler`)

{known}

{diagram(pairs, "released")}

{table(rows)}

Recommended while the task was still elsewhere, and dropped when its turn comes: {overtaken}.
"""


def worker_page() -> str:
    """The worker's table."""
    pairs = list(worker.TRANSITIONS)
    return f"""## A task on a worker (`core/worker`)

{diagram(pairs, "new")}

{table((a, b, told(function)) for (a, b), function in worker.TRANSITIONS.items())}
"""


def client_page() -> str:
    """The client's drawing, as its module gives it."""
    drawing = re.search(r"\n( +Submit, Want.*)", client_machine.__doc__ or "", re.DOTALL)
    assert drawing is not None
    return f"## A record in the client (`core/client`)\n\n```text\n{textwrap.dedent(drawing[1]).rstrip()}\n```\n"


def settings_page() -> str:
    """All settings, from their declarations."""
    lines = [
        "# Settings",
        "",
        "This page is generated from `jupyterfut/config.py` by `python docs/generate.py`. A value comes from an argument in the code, else from the",
        "environment variable, else from the settings file (YAML or JSON; `jupyterfut config` says where it is), else it is the default.",
        "Sizes may be written `64kB` or `1.5 GiB`, durations `500ms`, `10 s`, `2 min`. `jupyterfut config` prints what is in force.",
    ]
    group = ""
    for value in config.explain({"JUPYTERFUT_CONFIG": os.devnull}):
        if value.group != group:
            group = value.group
            doc = (type(getattr(config.Settings(), group)).__doc__ or "").strip()
            lines += ["", f"## {group}", "", doc, "", "| setting | default | unit | what it is for | variable |", "|---|---|---|---|---|"]
        default = "(empty)" if value.default == "" else str(value.default)
        cells = (value.name, default, value.unit.replace("|", ", "), value.doc, f"`{config.variable(value.group, value.name)}`")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    pages = {
        DOCS / "design" / "state-diagrams.md": "\n".join([HEAD, scheduler_page(), worker_page(), client_page()]),
        DOCS / "settings.md": settings_page(),
        **{DOCS / "reference" / name: text for name, text in reference_pages.pages().items()},
    }
    gone = [path for path in (DOCS / "reference").glob("*.md") if path not in pages]
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(DOCS.parent)} is not current: run python docs/generate.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(pages[path], encoding="utf-8")
            print(f"written: {path.relative_to(DOCS.parent)}")
    for path in gone:
        print(f"nothing makes {path.relative_to(DOCS.parent)}: delete it")
    return 1 if gone or (stale and "--check" in arguments) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What goes under one cell: order, whole lines, folded bars, few messages. The page is a model of what a front end makes of the messages."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis
from hypothesis import strategies as st

from jupyterfut.notebook.current import Cell
from jupyterfut.notebook.output.panes import DISPLAYS_LIMIT, FLOOD_CHARS, Pane
from jupyterfut.views.lines import OpenLine, folded

CELL = Cell("1", 1, {"msg_id": "request"}, "")


class Paper:
    """A page with one cell, as a front end keeps it: neighbouring texts of a stream are one output, updates change a display in place."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.now = 1000.0
        self.pane = Pane(self, CELL, limit)

    def send(self, cell: Cell, kind: str, content: dict[str, Any]) -> None:
        self.messages.append((kind, content))

    def say(self, key: str, *parts: list[Any]) -> None:
        self.pane.take(key, [list(part) for part in parts])

    def flush(self) -> None:
        self.now += 10
        self.pane.flush(self.now, everything=True)

    @property
    def outputs(self) -> list[tuple[str, str]]:
        self.flush()
        raw: list[list[str]] = []
        for kind, content in self.messages:
            if kind == "stream":
                if raw and raw[-1][0] == content["name"]:
                    raw[-1][1] += content["text"]
                else:
                    raw.append([content["name"], content["text"], ""])
            elif kind == "display_data":
                raw.append(["display", content["data"]["text/plain"], content["transient"].get("display_id", "")])
            else:
                for output in raw:
                    if output[2] and output[2] == content["transient"]["display_id"]:
                        output[1] = content["data"]["text/plain"]
        return [(name, text if name == "display" else _on_screen(text)) for name, text, _ in raw]


def _on_screen(text: str) -> str:
    return "\n".join(line.rstrip(" ") for line in folded(text).split("\n"))


def display(text: str, name: str | None = None, *, update: bool = False) -> list[Any]:
    return ["display", {"data": {"text/plain": text}, "metadata": {}, "display_id": name, "update": update}]


def test_text_that_follows_text_is_one_message() -> None:
    paper = Paper()
    paper.say("a", ["out", "one\n"], ["out", "two\n"])
    paper.say("b", ["out", "three\n"])
    paper.flush()
    assert paper.messages == [("stream", {"name": "stdout", "text": "one\ntwo\nthree\n"})]


def test_streams_and_displays_keep_their_order() -> None:
    paper = Paper()
    paper.say("a", ["out", "1\n"], ["err", "2\n"], display("3"), ["out", "4\n"])
    assert paper.outputs == [("stdout", "1\n"), ("stderr", "2\n"), ("display", "3"), ("stdout", "4\n")]


def test_lines_of_two_tasks_do_not_mix() -> None:
    paper = Paper()
    paper.say("a", ["out", "from "])
    paper.flush()
    paper.say("b", ["out", "of "])
    paper.say("a", ["out", "a\n"])
    paper.flush()
    paper.say("b", ["out", "b\n"])
    assert paper.outputs == [("stdout", "from a\nof b\n")]


def test_a_line_that_ends_beside_a_bar_stands_above_it() -> None:
    paper = Paper()
    paper.say("bar", ["err", "\r10 %"])
    paper.flush()
    paper.say("other", ["err", "a warning\n"])
    paper.flush()
    paper.say("bar", ["err", "\r100 %\n"])
    assert paper.outputs == [("stderr", "a warning\n100 %\n")]


def test_of_a_bar_only_the_last_state_is_sent() -> None:
    paper = Paper()
    for percent in range(100):
        paper.say("bar", ["err", f"\r{percent:3} %"])
    paper.flush()
    paper.say("bar", ["err", "\r100 %\n"])
    paper.flush()
    assert [content["text"] for _, content in paper.messages] == [" 99 %", "\r100 %\n"]


def test_a_bar_that_takes_itself_away_leaves_room() -> None:
    paper = Paper()
    paper.say("bar", ["err", "\r10 %"])
    paper.flush()
    paper.say("bar", ["err", "\r\x1b[K"])
    paper.flush()
    paper.say("bar", ["err", "gone\n"])
    assert paper.outputs == [("stderr", "gone\n")]


def test_a_task_that_ends_in_the_middle_of_a_line_has_said_it() -> None:
    paper = Paper()
    paper.say("a", ["out", "no end"])
    paper.say("b", ["out", "neither"])
    paper.pane.ended("b")
    paper.pane.ended("a")
    paper.say("c", ["out", "c\n"])
    (output,) = paper.outputs
    assert sorted(output[1].splitlines()) == ["c", "neither", "no end"]


def test_a_single_task_without_line_ends_gets_none() -> None:
    paper = Paper()
    paper.say("a", ["out", "no end"], ["end"])
    assert paper.outputs == [("stdout", "no end")]


def test_what_is_half_said_stays_when_the_task_goes_on_elsewhere() -> None:
    paper = Paper()
    paper.say("a", ["out", "loading ... "])
    paper.flush()
    paper.say("a", display("figure"), ["out", "done\n"])
    assert paper.outputs == [("stdout", "loading ..."), ("display", "figure"), ("stdout", "done\n")]


def test_after_the_kernel_has_said_something_a_bar_is_drawn_again() -> None:
    paper = Paper()
    paper.say("bar", ["err", "\r10 %"])
    paper.flush()
    paper.pane.interrupted()
    paper.say("bar", ["err", "\r20 %"])
    paper.flush()
    assert [content["text"] for _, content in paper.messages] == ["10 %", "20 %"]


def test_updates_of_a_display_that_waits_are_one() -> None:
    paper = Paper()
    paper.say("a", display("0", "id"))
    for n in range(1, 10):
        paper.say("a", display(str(n), "id", update=True))
    paper.flush()
    paper.say("a", display("10", "id", update=True), display("11", "id", update=True))
    paper.flush()
    assert [(kind, content["data"]["text/plain"]) for kind, content in paper.messages] == [("display_data", "9"), ("update_display_data", "11")]


def test_a_task_that_clears_its_output_leaves_that_of_others_alone() -> None:
    paper = Paper()
    paper.say("other", ["out", "stays\n"])
    for epoch in range(3):
        paper.say("loop", ["clear", True], display(f"plot {epoch}"), ["out", f"epoch {epoch}\n"])
        paper.flush()
        assert paper.outputs == [("stdout", "stays\n"), ("display", f"plot {epoch}"), ("display", f"epoch {epoch}")]
    paper.say("loop", ["clear", True], display("last plot"))
    assert paper.outputs == [("stdout", "stays\n"), ("display", "last plot"), ("display", "")]
    paper.say("loop", ["clear", False])
    assert paper.outputs == [("stdout", "stays\n"), ("display", ""), ("display", "")]


def test_at_most_ten_messages_a_second_and_the_first_at_once() -> None:
    paper = Paper()
    ticks = itertools.count()
    for _ in range(1000):  # ten seconds
        paper.now = 1000 + next(ticks) / 100
        paper.say("a", ["out", "x\n"])
        if paper.pane.is_due(paper.now):
            paper.pane.flush(paper.now)
    assert paper.messages[0] == ("stream", {"name": "stdout", "text": "x\n"})
    assert 90 <= len(paper.messages) <= 101


def test_many_displays_take_their_time_and_the_cells_end_does_not_wait() -> None:
    paper = Paper()
    paper.say("a", *[display(str(n)) for n in range(60)])
    paper.pane.flush(paper.now)
    first = len(paper.messages)
    for step in range(10):
        paper.pane.flush(paper.now + (step + 1) / 10)
    assert (first, len(paper.messages)) == (20, 30)
    paper.flush()
    assert len(paper.messages) == 60


def test_too_many_displays_are_left_out_and_it_is_said() -> None:
    paper = Paper()
    paper.say("a", *[display(str(n)) for n in range(1000)])
    outputs = paper.outputs
    assert len(outputs) == DISPLAYS_LIMIT + 1
    assert outputs[0] == ("display", "0") and outputs[-1] == ("display", "999")
    assert ("stdout", "... 900 displays left out ...\n") in outputs


def test_two_streams_in_turn_become_one_piece_of_each() -> None:
    paper = Paper()
    for n in range(100):
        paper.say("a", ["out", f"{n}\n"], ["err", f"{n}\n"])
    paper.flush()
    lines = "".join(f"{n}\n" for n in range(100))
    assert paper.messages == [("stream", {"name": "stdout", "text": lines}), ("stream", {"name": "stderr", "text": lines})]


def test_a_flood_is_cut_and_goes_on_as_a_trickle() -> None:
    paper = Paper(limit=10_000)
    line = "y" * 99 + "\n"
    for _ in range(300):
        paper.say("a", ["out", line * 100])
        paper.now += 0.1
        if paper.pane.is_due(paper.now):
            paper.pane.flush(paper.now)
    paper.say("a", ["out", "the end\n"])
    sizes = [len(content["text"]) for _, content in paper.messages]
    assert sum(sizes) < 10_000 + 32 * (FLOOD_CHARS + 100)  # thirty seconds
    text = "".join(content["text"] for _, content in paper.messages)
    assert "characters left out" in text
    assert set(text.splitlines()) <= {"y" * 99, *(one for one in text.splitlines() if one.startswith("..."))}, "whole lines only"
    paper.flush()
    assert paper.messages[-1][1]["text"].endswith("the end\n")


pieces = st.lists(st.tuples(st.sampled_from(["a\n", "bcd", "\r", "\r50 %", "ef\ng", "\n", "\b", "xyz\r\n"]), st.booleans()), max_size=30)


@hypothesis.given(pieces)
def test_one_stream_looks_as_in_a_terminal_however_it_is_cut(pieces: list[tuple[str, bool]]) -> None:
    paper = Paper()
    for text, flush in pieces:
        paper.say("a", ["out", text])
        if flush:
            paper.flush()
    whole = "".join(text for text, _ in pieces)
    shown = "".join(text for _, text in paper.outputs)
    assert shown == _on_screen(whole)


texts = st.sampled_from(["1", "22\n", "\r", "333\n4", "\n"])
steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["out", "err"]), texts, st.integers(0, 3)), max_size=40)


@hypothesis.given(steps)
def test_whatever_tasks_do_each_finished_line_is_there_once_and_whole(steps: list[tuple[str, str, str, int]]) -> None:
    paper = Paper()
    expected: dict[str, list[str]] = {"stdout": [], "stderr": []}
    lines: dict[tuple[str, str], OpenLine] = {}
    names = {"out": "stdout", "err": "stderr"}
    letter = {"a": "aaaa", "b": "bbbb", "c": "cccc"}
    for key, kind, text, flush in steps:
        for other in names:
            if other != kind and (key, other) in lines:
                del lines[key, other]  # an unfinished line that its task has left is left as it was
        text = text.translate({ord(digit): letter[key][: int(digit)] for digit in "1234"})
        paper.say(key, [kind, text])
        for i, part in enumerate(text.split("\n")):
            line = lines.setdefault((key, kind), OpenLine())
            if i:
                expected[names[kind]].append(line.text)
                line.clear()
            line.write(part)
        if flush == 0:
            paper.flush()
    found: dict[str, list[str]] = {"stdout": [], "stderr": []}
    for name, text in paper.outputs:
        found[name] += text.split("\n")
    for name, whole in expected.items():
        for line in {line for line in whole if line}:
            assert found[name].count(line) >= whole.count(line)
        assert all(len(set(line)) <= 1 for line in found[name]), "no line holds what two tasks have said"

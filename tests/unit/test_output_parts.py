"""What waits to be told of a task's output: joined, overtaken, folded, cut; and how much of it may go."""

from __future__ import annotations

import pytest

from jupyterfut.runtime.output import collector as collecting
from jupyterfut.runtime.output.bundles import bundle, formatted, portable, text
from jupyterfut.runtime.output.collector import GATHERED_CHARS, Collector, topic_of
from jupyterfut.runtime.output.parts import TAIL_CHARS, Allowance, Gap, Parts, cut, fold


def show(parts, name, display_id=None, update=False):
    parts.add_display({"text/plain": name}, {}, display_id, update, len(name))


def test_texts_of_one_kind_join_and_keep_their_order_with_others():
    parts = Parts()
    for kind, piece in [("out", "a"), ("out", "b"), ("err", "c"), ("out", "d")]:
        parts.add_text(kind, piece)
    show(parts, "x")
    parts.add_text("out", "e")
    kinds = [(kind, value if isinstance(value, str) else value["data"]["text/plain"]) for kind, value in parts.take()[0]]
    assert kinds == [("out", "ab"), ("err", "c"), ("out", "d"), ("display", "x"), ("out", "e")]
    assert parts.take() == ([], 0)


def test_an_update_takes_the_place_of_what_nobody_has_seen():
    parts = Parts()
    show(parts, "0 %", "bar")
    parts.add_text("out", "between")
    show(parts, "50 %", "bar", update=True)
    show(parts, "100 %", "bar", update=True)
    (display, text_part), size = parts.take()
    assert display == ["display", {"data": {"text/plain": "100 %"}, "metadata": {}, "display_id": "bar", "update": False}]
    assert text_part == ["out", "between"]
    assert size == len("100 %") + len("between") + 120
    show(parts, "again", "bar", update=True)  # that one has been seen: it travels as an update
    show(parts, "and again", "bar", update=True)
    [[_, update]] = parts.take()[0]
    assert update["update"]
    assert update["data"] == {"text/plain": "and again"}


def test_what_a_clear_wipes_out_does_not_travel():
    parts = Parts()
    parts.add_text("out", "gone")
    show(parts, "gone, too")
    show(parts, "elsewhere on the page", "other", update=True)
    parts.add_clear(True)
    parts.add_text("out", "new")
    assert [part[0] for part in parts.take()[0]] == ["display", "clear", "out"]


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("plain\n", "plain\n"),
        ("a\rb", "a\rb"),
        ("\r 1%\r 2%\r 3%", "\r 3%"),
        ("a long one\rb\rc\n", "a long one\rc\n"),
        ("a\rlonger than the last\rb", "a\rlonger than the last\rb"),
        ("1%\r2%\r\n", "1%\r2%\r\n"),
        ("1%\r2%\r3%\r", "1%\r3%\r"),
        ("\x1b[A1\r2\r3", "\x1b[A1\r2\r3"),
    ],
)
def test_what_a_bar_has_written_over_itself_is_left_out(written, left):
    assert fold(written) == left


def test_a_gap_keeps_the_end_and_counts_the_rest():
    gap = Gap()
    gap.add([["out", "x" * 100_000], ["display", {"data": {}}]])
    gap.add([["err", "the last words\n"]])
    said, out, err = gap.end()
    assert said == ["err", f"\n… {100_000 - TAIL_CHARS + 15:,} characters and 1 display were left out …\n"]
    assert len(out[1]) + len(err[1]) == TAIL_CHARS
    assert err == ["err", "the last words\n"]


def test_cutting_keeps_only_the_end_of_a_very_long_rest():
    head, rest, skipped = cut([["out", "x" * 1_000_000], ["out", "tail"]], 10)
    assert head == [["out", "x" * 10]]
    assert len(rest[0][1]) == TAIL_CHARS
    assert rest[1] == ["out", "tail"]
    assert skipped == 1_000_000 - 10 - TAIL_CHARS


def test_what_is_refused_counts_until_the_flood_ebbs():
    allowance = Allowance(100, 10)
    assert allowance.left(0.0) == 100
    allowance.take(100)
    for second in range(1, 60):
        assert allowance.left(float(second)) <= 10
        allowance.waste(1000)
    assert allowance.left(64.0) == pytest.approx(50)


# --- the collector, with a loop that only takes notes


class Loop:
    def __init__(self):
        self.soon = []
        self.later = []

    def call_soon_threadsafe(self, call, *args):
        self.soon.append(call)

    def call_later(self, delay_s, call):
        self.later.append((delay_s, call))

    def is_closed(self):
        return False

    def turn(self):
        soon, self.soon = self.soon, []
        for call in soon:
            call()
        later, self.later = self.later, []
        for _, call in later:
            call()


class Called:
    def __init__(self, key, origin):
        self.key, self.origin = key, origin


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def said():
    return []


@pytest.fixture
def collector(loop, said, monkeypatch):
    monkeypatch.setattr(collecting, "monotonic", lambda: 100.0)  # a clock that stands: nothing is refilled
    pending = []
    collector = Collector(loop, lambda topic, value: said.append((topic, value)), lambda: sum(pending), 1_100_000, [])
    collector.pending = pending
    return collector


def test_one_timer_for_all_and_none_while_nothing_waits(collector, loop, said):
    collector.of("x", "client/1").write("out", "a")
    collector.of("y", "client/2").write("out", "b")
    collector.of("x", "client/1").write("out", "c")
    assert (len(loop.soon), said) == (1, [])
    loop.turn()
    assert said == [("output:client", ["x", "client/1", [["out", "ac"]]]), ("output:client", ["y", "client/2", [["out", "b"]]])]
    assert not loop.soon
    assert not loop.later


def test_the_end_of_a_task_says_all_and_whether_it_was_within_a_line(collector, said):
    collector.of("x", "c").write("out", "no end of line")
    collector.end(Called("x", "c"), 0.0)
    collector.of("y", "c").write("out", "line\n")
    collector.end(Called("y", "c"), 0.0)
    assert [value[2] for _, value in said] == [[["out", "no end of line"], ["end"]], [["out", "line\n"]]]
    assert collector.open == {}


def test_much_does_not_wait_for_the_timer(collector, said):
    collector.of("x", "c").write("out", "z" * GATHERED_CHARS)
    assert len(said) == 1


def test_a_megabyte_goes_whole_and_a_flood_is_told_of_once(collector, said):
    output = collector.of("x", "c")
    for _ in range(10):
        output.write("out", "z" * 100_000)
    assert sum(len(part[1]) for _, value in said for part in value[2]) == 1_000_000
    for _ in range(1000):
        output.write("out", "z" * 100_000)
    output.write("out", "the end\n")
    collector.end(Called("x", "c"), 0.0)
    texts = [part[1] for _, value in said for part in value[2]]
    assert sum(map(len, texts)) < 1_250_000
    assert sum("too much output" in text for text in texts) == 1
    assert sum("were left out" in text for text in texts) == 1
    assert texts[-1].endswith("the end\n")


def test_a_jammed_way_counts_as_too_much(collector, loop, said):
    collector.pending.append(10**9)
    collector.of("x", "c").write("out", "is lost?")
    collector.end(Called("x", "c"), 0.0)
    assert ["out", "is lost?"] in said[0][1][2]  # its end is kept


def test_who_goes_on_after_the_end_is_heard(collector, loop, said):
    output = collector.of("x", "c")
    output.write("out", "a\n")
    collector.end(Called("x", "c"), 0.0)
    output.write("out", "a thread of it\n")
    loop.turn()
    loop.turn()
    assert [value[2] for _, value in said] == [[["out", "a\n"]], [["out", "a thread of it\n"]]]


def test_nothing_after_the_close(collector, said):
    collector.of("x", "c").write("out", "last\n")
    collector.close()
    assert len(said) == 1
    assert collector.at_once == 0


def test_the_topic_is_the_clients():
    assert topic_of("client-1/cell") == topic_of("client-1") == "output:client-1"


# --- bundles


class Rich:
    def __repr__(self):
        return "<rich>"

    def _repr_html_(self):
        return "<b>rich</b>"

    def _repr_png_(self):
        return b"\x89PNG", {"width": 3}

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"application/x": {"a": (1, 2)}, "application/vnd.jupyter.widget-view+json": {"model_id": "m"}}, {"application/x": {"k": 1}}


def test_all_forms_with_their_metadata_but_no_widgets():
    data, metadata = formatted(Rich())
    assert data == {"text/plain": "<rich>", "text/html": "<b>rich</b>", "image/png": "iVBORw==", "application/x": {"a": [1, 2]}}
    assert metadata == {"image/png": {"width": 3}, "application/x": {"k": 1}}
    assert set(formatted(Rich(), include=["text/html"])[0]) == {"text/html"}
    assert "image/png" not in formatted(Rich(), exclude=["image/png"])[0]


def test_a_class_shows_itself_and_not_as_its_objects_do():
    assert bundle(Rich) == {"text/plain": repr(Rich)}


def test_long_containers_are_wrapped_and_strings_are_not_cut():
    assert text(["word " * 30] * 2).count("\n") == 1
    assert text({"a": 1}) == "{'a': 1}"


def test_what_json_cannot_hold_becomes_text():
    assert portable({1: {2, 3}})["1"] in ("{2, 3}", "{3, 2}")

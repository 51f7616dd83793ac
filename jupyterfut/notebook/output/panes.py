"""Under one cell: what its tasks say, in the order in which it was heard, in few messages.

Text that follows text becomes one message; messages leave at most ten times a second (a first one at once), all that is left when the cell ends.
Each stream ends with at most one unfinished line. It belongs to the task that wrote it; lines that others finish meanwhile are written over it, and
it again after them, as progress bars in a terminal do it. So lines of two tasks never mix, and of a bar's states only the last of each message
is sent.

A task that clears its output gets displays of its own from then on: they are updated in place, and what other tasks have said stays, as does the
cell's form. (A `clear_output` message would wipe all of it.)
"""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from typing import Any, NamedTuple, Protocol

from jupyterfut.client.output import STREAMS
from jupyterfut.notebook.current import Cell
from jupyterfut.views.lines import Log, OpenLine, ending, take

INTERVAL_S = 0.1
"""Between two times that something is sent."""

FLOOD_INTERVAL_S = 1.0
FLOOD_CHARS = 4_000
"""Beyond the limit of a cell: so much of the newest text in each of these intervals."""

BURST = 20
"""Messages that may leave together after a time of silence."""

TEXTS_LIMIT = 20
DISPLAYS_LIMIT = 100
"""Of these so many may wait."""

REGION_CHARS = 20_000
"""Text of a task that clears its output, from one clear to the next."""


class Sender(Protocol):
    """Who sends messages as outputs of a cell."""

    def send(self, cell: Cell, kind: str, content: dict[str, Any]) -> None: ...


class _Line(OpenLine):
    """A task's unfinished line."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__()
        self.seen = False  # it stands on the page, or will


class _Text:
    """Text that is to be sent."""

    __slots__ = ("done", "head", "name", "open")

    def __init__(self, name: str, head: OpenLine, line: OpenLine | None) -> None:
        self.name = name
        self.head = head  # the unfinished line that stands on the page where this begins
        self.done: list[str] = []  # finished lines
        self.open = line  # the unfinished line after them

    def text(self) -> str:
        done = "".join(self.done)
        if not done:
            return "" if self.open is None else self.open.after(self.head)
        first, _, rest = done.partition("\n")
        text = f"{OpenLine(first).after(self.head, ends=True)}\n{rest}"
        return text if self.open is None else text + self.open.after(OpenLine())


class _Display(NamedTuple):
    """A display, or an update of one, that is to be sent."""

    content: dict[str, Any]
    update: bool


class _Writer:
    """A task in the middle of something: of a line, or of a region that it clears and fills again."""

    __slots__ = ("lines", "region")

    def __init__(self) -> None:
        self.lines: dict[str, _Line] = {}
        self.region: _Region | None = None


class _Region:
    """The displays of a task that clears its output."""

    __slots__ = ("at", "filled", "log", "slots", "waits")

    def __init__(self) -> None:
        self.slots: list[str] = []  # display ids
        self.at = 0  # how many were filled since the last clear
        self.filled = 0  # how many show something
        self.waits = False  # old displays stay until there are new ones
        self.log: Log | None = None  # of the last slot, if that is text

    def clear(self, *, wait: bool) -> None:
        self.at = 0
        self.log = None
        self.waits = wait

    def next(self) -> tuple[str, bool]:
        """The slot for one more thing, and whether it is on the page."""
        known = self.at < len(self.slots)
        if not known:
            self.slots.append(uuid.uuid4().hex)
        self.at += 1
        self.filled = max(self.filled, self.at)
        return self.slots[self.at - 1], known

    def surplus(self) -> list[str]:
        """Slots that show something from before the last clear, and are not needed now."""
        if self.waits and not self.at:
            return []
        left = self.slots[self.at : self.filled]
        self.filled = self.at
        return left


class Pane:
    """What tasks say under one cell. Its user holds a lock."""

    def __init__(self, sender: Sender, cell: Cell, limit: int) -> None:
        self.cell = cell
        self.pending: deque[_Text | _Display] = deque()
        self.timed = False  # somebody will call `flush`
        self._sender = sender
        self._limit = limit  # characters of text
        self._chars = 0  # of text that were sent
        self._sent_at = float("-inf")
        self._allowed = float(BURST)  # messages that may leave now
        self._writers: dict[str, _Writer] = {}
        self._stream = ""  # which one stands last, on the page or in `pending`; "": none
        self._open: _Line | None = None  # the line that it ends with
        self._open_ended = False  # its task has ended
        self._shown = OpenLine()  # what stands of it on the page
        self._unended = ""  # the stream that was sent last, if it was sent with an unfinished line

    # --- what comes in

    def take(self, key: str, parts: list[list[Any]]) -> bool:
        """A task has said something. True: it is in the middle of something."""
        for part in parts:
            kind = part[0]
            if kind in STREAMS:
                if part[1]:
                    self._take_text(key, STREAMS[kind], part[1])
            elif kind == "display":
                self._take_display(key, part[1])
            elif kind == "clear":
                self._clear(key, wait=bool(part[1]))
            elif kind == "end":
                self.ended(key)
        return key in self._writers

    def _take_text(self, key: str, name: str, text: str) -> None:
        writer = self._writers.get(key)
        if writer is None:
            writer = self._writers[key] = _Writer()
        if writer.region is not None:
            self._into_region(writer.region, text)
            return
        self._leave_lines(writer, but=name)
        item = self._text_item(name)
        line = writer.lines.get(name) or _Line()
        finished = take(line, text)
        if self._open is not None and self._open_ended and item.open is self._open:
            item.done.append(f"{self._open.text}\n")
            item.open = self._open = None
        if finished:
            item.done.append(finished)
            if item.open is line:
                item.open = self._open = None
        if line or item.open is line:  # an erased one stays the last
            writer.lines[name] = line
        else:
            writer.lines.pop(name, None)
            if not writer.lines:
                del self._writers[key]
        self._choose_open(item, line)
        if item.open is not line:
            line.seen = False

    def _choose_open(self, item: _Text, first: _Line | None) -> None:
        """If the stream ends with a finished line, somebody's unfinished one may follow."""
        if item.open is not None:
            return
        others = (writer.lines.get(item.name) for writer in self._writers.values())
        line = first or next((one for one in others if one), None)
        if line:
            item.open = self._open = line
            self._open_ended = False
            line.seen = True

    def _take_display(self, key: str, display: dict[str, Any]) -> None:
        content: dict[str, Any] = {"data": display["data"], "metadata": display.get("metadata") or {}, "transient": {}}
        name = display.get("display_id")
        if name:
            content["transient"]["display_id"] = name
        if display.get("update"):
            self._put(content, update=True)
            return
        writer = self._writers.get(key)
        if writer is not None and writer.region is not None and not name:
            writer.region.log = None
            self._into_slot(writer.region, content)
            return
        if writer is not None:
            self._leave_lines(writer)
            if not writer.lines and writer.region is None:
                del self._writers[key]
        self._close_stream()
        self._put(content, update=False)

    def _clear(self, key: str, *, wait: bool) -> None:
        writer = self._writers.setdefault(key, _Writer())
        self._leave_lines(writer)
        if writer.region is None:
            writer.region = _Region()
        writer.region.clear(wait=wait)

    def _into_region(self, region: _Region, text: str) -> None:
        if region.log is None:
            region.log = Log(REGION_CHARS)
            region.log.write(text)
            self._into_slot(region, {"data": {"text/plain": region.log.text().removesuffix("\n")}, "metadata": {}, "transient": {}})
        else:
            region.log.write(text)
            data = {"text/plain": region.log.text().removesuffix("\n")}
            self._put({"data": data, "metadata": {}, "transient": {"display_id": region.slots[region.at - 1]}}, update=True)

    def _into_slot(self, region: _Region, content: dict[str, Any]) -> None:
        slot, known = region.next()
        content["transient"]["display_id"] = slot
        if not known:
            self._close_stream()
        self._put(content, update=known)

    def _put(self, content: dict[str, Any], *, update: bool) -> None:
        """Send a display; of several updates of one display, the last."""
        name = content["transient"].get("display_id")
        if update and name:
            for i, item in enumerate(self.pending):
                if isinstance(item, _Display) and item.content["transient"].get("display_id") == name:
                    self.pending[i] = _Display(content, item.update)
                    return
        self.pending.append(_Display(content, update))

    def ended(self, key: str) -> None:
        """A task has come to its end, or will not be heard of any more."""
        writer = self._writers.pop(key, None)
        if writer is None:
            return
        self._leave_lines(writer)
        if self._open_ended and self._stream:
            waiting = any(self._stream in other.lines for other in self._writers.values())
            if waiting and self._open is not None:
                item = self._text_item(self._stream)
                item.done.append(f"{self._open.text}\n")
                item.open = self._open = None
                self._choose_open(item, None)

    # --- streams

    def _text_item(self, name: str) -> _Text:
        """Where text of this stream goes now."""
        if self._stream == name:
            last = next((item for item in reversed(self.pending) if isinstance(item, _Text)), None)
            if last is not None:
                return last
            item = _Text(name, self._shown, self._open)  # it goes on after what stands on the page
        else:
            self._close_stream()
            self._stream = name
            item = _Text(name, OpenLine(), None)
        self.pending.append(item)
        return item

    def _close_stream(self) -> None:
        """Something else comes: whatever text follows begins a line of its own."""
        last = next((item for item in reversed(self.pending) if isinstance(item, _Text)), None)
        if last is not None and last.open is not None:
            last.open = last.open.copy()  # as it is now
        self._stream = ""
        self._open = None
        self._open_ended = False
        self._shown = OpenLine()

    def _leave_lines(self, writer: _Writer, but: str = "") -> None:
        """The task goes on elsewhere: its unfinished lines stay as they are, and what it writes to them later stands alone."""
        for name in [name for name in writer.lines if name != but]:
            line = writer.lines.pop(name)
            if line is self._open:
                self._open_ended = True
            elif not line.seen:
                item = self._text_item(name)
                item.done.append(f"{line.text}\n")

    def interrupted(self) -> None:
        """The kernel itself shows something under the cell. Everything was sent before."""
        self._close_stream()
        self._unended = ""

    # --- what goes out

    def is_due(self, now: float) -> bool:
        """Whether it is time to send."""
        return now - self._sent_at >= self._interval_s() and self._allowed + (now - self._sent_at) / INTERVAL_S >= 1

    def wait_s(self, now: float) -> float:
        """How long until it is."""
        return max(INTERVAL_S / 10, self._sent_at + self._interval_s() - now)

    def _interval_s(self) -> float:
        return FLOOD_INTERVAL_S if self._chars >= self._limit else INTERVAL_S

    def flush(self, now: float, *, everything: bool = False) -> None:
        """Send what may be sent now, or everything."""
        for writer in self._writers.values():
            if writer.region is not None:
                for slot in writer.region.surplus():
                    self._put({"data": {"text/plain": ""}, "metadata": {}, "transient": {"display_id": slot}}, update=True)
        if not self.pending:
            return
        self._squeeze()
        self._allowed = min(float(BURST), self._allowed + (now - self._sent_at) / INTERVAL_S)
        self._sent_at = now
        while self.pending and (everything or self._allowed >= 1):
            item = self.pending.popleft()
            self._allowed = max(0.0, self._allowed - 1)
            if isinstance(item, _Text):
                self._send_text(item)
            elif item.update:
                self._sender.send(self.cell, "update_display_data", item.content)
            else:
                self._unended = ""
                self._sender.send(self.cell, "display_data", item.content)

    def _send_text(self, item: _Text) -> None:
        text = item.text()
        if item.name == self._stream and not any(isinstance(other, _Text) for other in self.pending):
            self._shown = OpenLine() if item.open is None else item.open.copy()
        room = max(FLOOD_CHARS, self._limit - self._chars)
        if len(text) > room:
            begin = text[: max(0, room - FLOOD_CHARS)]
            begin = begin[: begin.rfind("\n") + 1]
            rest = ending(text[len(begin) :], FLOOD_CHARS)
            left_out = len(text) - len(begin) - len(rest)
            text = f"{begin}... {left_out:,} characters left out (`Future.log` has more) ...\n{rest}"
        if not text:
            return
        if self._unended == item.name and not item.head:
            text = f"\n{text}"  # nothing has come between, after all: the front end would go on in that line
        self._unended = item.name if item.open else ""
        self._chars += len(text)
        self._sender.send(self.cell, "stream", {"name": item.name, "text": text})

    def _squeeze(self) -> None:
        """If more waits than anybody could follow: of many short pieces of two streams in turn make one of each, and leave displays out."""
        if sum(isinstance(item, _Text) for item in self.pending) > TEXTS_LIMIT:
            self._close_stream()
            squeezed: list[_Text | _Display] = []
            texts: dict[str, _Text] = {}
            for item in self.pending:
                if not isinstance(item, _Text):
                    texts = {}
                elif item.name in texts:
                    _join(texts[item.name], item)
                    continue
                else:
                    texts[item.name] = item
                squeezed.append(item)
            self.pending = deque(squeezed)
        displays = [item for item in self.pending if isinstance(item, _Display) and not item.update]
        if len(displays) > DISPLAYS_LIMIT:
            self._close_stream()
            left_out = displays[DISPLAYS_LIMIT // 2 : -DISPLAYS_LIMIT // 2]
            said = _Text("stdout", OpenLine(), None)
            said.done.append(f"... {len(left_out):,} displays left out ...\n")
            unwanted = {id(item) for item in left_out}
            kept = list(self.pending)
            at = next(i for i, item in enumerate(kept) if id(item) in unwanted)
            self.pending = deque(itertools.chain(kept[:at], [said], (item for item in kept[at:] if id(item) not in unwanted)))


def _join(text: _Text, more: _Text) -> None:
    if text.open:
        text.done.append(f"{text.open.text}\n")
    text.done += more.done
    text.open = more.open

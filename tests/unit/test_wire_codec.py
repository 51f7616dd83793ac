"""Messages to bytes and back, and what is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyterfut.errors import ProtocolError, SerializationError
from jupyterfut.wire import messages as ms
from jupyterfut.wire.codec import Encoder, decode
from jupyterfut.wire.payload import Blob, Local

FAILURE = ms.Failure("ValueError", "no", b"pickle", "Traceback ...", "k")
OPTIONS = ms.TaskOptions(priority=2.5, retries=1, resources={"GPU": 1}, workers=["w"], allow_other_workers=True)

SAMPLES = [
    ms.ClientHello("client-1", "me", False),
    ms.Functions(["f"], [b"pickle"], ["inc"]),
    ms.ForgetFunctions(["f"]),
    ms.SubmitTasks("f", ["a", "b"], [b"1", b"2"], [["x"], []], [], OPTIONS),
    ms.WantKeys(["a"]),
    ms.ReleaseKeys([]),
    ms.CancelKeys(["a"], True),
    ms.RetryKeys(["a"]),
    ms.FireAndForget(["a"]),
    ms.Request(1, "queue_get", {"name": "q", "timeout_s": None, "value": b"x"}),
    ms.Reply(1, {"a": [1, 2.5, None]}, None),
    ms.Reply(1, None, FAILURE),
    ms.Goodbye("done"),
    ms.Welcome(True, {"inline_bytes": 16384}),
    ms.KeysReady(["a", "b"], [b"1", None], ["int", "list"], [28, 10**12]),
    ms.KeysFailed(["a"], [FAILURE]),
    ms.KeysCancelled(["a"], "why"),
    ms.KeysLost(["a"], "why"),
    ms.KeysPending(["a"]),
    ms.Compute("f", ["a"], [7], [b"1"], [[-1.5, 3]], [["x"]], {"x": b"v"}, {"y": ["tcp://h:1"]}, None, False, ""),
    ms.CancelTasks(["a"], [7]),
    ms.StealTasks(["a"], [7]),
    ms.ReleaseData(["a"]),
    ms.Plugins(1, ["old"], {"new": b"1"}, False),
    ms.Observe({"": 30, "training": 10}, True),
    ms.Observe({}, False, 0.1, 0.005, 1.0, 20, 0.5),
    ms.Ran(5.5, 0, [0, -1], ["inc", "transfer"], [0, 1], [1.0, 2.0], [1.5, 3.0], [0.4, 1.0], [3, 1], [1, 0], [84, 8000], ["", "x-1"]),
    ms.Sampled(0.01, [["inc", "a.py", 3]], {"inc": [[0, 1], [-1, 0], [5, 5]]}),
    ms.Logged(5.5, 2, [5.0], [20], ["jupyterfut.worker"], ["it goes on"], [""]),
    ms.WorkerHello("tcp://h:1", "w", 2, 0, {"GPU": 1.0}, 12, ["a"], [3], ["int"], {"host": "h"}),
    ms.TasksDone(["a"], [7], [b"1"], ["int"], [28], [0.25], {"a": ["x"]}),
    ms.TasksFailed(["a"], [7], [FAILURE], [0.5]),
    ms.TasksReturned(["a"], [7], [[["x", "tcp://h:1"]]]),
    ms.StealAnswer(["a"], [7], [True]),
    ms.TaskBlocked("a", 7),
    ms.TaskUnblocked("a", 7),
    ms.ReplicasAdded(["a"]),
    ms.Replicate(["a", "b"], {"a": b"v"}, {"b": ["tcp://h:1"]}),
    ms.ReplicasFailed(["b"], [[["b", "tcp://h:1"]]]),
    ms.AddData(1, "client-1", ["a"], [3], ["int"]),
    ms.Heartbeat({"cpu": 0.5}),
    ms.Heartbeat({"cpu": 0.5}, 12.5),
    ms.AsClient("client-2", ms.WantKeys(["a"])),
    ms.NannyHello("n", 3, {}),
    ms.WorkerDied("n", 3, -9, "killed"),
    ms.GetData(1, ["a"]),
    ms.DataSent(1, ["a"], [b"1"], []),
    ms.PutData(1, "client-1", ["a", "b"], [b"1", b"2"], ["int", "str"], [[], [1, 5, 6, 7]]),
    ms.MemoryRead("proof"),
    ms.DataTaken(1),
    ms.DataStored(1, FAILURE),
    ms.ActorCalls("counter", [1, 2], ["add", "n"], [b"args", None], [["x"], []]),
    ms.ActorAnswers([1, 2], [b"1", b""], None, []),
    ms.Published("progress", [b"1", b"2"]),
    ms.Taken([3]),
    ms.Delivery(7, [b"value"], ["x"]),
    ms.Notify(["print", "log"], [{"text": "hi", "raw": b"x"}, None]),
    ms.Notices(["print"], [[1, 2.5, "a"]]),
    ms.Abandon([3, 4]),
]


def through(*messages: ms.Message) -> list[ms.Message]:
    body, buffers = Encoder().encode(list(messages))
    return decode(body, buffers)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was(message: ms.Message) -> None:
    (back,) = through(message)
    assert back == message
    assert type(back) is type(message)


def test_there_is_a_sample_of_every_kind() -> None:
    assert {type(message) for message in SAMPLES} == set(ms.KINDS.values())


def test_nested_named_tuples_come_back_as_such() -> None:
    by_kind = {type(message): message for message in SAMPLES}
    submit, failed, shared = through(by_kind[ms.SubmitTasks], by_kind[ms.TasksFailed], by_kind[ms.AsClient])
    assert type(submit.options) is ms.TaskOptions
    assert type(failed.failures[0]) is ms.Failure
    assert type(shared.message) is ms.WantKeys


def test_a_blob_points_into_the_frames_buffers() -> None:
    a, b = bytes(100_000), memoryview(bytearray(b"b" * 70_000))
    body, buffers = Encoder().encode([ms.Reply(1, [Blob(b"head", [a]), Blob(b"other", [b, a])], None)])
    assert buffers[0] is a
    assert buffers[1] is b
    assert len(body) < 200
    (back,) = decode(body, buffers)
    assert [(p.head, p.buffers) for p in back.value] == [(b"head", [a]), (b"other", [b, a])]


def test_a_large_pickle_travels_as_a_buffer_too() -> None:
    head = bytes(200_000)
    body, buffers = Encoder().encode([ms.Reply(1, Blob(head, []), None)])
    assert buffers == [head]
    assert decode(body, buffers)[0].value.head == head


def test_a_local_is_packed_by_whoever_can() -> None:
    encoder = Encoder(pack_local=lambda local: repr(local.value).encode())
    body, buffers = encoder.encode([ms.Reply(1, Local([1], 100), None)])
    assert decode(body, buffers)[0].value == b"[1]"
    with pytest.raises(SerializationError, match="leave this process"):
        Encoder().encode([ms.Reply(1, Local([1], 100), None)])


@pytest.mark.parametrize("value", [2**70, object(), "\ud800", {"a": 1j}])
def test_what_messagepack_cannot_carry_is_the_senders_error(value: object) -> None:
    encoder = Encoder()
    with pytest.raises(SerializationError):
        encoder.encode([ms.Reply(1, value, None)])
    assert decode(encoder.encode([ms.WantKeys(["x"])])[0]) == [ms.WantKeys(["x"])]  # and the next message is not spoilt


def test_only_messages_are_sent() -> None:
    with pytest.raises(TypeError, match="not a message: tuple"):
        Encoder().encode([("x",)])


def refused(*rows: object, buffers: tuple[bytes, ...] = ()) -> str:
    with pytest.raises(ProtocolError) as caught:
        decode(msgpack.packb(list(rows)), buffers)
    return str(caught.value)


def test_wrong_shapes_are_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match="list of messages"):
        decode(msgpack.packb(5))
    assert "unknown kind of message: 99" in refused([99])
    assert "number of its kind" in refused([True])
    assert "WantKeys has 1 fields, not 2" in refused([5, [], []])
    assert "WantKeys.keys: a list of str expected" in refused([5, ["a", 1]])
    assert "ClientHello.resume: bool expected, not int" in refused([1, "c", "n", 1, 0, {}])
    assert "CancelTasks.attempts: 1 rows, where keys has 2" in refused([31, ["a", "b"], [1], False])
    assert "TasksDone.nbytes" in refused([41, ["a"], [1], [None], ["int"], ["3"], [0.1], {}])
    assert "TaskOptions has 7 fields" in refused([4, "f", [], [], [], [], [1]])
    assert "list of lists of str" in refused([4, "f", ["a"], [b""], [[1]], [], [0, 0, None, None, False, False]])
    assert "AsClient inside AsClient" in refused([50, "c", [50, "c", [5, []]]])
    assert "pairs" in refused([43, ["a"], [1], [[["x"]]]])
    assert "string keys" in refused([49, {1: 2}, 0.0])


def test_rows_without_dependencies_need_no_lists() -> None:
    message = ms.SubmitTasks("f", ["a", "b"], [b"", b""], [], [], ms.TaskOptions())
    assert through(message) == [message]


def test_blobs_must_lie_inside_their_frame() -> None:
    def blob(data: bytes) -> str:
        return refused([11, 1, msgpack.ExtType(1, data), None], buffers=(b"one",))

    assert "in a frame that has 1" in blob(b"\0\0\0\0\0\0\0\2\0head")
    assert "in a frame that has 1" in blob(b"\xff\xff\xff\xff\0\0\0\1\0")
    assert "without its header" in blob(b"\0")
    assert "in a frame that has 1" in blob(b"\0\0\0\0\0\0\0\0\1")
    assert "unknown extension 5" in refused([11, 1, msgpack.ExtType(5, b""), None])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")) | st.integers(0, 9), inner),
    max_leaves=20,
)


@given(values)
def test_any_plain_value_can_be_an_answer(value: object) -> None:
    assert through(ms.Reply(1, value, None)) == [ms.Reply(1, value, None)]

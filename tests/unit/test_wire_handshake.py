"""Two handshakes joined by a fake wire."""

from __future__ import annotations

import pytest

from jupyterfut.errors import HandshakeError, JupyterfutError, ProtocolError, WrongToken
from jupyterfut.wire.handshake import MAGIC, Handshake


def side(connecting: bool, token: str | None = "secret", protocol: int = 1, **hello: object) -> Handshake:
    return Handshake(connecting=connecting, token=token, hello={"jupyterfut": "1.0", **hello}, nonce=bytes([connecting]) * 32, protocol=protocol)


def meet(a: Handshake, b: Handshake, step: int = 10_000) -> list[JupyterfutError | None]:
    """Let them talk, in pieces of `step` bytes; the error of each."""
    to = {a: b"", b: a.start()}
    errors: dict[Handshake, JupyterfutError | None] = {a: None, b: None}
    while any(to.values()):
        for me, other in ((b, a), (a, b)):
            piece, to[me] = to[me][:step], to[me][step:]
            if not piece or errors[me]:
                continue
            try:
                to[other] += me.received(piece)
            except JupyterfutError as error:
                errors[me] = error
                to[other] += me.last_words
    return [errors[a], errors[b]]


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("token", ["secret", None])
def test_both_learn_what_the_other_says_of_itself(step: int, token: str | None) -> None:
    a, b = side(True, token, name="a"), side(False, token, name="b")
    assert meet(a, b, step) == [None, None]
    assert a.done
    assert b.done
    assert (a.hello["name"], b.hello["name"]) == ("b", "a")


def test_what_follows_the_handshake_is_kept() -> None:
    a, b = side(True), side(False)
    proof = a.received(b.received(a.start()))
    b.received(a.received(b.received(proof)) + b"first frame")
    assert b.rest == b"first frame"


@pytest.mark.parametrize(("mine", "theirs"), [("wrong", "secret"), (None, "secret"), ("secret", None)])
def test_a_wrong_token_is_one_clear_error_on_both_sides(mine: str | None, theirs: str | None) -> None:
    a, b = side(True, mine), side(False, theirs)
    errors = meet(a, b)
    assert [type(error) for error in errors] == [WrongToken, WrongToken]
    assert "token" in str(errors[0])
    assert b.hello == {}  # nothing that came after the proof was looked at


def test_whoever_listens_must_prove_the_token_too() -> None:
    a, liar = side(True), side(False, "guess")
    a.received(MAGIC + bytes(32))
    with pytest.raises(WrongToken, match="does not know the token"):
        a.received(liar._prove(b"listen"))


def test_a_proof_cannot_be_sent_back() -> None:
    a = side(True)
    proof = a.received(MAGIC + bytes(32))
    with pytest.raises(WrongToken):
        a.received(proof[:32])


def test_another_protocol_is_one_clear_error_on_both_sides() -> None:
    errors = meet(side(True, protocol=1), side(False, protocol=2))
    assert [type(error) for error in errors] == [HandshakeError, HandshakeError]
    assert "speaks protocol 2, here it is protocol 1" in str(errors[0])
    assert "jupyterfut 1.0" in str(errors[1])


@pytest.mark.parametrize("garbage", [b"G", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(100)])
def test_garbage_is_refused_at_its_first_byte(garbage: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a jupyterfut peer"):
        side(False).received(garbage)


@pytest.mark.parametrize("hello", [b"\0\1\xff\xff\xff\xff", b"\0\1\0\0\0\1[", b"\0\1\0\0\0\2[]", b"\0\1\0\0\0\1\xff"])
def test_a_bad_hello_is_refused(hello: bytes) -> None:
    a, b = side(True), side(False)
    proof = a.received(b.received(a.start()))
    with pytest.raises(ProtocolError, match="hello"):
        b.received(proof[:32] + hello)


def test_who_is_left_alone_says_so() -> None:
    a = side(True)
    assert "closed the connection" in str(a.ended())
    a.received(MAGIC + bytes(32))
    assert "is it jupyterfut" in str(a.ended())

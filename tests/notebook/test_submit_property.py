"""Any cell, run as `%%submit` runs it, leaves the names and values that plain `exec` leaves, and the notebook's own as they were.

Two things are different, and meant: a name that nothing defines is an error even where the cell would not have come by; and a name that the cell did
not assign on its way does not keep the notebook's value, its future says so.
"""

from __future__ import annotations

import ast
import builtins
import copy
import textwrap
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from jupyterfut.notebook.submit.capture import capture
from jupyterfut.notebook.submit.cells import names_of
from jupyterfut.notebook.submit.code import CellCode, wanted
from jupyterfut.notebook.submit.run import CellResult, CellSpec, Delivery, NotAssigned, run_cell

NAMES = ["a", "b", "n", "x", "y", "xs", "d", "k"]
"""Names that the cells use. `x` and `y` are nobody's before the cell."""

SETUP = """
a, b, n, k = 1, 2, 3, 4
xs = [5, 6]
d = {"k": 7}
def f(v=0):
    return v + k if isinstance(v, int) else k
def bump():
    global n
    n += 1
    return n
class Box:
    size = k
    def get(self):
        return self.size + f(1)
"""

name = st.sampled_from(NAMES)
number = st.integers(0, 3).map(str)


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda two: f"({two[0]}, {two[1]})"),
        pair.map(lambda two: f"(({two[0]}) == ({two[1]}))"),
        pair.map(lambda two: f"(({two[0]}) and ({two[1]}))"),
        st.tuples(name, inner).map(lambda two: f"({two[0]} := {two[1]})"),
        st.tuples(inner, inner, inner).map(lambda three: f"(({three[0]}) if ({three[1]}) else ({three[2]}))"),
        inner.map(lambda one: f"f({one})"),
        st.tuples(name, name, inner).map(lambda three: f"[({three[0]}, {three[2]}) for {three[0]} in range(2) if {three[1]} or True]"),
        st.tuples(name, inner).map(lambda two: f"(lambda {two[0]}=1: {two[1].replace(':=', '==')})()"),
        st.tuples(name, name).map(lambda two: f"{{{two[0]!r}: {two[0]}, 'z': f'{{{two[1]}}}'}}"),
        st.sampled_from(["bump()", "Box().get()", "[q + w for q in range(2) for w in range(q)]", "sum(xs)"]),
        st.sampled_from(["d.get('k')", "{*xs, 1}", "len([*xs, k])"]),
    )


expression = st.recursive(st.one_of(name, number), combine, max_leaves=4)

simple = st.one_of(
    st.tuples(name, expression).map(lambda two: f"{two[0]} = {two[1]}"),
    st.tuples(name, name, expression).map(lambda three: f"{three[0]}, *{three[1]} = 1, {three[2]}"),
    st.tuples(name, number).map(lambda two: f"{two[0]} += {two[1]}"),
    expression.map(lambda one: f"d['new'] = {one}"),
    expression.map(lambda one: f"xs[0] = {one}"),
    st.tuples(name, expression).map(lambda two: f"{two[0]}: int = {two[1]}"),
    name.map(lambda one: f"del {one}"),
    name.map(lambda one: f"import math as {one}; {one} = {one}.floor(2.5)"),
    expression,
    st.sampled_from(["pass", "del d['k']", "xs[:1] = []", "assert True", "d |= {'more': 1}", "raise KeyError('told')"]),
)


def indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def nest(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    block = st.lists(inner, min_size=1, max_size=3).map("\n".join).map(indented)
    two = st.tuples(expression, block, block)
    return st.one_of(
        two.map(lambda t: f"if {t[0]}:\n{t[1]}\nelse:\n{t[2]}"),
        st.tuples(name, block, block).map(lambda t: f"for {t[0]} in range(2):\n{t[1]}\nelse:\n{t[2]}"),
        st.tuples(name, block).map(lambda t: f"for {t[0]} in range(3):\n    if {t[0]} == 1:\n        break\n{t[1]}"),
        st.tuples(block, block).map(lambda t: f"while True:\n{t[0]}\n    break\nelse:\n{t[1]}"),
        st.tuples(block, name, block).map(lambda t: f"try:\n{t[0]}\nexcept KeyError as err:\n    {t[1]} = str(err)\n{t[2]}"),
        st.tuples(block, block).map(lambda t: f"try:\n{t[0]}\nexcept Exception:\n    caught = 1\nelse:\n{t[1]}"),
        st.tuples(block, block).map(lambda t: f"try:\n{t[0]}\nfinally:\n{t[1]}"),
        st.tuples(name, block, expression).map(
            lambda t: f"def g():\n    {t[0]} = 0\n{t[1]}\n    return {t[2]}\ngot = g()" if "del " not in t[1] else f"{t[0]} = {t[2]}"
        ),
        st.tuples(name, block).map(lambda t: f"def h():\n    global {t[0]}\n    {t[0]} = 1\nh()\n" + textwrap.dedent(t[1])),
        st.tuples(name, block).map(lambda t: f"class C:\n    {t[0]} = 0\n{t[1]}\n    def m(self):\n        return f(1), k\nmade = C().m()"),
        st.tuples(expression, name, block).map(lambda t: f"match {t[0]}:\n    case [{t[1]}, *_]:\n{indented(t[2])}\n    case _:\n        other = 1"),
        st.tuples(expression, name, block).map(lambda t: f"from contextlib import nullcontext\nwith nullcontext({t[0]}) as {t[1]}:\n{t[2]}"),
    )


statement = st.recursive(simple, nest, max_leaves=5)
cells = st.lists(statement, min_size=1, max_size=4).map("\n".join)


def notebook() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    exec(SETUP, namespace)
    return namespace


def data(namespace: dict[str, Any]) -> dict[str, Any]:
    """The names that hold plain data, whose values can be compared."""
    kinds = (int, str, list, dict, set, tuple, type(None), bool)
    return {name: copy.deepcopy(value) for name, value in namespace.items() if type(value) in kinds and not name.startswith("__")}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; lists inside themselves, by what they look like."""
    try:
        return bool(one == other)
    except RecursionError:
        return repr(one) == repr(other)


def submitted(source: str, namespace: dict[str, Any]) -> CellResult:
    """What `%%submit` does with a cell, without a cluster."""
    names = names_of(ast.parse(source), source)
    code = CellCode(source, "<cell>", 0, names, False, source)
    values = wanted(code, namespace, {}, vars(builtins))
    captured = capture(values, namespace)
    spec = CellSpec(source, "<cell>", 0, False, names.writes, names.changed, by_reference=False)
    return run_cell(spec, Delivery(captured.data, [], [], []))


@settings(max_examples=100, deadline=None)
@given(cells)
@example("def g():\n    global k\n    k = 9\n    return f()\nx = g()")
@example("try:\n    raise KeyError('told')\nexcept KeyError as err:\n    a = err.args\nb = 'err' in globals()")
@example("y = [x := v for v in xs]\nd['new'] = x")
@example("class C:\n    k = k + 1\n    n = [k for _ in range(2)]\nx = C.n")
@example("del k\nx = 1")
@example("xs += [f(1)]\nn = bump()")
def test_a_cell_leaves_what_exec_leaves(source: str) -> None:
    try:
        compile(source, "<cell>", "exec")
    except SyntaxError:
        return  # `global` after a use, and the like
    plain, mine = notebook(), notebook()
    before = data(mine)
    plain_names = {*plain, *vars(builtins)}
    plain_error = mine_error = None
    result = None
    try:
        exec(source, plain)
    except Exception as error:
        plain_error = error
    try:
        result = submitted(source, mine)
    except Exception as error:
        mine_error = error
    if isinstance(mine_error, NameError) and mine_error.name not in plain_names and result is None:
        return
    assert type(mine_error) is type(plain_error), f"{mine_error!r} instead of {plain_error!r} in\n{source}"
    assert same(data(mine), before), "the notebook's own values are untouched"
    if result is None:
        return
    after = data(plain)
    written = names_of(ast.parse(source), source).writes
    for name in written:
        if name in plain:
            if name in after and (name in result.values or after[name] != before.get(name, "gone")):
                assert same(result[name], after[name]), f"{name} in\n{source}"
            continue
        try:
            result[name]
        except NotAssigned:
            continue
        raise AssertionError(f"{name} is there, and not after exec, in\n{source}")
    called = {"n"} if "bump" in source else set()  # a function of the notebook assigns it, which no reader of the cell can see
    if "def " in source:
        called |= {"d", "xs"}  # changed in place inside a function: as with `xs.append`, that counts as no assignment
    changed = {name for name in before if not same(before[name], after.get(name, "gone"))}
    assert changed - called <= set(written), f"missing {changed - set(written)} in\n{source}"

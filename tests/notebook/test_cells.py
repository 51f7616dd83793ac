"""What a cell reads and writes, form by form. The table is the specification; forms of newer Pythons join it where they can be parsed."""

from __future__ import annotations

import ast
import builtins
import sys
import textwrap

import pytest

from jupyterfut.notebook.submit.cells import CellNames, names_of


def look(source: str) -> CellNames:
    source = textwrap.dedent(source).strip("\n")
    return names_of(ast.parse(source), source)


def words(text: str) -> set[str]:
    return set(text.split())


def reads(names: CellNames) -> set[str]:
    return {name for name in names.reads if not hasattr(builtins, name)}


# (what it shows, cell, names read, names written)
FORMS = [
    ("assignment", "x = a", "a", "x"),
    ("chain of assignments", "x = y = a", "a", "x y"),
    ("unpacking", "(x, [y, *z]), w = a", "a", "x y z w"),
    ("starred target", "first, *rest = a", "a", "first rest"),
    ("starred in a call", "f(*a, **b)", "f a b", ""),
    ("starred in a display", "x = [*a, *b]; y = {**c}", "a b c", "x y"),
    ("used after it was bound", "x = 1\ny = x", "", "x y"),
    ("used before it was bound", "y = x\nx = 1", "x", "x y"),
    ("bound from itself", "x = x + 1", "x", "x"),
    ("augmented", "x += a", "x a", "x"),
    ("augmented item", "x[i] += a", "x i a", "x"),
    ("augmented attribute", "x.y += a", "x a", "x"),
    ("annotated with a value", "x: int = a", "a", "x"),
    ("annotated without a value binds nothing", "x: int", "", ""),
    ("item store", "df['a'] = v", "df v", "df"),
    ("item store, deep", "df.loc[i, 'a'].b = v", "df i v", "df"),
    ("attribute store", "m.weight = v", "m v", "m"),
    ("store into the result of a call", "f(x).y = v", "f x v", ""),
    ("store into what the cell made", "d = {}\nd['k'] = v", "v", "d"),
    ("item store in an unpacking", "a[0], b = v", "a v", "a b"),
    ("delete", "del x", "x", "x"),
    ("delete several", "del (x, y), z", "x y z", "x y z"),
    ("delete an item", "del x[k]", "x k", "x"),
    ("delete an attribute", "del x.y", "x", "x"),
    ("use after delete", "x = 1\ndel x\ny = x", "x", "x y"),
    ("import", "import os", "", "os"),
    ("import a submodule", "import os.path, xml.dom as d", "", "os d"),
    ("from import", "from math import pi, sin as s", "", "pi s"),
    ("from the future", "from __future__ import annotations", "", ""),
    ("with", "with open(p) as f:\n    t = f.read()", "p", "f t"),
    ("with, several and unpacked", "with a() as (x, y), b(x) as z.w:\n    pass", "a b z", "x y z"),
    ("for", "for i in items:\n    last = i", "items", "i last"),
    ("for into an item", "for d['k'] in items:\n    pass", "d items", "d"),
    ("for: the body may never run", "for i in items:\n    x = i\ny = x", "items x", "i x y"),
    ("for, used in the loop", "for i in items:\n    x = i\n    y = x", "items", "i x y"),
    ("for else", "for i in items:\n    break\nelse:\n    x = 1\ny = x", "items x", "i x y"),
    ("accumulate what the cell began", "t = 0\nfor i in items:\n    t = t + i\nt", "items", "i t"),
    ("accumulate what the notebook began", "for i in items:\n    t = t + i", "items t", "i t"),
    ("while", "while x > 0:\n    x = x - 1", "x", "x"),
    ("while with walrus", "while (chunk := f()):\n    n = len(chunk)\nchunk", "f", "chunk n"),
    ("endless while ends at a break", "while True:\n    x = f()\n    if x:\n        break\nx", "f", "x"),
    ("continue leaves the block", "for i in items:\n    if i:\n        continue\n    else:\n        x = 1\n    x", "items", "i x"),
    ("if binds on one side", "if c:\n    x = 1\ny = x", "c x", "x y"),
    ("if binds on both sides", "if c:\n    x = 1\nelse:\n    x = 2\ny = x", "c", "x y"),
    ("if, the other side raises", "if c:\n    x = 1\nelse:\n    raise E\ny = x", "c E", "x y"),
    ("walrus", "if (n := f(a)) > 1:\n    m = n", "f a", "n m"),
    ("walrus in and", "ok = a and (n := b)\nm = n", "a b n", "ok n m"),
    ("walrus in a comprehension", "ys = [last := f(v) for v in xs]\nlast", "f xs last", "ys last"),
    ("walrus in a comparison", "a < (n := b)\nm = n", "a b", "n m"),
    ("conditional expression", "x = a if c else b", "a b c", "x"),
    ("conditional walrus", "(n := 1) if c else (n := 2)\nm = n", "c", "n m"),
    ("comprehension", "ys = [f(v, w) for v in xs if g(v)]", "f w xs g", "ys"),
    ("comprehension's first iterable is outside", "ys = [x for x in x]", "x", "ys"),
    ("nested comprehension", "ys = [a + b for a in xs for b in a if b]", "xs", "ys"),
    ("comprehension in a comprehension", "ys = [[a * b for a in row] for row in rows]", "b rows", "ys"),
    ("comprehension with unpacking", "d = {k: v for k, (v, *_) in xs.items()}", "xs", "d"),
    ("set and generator", "s = {v for v in a}; g = (v for v in b)", "a b", "s g"),
    ("comprehension names do not leak", "ys = [v for v in xs]\nz = v", "xs v", "ys z"),
    ("async comprehension", "ys = [v async for v in aiter(xs)]", "xs", "ys"),
    ("top-level await", "x = await f(a)\nasync with b as c:\n    pass\nasync for d in e:\n    pass", "f a b e", "x c d"),
    ("lambda", "f = lambda x, y=d: x + y + z", "d z", "f"),
    ("lambda in a comprehension", "fs = [lambda: v + w for v in xs]", "w xs", "fs"),
    ("function", "def f(x, *a, k=d, **kw):\n    loc = x\n    return loc + g", "d g", "f"),
    ("function's annotation", "def f(x: int) -> str:\n    return x", "", "f"),
    ("decorated function", "@cache\ndef f():\n    return x", "cache x", "f"),
    ("function uses what comes later", "def f():\n    return g()\ndef g():\n    return 1", "", "f g"),
    ("function called too early", "def f():\n    return x\ny = f()\nx = 1", "x", "f x y"),
    ("function called when all is there", "def f():\n    return x\nx = 1\ny = f()", "", "f x y"),
    ("functions call each other", "def f():\n    return g()\ndef g():\n    return x\ny = f()\nx = 1", "x", "f g x y"),
    ("two functions of one name", "if c:\n    def f(): return a\nelse:\n    def f(): return b\nf()", "c a b", "f"),
    ("function in a block", "if c:\n    def f(a,\n          b):\n        return a + x", "c x", "f"),
    ("recursion", "def f(n):\n    return f(n - 1)", "", "f"),
    ("nested functions", "def f(a):\n    def g(b):\n        nonlocal a\n        a = b + c\n    return g", "c", "f"),
    ("global in a function", "def f():\n    global n\n    n = a\nf()", "a", "f n"),
    ("global import in a function", "def f():\n    global np\n    import numpy as np", "", "f np"),
    ("global that is read", "def f():\n    global n\n    n += 1\nf()", "n", "f n"),
    ("async function", "async def f(x):\n    async with x as y:\n        return [z async for z in y if z in w]", "w", "f"),
    ("generator function", "def f():\n    yield from a", "a", "f"),
    ("class", "class C(B, metaclass=M):\n    k = a\n    l = k\n    def m(self):\n        return self.k + g", "B M a g", "C"),
    ("class body sees its own names, methods do not", "class C:\n    k = 1\n    def m(self):\n        return k", "k", "C"),
    ("class body reads what it then binds", "class C:\n    x = x", "x", "C"),
    ("class and super", "class C(B):\n    def m(self):\n        super().m()\n        return __class__", "B", "C"),
    ("class in a function", "def f():\n    class C:\n        x = y\n    return C", "y", "f"),
    ("class in a class", "class C:\n    a = 1\n    class D:\n        b = a", "a", "C"),
    ("comprehension in a class", "class C:\n    xs = [1]\n    ys = [x + k for x in xs]", "k", "C"),
    ("global in a class", "class C:\n    global n\n    n = 1\nm = n", "", "C n m"),
    ("property", "class C:\n    @property\n    def p(self):\n        return helper()\ndef helper():\n    return 1", "", "C helper"),
    ("handler in a class", "class C:\n    a = 1\n    try:\n        pass\n    except E as e:\n        b = a, e", "E", "C"),
    ("except as", "try:\n    x = f()\nexcept E as e:\n    x = str(e)\ny = x", "f E", "x y"),
    ("except as is gone afterwards", "try:\n    f()\nexcept E as e:\n    pass\ny = e", "f E e", "y"),
    ("except with a tuple", "try:\n    f()\nexcept (A, B.C):\n    pass", "f A B", ""),
    ("try may stop half way", "try:\n    x = f()\nexcept E:\n    pass\ny = x", "f E x", "x y"),
    ("try else", "try:\n    f()\nexcept E:\n    raise\nelse:\n    x = 1\ny = x", "f E", "x y"),
    ("finally", "try:\n    f()\nfinally:\n    x = 1\ny = x", "f", "x y"),
    ("finally sees only what is certain", "try:\n    x = f()\nfinally:\n    y = x", "f x", "x y"),
    ("except star", "try:\n    f()\nexcept* E as g:\n    h(g)", "f E h", ""),
    (
        "match captures",
        "match v:\n    case [a, *b]:\n        c = a\n    case {'k': d, **e}:\n        c = d\n    case _:\n        c = 0\nc",
        "v",
        "a b c d e",
    ),
    (
        "match classes, values, guards",
        "match v:\n    case P(x=0, y=q) as p if q > lim:\n        pass\n    case K.A | K.B:\n        pass",
        "v P lim K",
        "q p",
    ),
    ("match may match nothing", "match v:\n    case 1:\n        x = 1\ny = x", "v x", "x y"),
    ("f-string", "s = f'{a:{w}} {b!r}'", "a w b", "s"),
    ("slices", "x = a[i:j, ...]", "a i j", "x"),
    ("assert", "assert a, b", "a b", ""),
    ("builtins are no reads of the notebook", "x = len(range(3))", "", "x"),
    ("a builtin's name can be bound", "list = a\nx = list", "a", "list x"),
    ("global that is deleted in a function", "def f():\n    global n\n    del n\nf()", "n", "f n"),
    ("nothing", "", "", ""),
    ("starred index", "x = a[*i, j]\nb[*i] = j", "a i j b", "x b"),
    ("starred tuple", "for x in *a, *b:\n    pass", "a b", "x"),
    ("starred argument type", "def f(*args: *Ts): pass", "Ts", "f"),
    ("with in parentheses", "with (a() as x, b(x) as y):\n    pass", "a b", "x y"),
    ("async with, async for", "async def f(s):\n    async with s as t:\n        async for u in t:\n            yield u, v", "v", "f"),
    ("async comprehension with await", "ys = [await g(v) async for v in xs if await h(v)]", "g xs h", "ys"),
    ("generator that awaits", "ys = (await g(v) for v in xs)", "g xs", "ys"),
    ("walrus in a nested comprehension", "ys = [[(n := v) for v in row] for row in rows]\nz = n", "rows n", "ys n z"),
    ("walrus in a comprehension's condition", "any((hit := v) > k for v in xs)\nhit", "k xs hit", "hit"),
    ("walrus in an f-string", "s = f'{(n := a)!r:>{w}}{n}'", "a w", "s n"),
    ("walrus in a lambda stays there", "f = lambda: (n := a)\nm = n", "a n", "f m"),
    ("walrus in a default", "def f(x=(n := a)): return x\nm = n", "a", "f n m"),
    ("walrus in a decorator", "@(d := deco)\ndef f(): pass\nd", "deco", "d f"),
    ("comprehension in a class sees only the first iterable", "class C:\n    k = [1]\n    a = [v for v in k]\n    b = [k for v in a]", "k", "C"),
    ("lambda in a class", "class C:\n    k = 1\n    f = lambda self: k", "k", "C"),
    ("nonlocal in a class in a function", "def f():\n    n = a\n    class C:\n        nonlocal n\n        n = b\n    return n, C", "a b", "f"),
    ("global read, then bound, in nested functions", "def f():\n    def g():\n        global n\n        n = n + 1\n    g()\nf()", "n", "f n"),
    ("delete in a loop", "for v in xs:\n    w = v\n    del w", "xs", "v w"),
    ("delete in unpacking", "del [a, (b, c[0])]", "a b c", "a b c"),
    ("delete and bind again", "del x\nx = 1\ny = x", "x", "x y"),
    ("annotated item", "d['k']: int = v", "d v", "d"),
    ("annotation with a string", "x: 'Later' = a", "a", "x"),
    (
        "star in match, mapping rest, or-pattern",
        "match v:\n    case [1, *rest] | [*rest, 2]:\n        y = rest\n    case {'k': 1, **kw}:\n        z = kw",
        "v",
        "rest y kw z",
    ),
    ("match on a dotted value and a negative number", "match v:\n    case E.A | -1 | 1+2j:\n        y = 1", "v E", "y"),
    ("match with a walrus in its guard", "match v:\n    case p if (n := g(p)):\n        y = n", "v g", "p n y"),
    ("except star with several", "try:\n    f()\nexcept* (A, B) as g:\n    n = len(g.exceptions)\nexcept* C:\n    raise", "f A B C", "n"),
    ("try in a loop with break and finally", "while c:\n    try:\n        x = f()\n        break\n    finally:\n        y = 1\nx", "c f x", "x y"),
    ("import in a function", "def f():\n    import os\n    from a.b import c as d\n    return os, d", "", "f"),
    ("import beside a name", "import a.b.c as x, d.e\nx, d", "", "x d"),
    ("chained comparison", "a < b < c", "a b c", ""),
    ("slices with a step", "x[a:b:c], y[::d] = v", "x a b c y d v", "x y"),
    ("return and yield stay in functions", "def f(x):\n    y = yield x\n    return (yield from g(y))", "g", "f"),
    ("set and dict comprehension share nothing", "s = {a for a in xs}\nd = {a: b for a, b in ys}\nb", "xs ys b", "s d"),
    ("name mangling", "class C:\n    def m(self):\n        return self.__x, __y", "_C__y", "C"),
]

if sys.version_info >= (3, 12):
    FORMS += [
        ("type parameters of a function", "def f[T](x: T) -> T:\n    y: T = g(x)\n    return y", "g", "f"),
        ("type parameters of a class", "class C[T](B[T]):\n    def m(self, x: T) -> T:\n        return h(x)", "B h", "C"),
        ("type alias", "type P = tuple[float, float]", "", "P"),
        ("type alias with parameters", "type P[T] = list[T]\nx = P", "", "P x"),
        ("bound of a type parameter", "def f[T: Base](x: T): pass", "Base", "f"),
        ("type parameters: a tuple, a star, two stars", "class C[*Ts, **P](B[*Ts]):\n    def m(self, *args: P.args): return k", "B k", "C"),
        ("type parameter hides a name", "T = a\ndef f[T](x: T): return T\nT", "a", "T f"),
        ("type alias of what comes later", "type P = Later", "Later", "P"),
        ("quotes inside an f-string", 's = f"{d["k"]}"', "d", "s"),
    ]
if sys.version_info >= (3, 13):
    FORMS += [("type parameter with a default", "class C[T = int]:\n    pass", "", "C")]
if sys.version_info >= (3, 14):
    FORMS += [
        ("except without parentheses", "try:\n    f()\nexcept A, B:\n    x = 1", "f A B", "x"),
        ("template string", "t = t'{a} {b:{w}}'", "a b w", "t"),
    ]


@pytest.mark.parametrize(("cell", "read", "written"), [pytest.param(*form[1:], id=form[0]) for form in FORMS])
def test_form(cell: str, read: str, written: str) -> None:
    names = look(cell)
    assert reads(names) == words(read)
    assert set(names.writes) == words(written)


@pytest.mark.parametrize(
    ("cell", "changed"),
    [
        ("x = 1", ""),
        ("x += 1", "x"),
        ("x[0] = 1", "x"),
        ("x.a.b[0] = 1", "x"),
        ("del x[0]", "x"),
        ("del x", ""),
        ("for x[0] in y:\n    pass", "x"),
        ("with a as x.b:\n    pass", "x"),
        ("x, y[0] = 1, 2", "y"),
        ("[x[0] for x in y]", ""),
        ("class C:\n    d = {}\n    d['k'] = 1", ""),
    ],
)
def test_changed_in_place(cell: str, changed: str) -> None:
    assert look(cell).changed == words(changed)


@pytest.mark.parametrize(
    ("cell", "required"),
    [
        ("y = x", "x"),
        ("if c:\n    y = x", "c x"),
        ("x += 1", "x"),
        ("x = x", "x"),
        ("def f():\n    return x", "x"),
        ("if c:\n    x = 1\ny = x", "c"),  # perhaps bound: the run will tell
        ("def f():\n    return x\nf()\nx = 1", ""),
        ("try:\n    x\nexcept NameError:\n    x = 1", ""),
        ("try:\n    import a\nexcept ImportError:\n    a = None\na", ""),
        ("try:\n    shell()\nexcept NameError:\n    pass", ""),
        ("try:\n    shell()\nexcept ValueError:\n    pass", "shell"),
        ("try:\n    shell()\nexcept NameError:\n    pass\nshell()", "shell"),
        ("from __future__ import annotations\nx: Gone = 1", ""),
    ],
)
def test_required(cell: str, required: str) -> None:
    names = look(cell)
    assert {name for name in reads(names) if names.reads[name].required} == words(required)


def test_line_of_the_first_use() -> None:
    """In the order in which the lines run: nobody calls f before line 7."""
    names = look(
        """
        a = 1

        def f():
            b = a
            return c

        d = c
        e = g
        """
    )
    assert {name: read.lineno for name, read in names.reads.items()} == {"c": 7, "g": 8}


def test_line_of_the_use_that_needs_it() -> None:
    """Bound or not on the way to line 3, but surely needed on none: the first line that uses it is told."""
    assert look("if c:\n    y = x\nz = x").reads["x"].lineno == 3


def test_star_import_is_told() -> None:
    assert look("from math import *\nx = pi").star_import
    assert not look("from math import pi").star_import


def test_writes_keep_their_order() -> None:
    assert look("b = 1\na = 2\nb = 3\nimport c").writes == ("b", "a", "c")


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_this_very_python_is_covered(version: str) -> None:
    """The forms of a newer Python are in the table exactly when it can parse them."""
    minor = int(version.split(".")[1])
    marker = {12: "type alias", 13: "type parameter with a default", 14: "template string"}[minor]
    assert (marker in {form[0] for form in FORMS}) == (sys.version_info >= (3, minor))

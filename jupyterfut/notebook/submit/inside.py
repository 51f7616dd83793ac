"""Magics and shell lines inside a submitted cell, as a worker runs them.

IPython has turned `%time f(x)` into `get_ipython().run_line_magic("time", "f(x)")`, and `!ls {path}` into `get_ipython().system("ls {path}")`: the
names in them stand in strings. `expand` puts them back into the syntax tree, so that the analysis sees what they read and assign, and scopes are
those of the line that they stand on. The kernel does it to read the cell, the worker to run it; both need the same few lines, and neither IPython.

| in the cell | on the worker |
|---|---|
| `%time`, `%%time`, `%timeit`, `%%timeit` | measured there, and printed |
| `!command`, `x = !command`, `%sx`, `%ls` and the like | run in the worker's directory, the output comes as it is printed |
| `%%bash`, `%%sh` | the rest of the cell is a script |
| `%pwd`, `%env NAME` | of the worker |
| `%matplotlib` | nothing: figures of a cell are shown anyway |
| others | UsageError, before anything is submitted |
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from typing import NamedTuple, TypeGuard, TypeVar

_Tree = TypeVar("_Tree", bound=ast.AST)


class NotHere(Exception):
    """A magic that does not run inside a submitted cell."""

    def __init__(self, lineno: int, text: str) -> None:
        super().__init__(f"line {lineno}: {text}")


class Opening(NamedTuple):
    """A `%%` line at the top of the rest of the cell."""

    name: str
    argument: str


_EVERYWHERE = "changes the worker's process under other tasks; say it for all workers in a %%everywhere cell"
_ELSEWHERE = "belongs into a cell of its own, without %%submit"
_REASONS = {
    "cd": f"%cd {_EVERYWHERE}, or use whole paths",
    "env": f"%env NAME=VALUE {_EVERYWHERE} (%env NAME reads)",
    "set_env": f"%set_env {_EVERYWHERE}",
    "pip": "%pip installs for this notebook's kernel; for the workers there is client.register_plugin(PipInstall([...]))",
    "conda": "%conda installs for this notebook's kernel, not for the workers",
    "pinfo": f"help (?) {_ELSEWHERE}",
    "pinfo2": f"help (??) {_ELSEWHERE}",
    "capture": "%%capture: use the option --quiet",
}
_COMMANDS = frozenset(["cat", "cp", "ls", "mkdir", "mv", "rm", "rmdir"])
_SCRIPTS = frozenset(["bash", "sh"])
_RUN = "%time, %timeit, %pwd, %env NAME, %sx, %%time, %%timeit, %%bash, %%sh and lines that begin with ! do"


def openings(body: str) -> tuple[tuple[Opening, ...], str]:
    """The `%%` lines at the top of a cell's rest, and the rest with these lines empty. Raises NotHere.

    >>> openings("%%time\\nx = 1")
    ((Opening(name='time', argument=''),), '\\nx = 1')
    """
    lines = body.split("\n")
    found: list[Opening] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        if not line.startswith("%%"):
            break
        name, _, argument = line[2:].strip().partition(" ")
        if name in _SCRIPTS:
            found.append(Opening(name, "\n".join(lines[number + 1 :])))
            lines[number:] = [""] * (len(lines) - number)
            break
        if name not in ("time", "timeit"):
            raise NotHere(number + 2, _REASONS.get(name, f"%%{name} {_ELSEWHERE} ({_RUN})"))
        if argument.strip() and (name == "time" or split_options(argument)[1]):
            raise NotHere(number + 2, f"%%{name} takes {'nothing' if name == 'time' else 'options only'} on its line here")
        found.append(Opening(name, argument.strip()))
        lines[number] = ""
    return tuple(found), "\n".join(lines)


def expand(tree: ast.Module) -> bool:
    """Put what IPython has made strings of back into the tree, in place; returns whether there was any. Raises NotHere and SyntaxError.

    >>> expand(tree := ast.parse("y = get_ipython().run_line_magic('time', 'f(x)')"))
    True
    >>> ast.unparse(tree)
    'y = get_ipython().timed(get_ipython().clock(), f(x))'
    """
    work = _Expand()
    work.visit(tree)
    return work.found


def arrange(tree: ast.Module, opened_by: tuple[Opening, ...]) -> ast.Module:
    """The cell as its `%%timeit` or `%%bash` line would have it. (`%%time` measures from outside.)"""
    for name, argument in reversed(opened_by):
        place = ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
        if name in _SCRIPTS:
            tree.body = [ast.copy_location(ast.Expr(_shell("script", place, ast.Constant(name), ast.Constant(argument))), place)]
        elif name == "timeit":
            function = ast.parse(f"def {TIMED}(): pass").body[0]
            assert isinstance(function, ast.FunctionDef)
            function.body = tree.body or function.body
            call = _shell("timeit", place, ast.Constant(argument), ast.Name(TIMED, ast.Load()))
            tree.body = [function, ast.copy_location(ast.Expr(call), place)]
    return ast.fix_missing_locations(tree)


TIMED = "_jupyterfut_timed"
"""The function that `%%timeit` makes of a cell. It is no name of the cell's."""


class _Expand(ast.NodeTransformer):
    found = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST:  # ast's name
        call = _shell_call(node.value)
        if call is None or call[0] != "run_line_magic" or call[1] != "time":
            return self.generic_visit(node)
        statements = _parsed(call[2], node.value).body
        if len(statements) == 1 and isinstance(statements[0], ast.Expr):
            return self.generic_visit(node)
        self.found = True
        made = ast.With([ast.withitem(_shell("timing", node))], [self.visit(statement) for statement in statements] or [ast.Pass()])
        return ast.fix_missing_locations(ast.copy_location(made, node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        call = _shell_call(node)
        if call is None:
            return self.generic_visit(node)
        self.found = True
        method, name, argument = call
        if method != "run_line_magic":
            return ast.copy_location(_command(method, name, node), node)
        return ast.fix_missing_locations(ast.copy_location(self._magic(name, argument, node), node))

    def _magic(self, name: str, argument: str, node: ast.Call) -> ast.expr:
        if name == "time":
            return _shell("timed", node, _shell("clock", node), self._expression(argument, "%time", node))
        if name == "timeit":
            options, rest = split_options(argument)
            nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
            return _shell("timeit", node, ast.Constant(options), ast.Lambda(nothing, self._expression(rest, "%timeit", node)))
        if name == "pwd" and not argument.strip():
            return _shell("pwd", node)
        if name == "env" and argument.strip() and not re.search(r"[=\s]", argument.strip()):
            return _shell("env", node, ast.Constant(argument.strip()))
        if name in ("sx", "system"):
            return _command("getoutput", argument, node)
        if name in _COMMANDS:
            return _command("system", f"{name} {argument}", node)
        if name == "matplotlib":
            return ast.Constant(None)
        raise NotHere(node.lineno, _REASONS.get(name, f"the magic %{name} does not run on a worker ({_RUN})"))

    def _expression(self, text: str, magic: str, node: ast.Call) -> ast.expr:
        statements = _parsed(text, node).body
        allowed = ast.Expr if magic == "%time" else ast.Expr | ast.Assign
        if len(statements) != 1 or not isinstance(statements[0], allowed):
            raise NotHere(node.lineno, f"{magic} takes one expression here; %{magic} measures a whole cell")
        value: ast.expr = self.visit(statements[0].value)
        return value


def split_options(text: str) -> tuple[str, str]:
    """The options of a `%timeit` line, and the rest.

    >>> split_options("-n 10 -r3 -q f(x) - 1")
    ('-n 10 -r3 -q', 'f(x) - 1')
    """
    found = re.match(r"(?:-(?:[nrp]\s*\d+|[tcqo]+)(?:\s+|$))*", text.strip())
    end = found.end() if found else 0
    return text.strip()[:end].strip(), text.strip()[end:]


def fields_of(command: str) -> list[tuple[str, str | None, str, str | None]]:
    """A shell command in pieces, as IPython's `DollarFormatter` cuts it: (text, expression, format, conversion). `{x}` and `$x` are Python's, `{{`
    and `$$` are not. Raises ValueError for braces that do not match.

    >>> fields_of("ls {path} $n $$HOME")
    [('ls ', 'path', '', None), (' ', 'n', '', None), (' $HOME', None, '', None)]
    """
    pieces: list[tuple[str, str | None, str, str | None]] = []
    for text, expression, form, conversion in string.Formatter().parse(command):
        before, begin = "", 0
        for match in _DOLLAR.finditer(text):
            plain, name = match.group(1, 2)
            if name.startswith("$"):
                before += plain + name
            else:
                pieces.append((before + plain, name, "", None))
                before = ""
            begin = match.end()
        pieces.append((before + text[begin:], expression, form or "", conversion))
    return pieces


_DOLLAR = re.compile(r"(.*?)\$(\$?[\w\.]+)(?=([^']*'[^']*')*[^']*$)")


def shell_fields(node: ast.AST) -> Iterator[ast.Name]:
    """The names that stand in shell lines inside a node that `expand` has seen: they are looked up, but the line runs without them, too."""
    for child in ast.walk(node):
        if is_command(child):
            for field in child.args[1:]:
                yield from (name for name in ast.walk(field) if isinstance(name, ast.Name))


def is_command(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a node is a shell line."""
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in ("system", "getoutput") and _is_shell(called.value)


def _shell_call(node: ast.expr) -> tuple[str, str, str] | None:
    """(method, first argument, second argument or "") of a call that IPython made of a `%` or `!` line."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_shell(node.func.value) and not node.keywords):
        return None
    arguments = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    expected = {"run_line_magic": 2, "system": 1, "getoutput": 1}.get(node.func.attr)
    if expected is None or len(node.args) != expected or len(arguments) != expected:
        return None
    return node.func.attr, arguments[0], arguments[1] if expected == 2 else ""


def _is_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython" and not node.args


def _shell(method: str, place: ast.AST, *arguments: ast.expr) -> ast.Call:
    """`get_ipython().method(arguments)`."""
    shell = ast.Call(ast.Name("get_ipython", ast.Load()), [], [])
    made = ast.Call(ast.Attribute(shell, method, ast.Load()), list(arguments), [])
    return ast.fix_missing_locations(ast.copy_location(made, place))


def _command(method: str, command: str, node: ast.Call) -> ast.Call:
    """A shell line whose `{expressions}` are Python again, each asked for when the line runs."""
    fields: list[ast.expr] = []
    try:
        for _, expression, form, _ in fields_of(command):
            if expression is not None:
                nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
                fields.append(ast.Lambda(nothing, _placed(ast.parse(f"({expression}\n)", mode="eval").body, node)))
                if "{" in form:
                    raise ValueError(form)
    except (ValueError, SyntaxError):
        fields = []  # the shell's own braces, as in awk '{print $1}': IPython leaves such a line alone, too
    return _shell(method, node, ast.Constant(command), *fields)


def _parsed(text: str, node: ast.AST) -> ast.Module:
    """What stands behind a magic, at the place of the magic."""
    try:
        tree = ast.parse(text.strip())
    except SyntaxError as error:
        error.lineno = error.end_lineno = getattr(node, "lineno", 1)
        raise
    return _placed(tree, node)


def _placed(tree: _Tree, node: ast.AST) -> _Tree:
    for child in ast.walk(tree):
        if hasattr(child, "lineno"):
            ast.copy_location(child, node)
    return tree

"""`%submit EXPR`: the value of an expression as one future."""

from __future__ import annotations

import ast
import builtins
import pickle
import uuid

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from jupyterfut.client.futures import Future
from jupyterfut.notebook.clients import client_at_hand, client_on
from jupyterfut.notebook.magics.arguments import Parser, magic_with, resources, split_options, text, whole, words
from jupyterfut.notebook.submit.capture import capture
from jupyterfut.notebook.submit.code import read_cell, wanted
from jupyterfut.notebook.submit.everywhere import evaluate_expression

OUT_OF_BAND_BYTES = 64 * 1024
"""From this size the captured values stand beside the message instead of being copied into it."""

PARSER = Parser(
    "%submit",
    """Have an expression evaluated on the cluster; its value is one future, which is
what the line gives: `total = %submit sum(parts)`.

What it reads is captured as for a %%submit cell: futures in it are waited for
there, functions of the notebook travel along. Nothing is submitted when it has
a syntax error, an unknown option, or a name that nothing defines.""",
)
PARSER.add_argument("--name", type=text, help="what the task is called (after the function that is called)")
PARSER.add_argument("-w", "--workers", type=words, metavar="NAMES", help="run it on these workers: names, addresses or hosts (a,b)")
PARSER.add_argument("-r", "--resources", type=resources, metavar="AMOUNTS", help="what it takes of a worker's resources (GPU=1,MEM=2e9)")
PARSER.add_argument("--priority", type=float, default=0.0, metavar="N", help="higher runs first (0)")
PARSER.add_argument("--retries", type=whole, default=0, metavar="N", help="how often to try again when it fails (0)")
PARSER.add_argument("--on", type=text, metavar="CLUSTER", help="another cluster than the one in use, by its name or address")
PARSER.epilog = "Options come first; `--` ends them."


@magics_class
class ExpressionMagic(Magics):  # type: ignore[misc]  # IPython has no types
    """`%submit`."""

    @no_var_expand
    @line_magic
    @magic_with(PARSER)
    def submit(self, line: str) -> Future:
        __tracebackhide__ = True
        given, expression = split_options(PARSER, line)
        options = PARSER.read(given)
        expression = expression.rstrip().rstrip(";")
        if not expression:
            raise UsageError("%submit takes an expression: total = %submit sum(parts)")
        try:
            code = read_cell(self.shell, f"%submit {given}", expression)
            tree = ast.parse(code.source, code.filename)
            if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
                raise UsageError(f"%submit takes an expression, and {expression!r} is none (a %%submit cell takes statements)")
        except SyntaxError as error:
            raise error.with_traceback(None) from None  # the line itself says it all
        namespace = self.shell.user_ns
        captured = capture(wanted(code, namespace, self.shell.user_ns_hidden, vars(builtins)), namespace)
        client = client_on(options.on) if options.on else client_at_hand()
        data = pickle.PickleBuffer(captured.data) if len(captured.data) >= OUT_OF_BAND_BYTES else captured.data
        return client.submit(
            evaluate_expression, code.source, code.filename, code.flags, data, captured.futures,
            key=f"{options.name or _called(tree.body[0].value)}-{uuid.uuid4().hex}", pure=False, workers=options.workers,
            resources=options.resources, retries=options.retries, priority=options.priority,
        )  # fmt: skip


def _called(expression: ast.expr) -> str:
    """What the task is called: the function, if the expression is a call.

    >>> [_called(ast.parse(text, mode="eval").body) for text in ("sum(x)", "np.mean(x)", "await f(1)", "x + 1")]
    ['sum', 'mean', 'f', 'expression']
    """
    if isinstance(expression, ast.Await):
        expression = expression.value
    function = expression.func if isinstance(expression, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else "expression"

"""Which names a cell reads from the notebook, and which it assigns.

In comes the source of one cell; out comes `CellNames`, from which `%%submit` decides what to capture and which names become futures. Nothing is run.

The question is the one a reader asks: going through the cell line by line, which names are used before the cell itself has bound them? The statements
of the cell, its class bodies and its comprehensions are followed in order (`_Walk`), with the names that are *certainly* bound at each point: both
arms of an `if` must bind a name for it to be certain after it, a loop's body may not have run at all. What is inside functions runs later, when
somebody calls them, so their names are looked up where the function is first mentioned, or else at the end; which of their names are global is a
question that Python's own symbol table answers (`symtable`), closures, `global`, `nonlocal` and `super()` included.

Rules worth knowing:

- A store into an item or attribute (`df["a"] = 1`) and an augmented assignment count as a read and a write of the name at the root; it is `changed`
  in place.
- `del x` reads and writes x. The name of `except ... as e` is gone after its handler and therefore no write.
- A name that the cell binds somewhere, but perhaps not before it is used, is captured if the notebook has it and is no error if not.
- `exec`, `eval` and `globals()` are not followed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from jupyterfut.notebook.submit.inside import is_command, shell_fields
from jupyterfut.notebook.submit.scopes import GlobalNames, global_names, names_in


class Read(NamedTuple):
    """One name that a cell reads from the notebook."""

    lineno: int  #: the line that uses it
    required: bool  #: without it the cell cannot run
    certain: bool  #: no line of the cell binds it before this use


class CellNames(NamedTuple):
    """What `names_of` found."""

    reads: dict[str, Read]  #: in the order of the first use; builtins included
    writes: tuple[str, ...]  #: in the order of the first binding
    assigned: frozenset[str]  #: writes by anything but an import or a change in place
    changed: frozenset[str]  #: writes that change an object in place, so that it must be the cell's own copy
    star_import: bool  #: `from x import *` may bind names that nobody can know here


def names_of(tree: ast.Module, source: str | None, bound: Iterable[str] = ()) -> CellNames:
    """The names that the cell `source`, parsed as `tree`, reads and writes. `bound`: names that it finds bound without its doing. A tree that says
    something else than any text (`inside.expand`) comes without its source, which takes longer.

    >>> names = names_of(ast.parse(code := "y = [f(v) for v in x]\\ny[0] += z"), code)
    >>> sorted(names.reads), names.writes, sorted(names.changed)
    (['f', 'x', 'z'], ('y',), ['y'])
    """
    walk = _Walk(source, bound)
    walk.block(tree.body, None)
    walk.run_deferred()
    return walk.found()


class _Frame(NamedTuple):
    """A scope inside the cell that is not a function: a class body, a comprehension, a list of type parameters, an exception handler with its
    name."""

    kind: str  #: "class", "comprehension", "parameters" or "handler"
    names: frozenset[str]  #: class: the names it declares `global`; else: the names that live here
    parent: _Frame | None
    number: int = 0  #: class: makes its own names different from everybody's


class _Body(NamedTuple):
    """What a function's body does to the names of the cell, once somebody calls it."""

    names: GlobalNames
    frame: _Frame | None
    guarded: bool


_Bound: TypeAlias = set[object] | None
"""Names certainly bound: `"x"` for the cell's own, `(number, "x")` for a class body's. None: this point is never reached."""

_LAZY_ANNOTATIONS = sys.version_info >= (3, 14)
_CATCHES_NAME_ERROR = frozenset(["NameError", "Exception", "BaseException"])
_PLAIN_DECORATORS = frozenset(["property", "staticmethod", "classmethod", "setter", "getter", "deleter", "abstractmethod", "overload"])
_TryNode: TypeAlias = ast.Try | ast.TryStar
_FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class _Walk:
    """One pass over a cell. `bound` belongs to the point that the walk has reached."""

    def __init__(self, source: str | None, bound: Iterable[str]) -> None:
        self.source = source
        self.bound: _Bound = set(bound)
        self.seen: set[str] = set()  # names that some line so far binds, certainly or not
        self.reads: dict[str, tuple[int, bool, bool, bool]] = {}  # name -> line, certain, at a point that is always reached, optional
        self.writes: dict[str, None] = {}
        self.assigned: set[str] = set()
        self.changed: set[str] = set()
        self.star_import = False
        self.deferred: dict[str, list[_Body]] = {}
        self.deleted: list[object] = []
        self.breaks: list[list[_Bound]] = []
        self.branches = 0  # how many conditional blocks stand around this point
        self.guards = 0  # how many `try` blocks around it would catch a NameError
        self.classes = 0
        self.lazy_annotations = _LAZY_ANNOTATIONS

    def found(self) -> CellNames:
        reads = {}
        for name, (lineno, certain, always, optional) in self.reads.items():
            required = not optional and (name not in self.writes or (certain and always))
            reads[name] = Read(lineno, required, certain)
        return CellNames(reads, tuple(self.writes), frozenset(self.assigned), frozenset(self.changed), self.star_import)

    # --- names

    def load(self, name: str, lineno: int, frame: _Frame | None, *, optional: bool = False) -> None:
        """`name` is used here."""
        if self._is_local(name, frame):
            return
        for body in self.deferred.pop(name, ()):
            self._run_body(body)
        if self.bound is None or name in self.bound:
            return
        certain = name not in self.seen
        always = self.branches == 0
        optional = optional or self.guards > 0
        known = self.reads.get(name)
        if known is None or (known[3] and not optional) or (always and certain and not known[2]):
            self.reads[name] = (lineno, certain, always, optional)

    def store(self, name: str, frame: _Frame | None, *, imported: bool = False) -> None:
        """`name` is bound here."""
        home = _class_of(frame)
        if home is not None and name not in home.names:
            self._bind((home.number, name))
            return
        self.writes.setdefault(name)
        self.seen.add(name)
        if not imported:
            self.assigned.add(name)
        self._bind(name)

    def change(self, name: str, lineno: int, frame: _Frame | None) -> None:
        """The object behind `name` is changed here."""
        self.load(name, lineno, frame)
        if not self._is_local(name, frame):
            self.writes.setdefault(name)
            self.seen.add(name)
            self.changed.add(name)

    def delete(self, name: str, lineno: int, frame: _Frame | None) -> None:
        """`name` is unbound here."""
        local = self._is_local(name, frame)
        self.load(name, lineno, frame)
        home = _class_of(frame)
        if home is not None and name not in home.names:
            self._unbind((home.number, name))
        elif not local:
            self.writes.setdefault(name)
            self.assigned.add(name)
            self.seen.add(name)
            self._unbind(name)

    def _is_local(self, name: str, frame: _Frame | None) -> bool:
        innermost = True
        while frame is not None:
            if frame.kind != "class":
                if name in frame.names:
                    return True
            elif innermost and self.bound is not None and (frame.number, name) in self.bound:
                return True  # a class body sees its own names; what is nested in it does not
            innermost = innermost and frame.kind in ("handler", "parameters")
            frame = frame.parent
        return False

    def _bind(self, name: object) -> None:
        if self.bound is not None:
            self.bound.add(name)

    def _unbind(self, name: object) -> None:
        self.deleted.append(name)
        if self.bound is not None:
            self.bound.discard(name)

    # --- functions: now what is evaluated with `def`, later the body

    def defer(self, owner: str | None, node: ast.AST, frame: _Frame | None) -> None:
        """The function bodies inside `node` run when `owner` is used, or at once when there is no owner."""
        names = global_names(node, self.source)
        body = _Body(names, _without_classes(frame), self.guards > 0)
        for name in names.writes:
            self.writes.setdefault(name)
            self.assigned.add(name)
        if owner is None:
            self._run_body(body)
        else:
            self.deferred.setdefault(owner, []).append(body)

    def run_deferred(self) -> None:
        """The end of the cell: bodies that no line mentioned may still be called from elsewhere, when all is bound."""
        self.branches += 1
        while self.deferred:
            for body in self.deferred.pop(next(iter(self.deferred))):
                self._run_body(body)
        self.branches -= 1

    def _run_body(self, body: _Body) -> None:
        self.branches += 1
        self.guards += body.guarded
        for name, lineno in body.names.reads.items():
            self.load(name, lineno, body.frame, optional=name in body.names.optional)
        self.seen.update(body.names.writes)
        self.guards -= body.guarded
        self.branches -= 1

    # --- blocks and the ways through them

    def block(self, body: Iterable[ast.stmt], frame: _Frame | None) -> None:
        for node in body:
            self.statement(node, frame)

    def branch(self, start: _Bound, body: Iterable[ast.stmt], frame: _Frame | None) -> _Bound:
        """What is bound after `body`, when it is entered with `start` bound."""
        self.bound = None if start is None else set(start)
        self.branches += 1
        self.block(body, frame)
        self.branches -= 1
        return self.bound

    def statement(self, node: ast.stmt, frame: _Frame | None) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, frame)
            case ast.ClassDef():
                self._class(node, frame)
            case ast.Assign():
                self.expression(node.value, frame)
                for target in node.targets:
                    self.target(target, frame)
            case ast.AugAssign():
                self._augmented(node, frame)
            case ast.AnnAssign():
                self._annotation(node.annotation, frame)
                if node.value is not None:
                    self.expression(node.value, frame)
                    self.target(node.target, frame)
            case ast.Delete():
                for target in node.targets:
                    self._delete_target(target, frame)
            case ast.Import() | ast.ImportFrom():
                self._import(node, frame)
            case ast.If():
                self.expression(node.test, frame)
                start = self.bound
                self.bound = _merge(self.branch(start, node.body, frame), self.branch(start, node.orelse, frame))
            case ast.For() | ast.AsyncFor():
                self._for(node, frame)
            case ast.While():
                self._while(node, frame)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self.expression(item.context_expr, frame)
                    if item.optional_vars is not None:
                        self.target(item.optional_vars, frame)
                self.block(node.body, frame)
            case ast.Try() | ast.TryStar():
                self._try(node, frame)
            case ast.Match():
                self._match(node, frame)
            case ast.Break():
                if self.breaks:
                    self.breaks[-1].append(self.bound)
                self.bound = None
            case ast.Continue():
                self.bound = None
            case ast.Raise():
                self.expressions(node, frame)
                self.bound = None
            case ast.Global() | ast.Nonlocal() | ast.Pass():
                return
            case _ if type(node).__name__ == "TypeAlias":
                self._type_alias(node, frame)
            case _:
                self.expressions(node, frame)

    def _augmented(self, node: ast.AugAssign, frame: _Frame | None) -> None:
        if isinstance(node.target, ast.Name):
            self.change(node.target.id, node.lineno, frame)
            self.expression(node.value, frame)
            self.store(node.target.id, frame)
        else:
            self.target(node.target, frame)
            self.expression(node.value, frame)

    def _import(self, node: ast.Import | ast.ImportFrom, frame: _Frame | None) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            # It tells the compiler something; the name that it also binds is of no use to anybody.
            self.lazy_annotations |= any(alias.name == "annotations" for alias in node.names)
            return
        for alias in node.names:
            if alias.name == "*":
                self.star_import = True
            else:
                self.store(alias.asname or alias.name.partition(".")[0], frame, imported=True)

    def _for(self, node: ast.For | ast.AsyncFor, frame: _Frame | None) -> None:
        self.expression(node.iter, frame)
        start = self.bound
        self.breaks.append([])
        self.bound = None if start is None else set(start)
        self.branches += 1
        self.target(node.target, frame)
        self.block(node.body, frame)
        self.branches -= 1
        self.bound = _merge(self.branch(start, node.orelse, frame), *self.breaks.pop())

    def _while(self, node: ast.While, frame: _Frame | None) -> None:
        self.expression(node.test, frame)
        start = self.bound
        self.breaks.append([])
        self.branch(start, node.body, frame)
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self.bound = _merge(self.branch(None if endless else start, node.orelse, frame), *self.breaks.pop())

    def _try(self, node: _TryNode, frame: _Frame | None) -> None:
        start = self.bound
        before = len(self.deleted)
        guarded = any(_catches_name_error(handler.type) for handler in node.handlers)
        self.guards += guarded
        ends = [self.branch(start, node.body, frame)]
        self.guards -= guarded
        # An exception may come from anywhere in the block: only what was bound before it, and is not deleted in it, is certain.
        uncertain = None if start is None else start - set(self.deleted[before:])
        if node.orelse:
            ends[0] = self.branch(ends[0], node.orelse, frame)
        for handler in node.handlers:
            self.bound = None if uncertain is None else set(uncertain)
            if handler.type is not None:
                self.expression(handler.type, frame)
            ends.append(self._handler(handler, frame))
        end = _merge(*ends)
        if node.finalbody:
            before = len(self.deleted)
            final = self.branch(uncertain, node.finalbody, frame)
            end = None if end is None or final is None else (end - set(self.deleted[before:])) | final
        self.bound = end

    def _handler(self, handler: ast.ExceptHandler, frame: _Frame | None) -> _Bound:
        name = handler.name
        if name is None:
            return self.branch(self.bound, handler.body, frame)
        # Bound for the handler, unbound after it: as if it were a scope of its own.
        inner = _Frame("handler", frozenset([name]), frame)
        end = self.branch(self.bound, handler.body, inner)
        return None if end is None else end - {name}

    def _match(self, node: ast.Match, frame: _Frame | None) -> None:
        self.expression(node.subject, frame)
        start = self.bound
        ends: list[_Bound] = []
        exhaustive = False
        for case in node.cases:
            self.bound = None if start is None else set(start)
            self.branches += 1
            self._pattern(case.pattern, frame)
            if case.guard is not None:
                self.expression(case.guard, frame)
            self.block(case.body, frame)
            self.branches -= 1
            ends.append(self.bound)
            exhaustive |= case.guard is None and _matches_anything(case.pattern)
        self.bound = _merge(*ends) if exhaustive else _merge(start, *ends)

    def _pattern(self, pattern: ast.pattern, frame: _Frame | None) -> None:
        for node in ast.walk(pattern):
            match node:
                case ast.MatchValue():
                    self.expression(node.value, frame)
                case ast.MatchClass():
                    self.expression(node.cls, frame)
                case ast.MatchMapping():
                    for key in node.keys:
                        self.expression(key, frame)
                    if node.rest is not None:
                        self.store(node.rest, frame)
                case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                    self.store(name, frame)

    # --- definitions

    def _function(self, node: _FunctionNode, frame: _Frame | None) -> None:
        for decorator in node.decorator_list:
            self.expression(decorator, frame)
        self._defaults(node.args, frame)
        inner = self._parameters(node, frame)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for annotation in [*(argument.annotation for argument in arguments if argument is not None), node.returns]:
            if annotation is not None:
                self._annotation(annotation, inner)
        self.store(node.name, frame)
        if frame is None or frame.kind != "class":
            self.defer(None if node.decorator_list else node.name, node, frame)

    def _class(self, node: ast.ClassDef, frame: _Frame | None) -> None:
        for decorator in node.decorator_list:
            self.expression(decorator, frame)
        inner = self._parameters(node, frame)
        for base in [*node.bases, *(keyword.value for keyword in node.keywords)]:
            self.expression(base, inner)
        self.classes += 1
        declared = frozenset(name for statement in node.body if isinstance(statement, ast.Global) for name in statement.names)
        self.block(node.body, _Frame("class", declared, inner, self.classes))
        self.store(node.name, frame)
        if frame is None or frame.kind != "class":
            # The methods of the class and of the classes in it, all at once.
            acts = node.decorator_list or any(not _plain(decorator) for method in _functions(node) for decorator in method.decorator_list)
            self.defer(None if acts else node.name, node, frame)

    def _parameters(self, node: ast.AST, frame: _Frame | None) -> _Frame | None:
        """The scope of a definition's type parameters (`def f[T]`, Python 3.12), if it has any. Their bounds and defaults are evaluated when somebody
        asks."""
        parameters = getattr(node, "type_params", ())
        inner = _Frame("parameters", frozenset(parameter.name for parameter in parameters), frame) if parameters else frame
        for parameter in parameters:
            for lazy in (getattr(parameter, "bound", None), getattr(parameter, "default_value", None)):
                for name in names_in(lazy) if lazy is not None else ():
                    self.load(name.id, name.lineno, inner, optional=True)
        return inner

    def _defaults(self, arguments: ast.arguments, frame: _Frame | None) -> None:
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.expression(default, frame)

    def _annotation(self, node: ast.expr, frame: _Frame | None) -> None:
        if not self.lazy_annotations:
            self.expression(node, frame)
            return
        for name in names_in(node):
            self.load(name.id, name.lineno, frame, optional=True)

    def _type_alias(self, node: ast.AST, frame: _Frame | None) -> None:
        inner = self._parameters(node, frame)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                self.store(child.id, frame)
            else:
                for name in names_in(child):
                    self.load(name.id, name.lineno, inner, optional=True)

    # --- targets

    def target(self, node: ast.expr, frame: _Frame | None) -> None:
        """Something is assigned to `node`."""
        match node:
            case ast.Name():
                self.store(node.id, frame)
            case ast.Starred():
                self.target(node.value, frame)
            case ast.Tuple() | ast.List():
                for element in node.elts:
                    self.target(element, frame)
            case _:
                self._change_target(node, frame)

    def _change_target(self, node: ast.expr, frame: _Frame | None) -> None:
        """An item or attribute is stored or deleted: the indices are read, the object at the root is changed."""
        root = _root(node)
        self.expressions(node, frame)
        if root is not None:
            self.change(root.id, root.lineno, frame)

    def _delete_target(self, node: ast.expr, frame: _Frame | None) -> None:
        match node:
            case ast.Name():
                self.delete(node.id, node.lineno, frame)
            case ast.Tuple() | ast.List():
                for element in node.elts:
                    self._delete_target(element, frame)
            case _:
                self._change_target(node, frame)

    # --- expressions

    def expressions(self, node: ast.AST, frame: _Frame | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expression(child, frame)
            elif not isinstance(child, ast.expr_context):
                self.expressions(child, frame)

    def expression(self, node: ast.expr, frame: _Frame | None) -> None:
        match node:
            case ast.Name():
                self.load(node.id, node.lineno, frame)
            case ast.NamedExpr():
                self.expression(node.value, frame)
                self.store(node.target.id, frame)
            case ast.Lambda():
                self._defaults(node.args, frame)
                self.defer(None, node, frame)
            case ast.Call() if is_command(node):
                for name in shell_fields(node):
                    self.load(name.id, name.lineno, frame, optional=True)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                self._comprehension([node.elt], node.generators, frame)
            case ast.DictComp():
                self._comprehension([node.key, node.value], node.generators, frame)
            case ast.BoolOp():
                self.expression(node.values[0], frame)
                self._perhaps(node.values[1:], frame)
            case ast.Compare():
                self.expression(node.left, frame)
                self.expression(node.comparators[0], frame)
                self._perhaps(node.comparators[1:], frame)
            case ast.IfExp():
                self.expression(node.test, frame)
                start = self.bound
                ends = []
                for arm in (node.body, node.orelse):
                    self.bound = None if start is None else set(start)
                    self.branches += 1
                    self.expression(arm, frame)
                    self.branches -= 1
                    ends.append(self.bound)
                self.bound = _merge(*ends)
            case _:
                self.expressions(node, frame)

    def _perhaps(self, nodes: Iterable[ast.expr], frame: _Frame | None) -> None:
        """Expressions that may not be evaluated: what they bind is not certain after them."""
        start = None if self.bound is None else set(self.bound)
        self.branches += 1
        for node in nodes:
            self.expression(node, frame)
        self.branches -= 1
        self.bound = start

    def _comprehension(self, elements: list[ast.expr], generators: list[ast.comprehension], frame: _Frame | None) -> None:
        self.expression(generators[0].iter, frame)
        names = frozenset(name.id for generator in generators for name in names_in(generator.target) if isinstance(name.ctx, ast.Store))
        inner = _Frame("comprehension", names, frame)
        rest: list[ast.expr] = []
        for generator in generators:
            rest += [generator.iter] if generator is not generators[0] else []
            rest += [part for part in (generator.target,) if not isinstance(part, ast.Name)]
            rest += generator.ifs
        start = None if self.bound is None else set(self.bound)
        self.branches += 1
        for node in [*rest, *elements]:
            self.expression(node, inner)
        self.branches -= 1
        self.bound = start


def _merge(*ends: _Bound) -> _Bound:
    """What is bound where several ways meet; a way that never arrives has no say."""
    reached = [end for end in ends if end is not None]
    return set.intersection(*reached) if reached else None


def _functions(node: ast.ClassDef) -> Iterator[_FunctionNode]:
    return (child for child in ast.walk(node) if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _class_of(frame: _Frame | None) -> _Frame | None:
    """The class body in which a name bound here would land; None: it lands in the notebook."""
    while frame is not None and frame.kind != "class":
        frame = frame.parent
    return frame


def _without_classes(frame: _Frame | None) -> _Frame | None:
    """The scopes that the body of a function standing here can see."""
    if frame is None:
        return None
    parent = _without_classes(frame.parent)
    return parent if frame.kind == "class" else frame._replace(parent=parent)


def _root(node: ast.expr) -> ast.Name | None:
    """`df` of `df.loc[0, "a"]`; None when the object comes from a call."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def _plain(decorator: ast.expr) -> bool:
    """Whether a method's decorator is known not to call it."""
    name = decorator.id if isinstance(decorator, ast.Name) else decorator.attr if isinstance(decorator, ast.Attribute) else ""
    return name in _PLAIN_DECORATORS


def _catches_name_error(node: ast.expr | None) -> bool:
    return node is None or any(name.id in _CATCHES_NAME_ERROR for name in names_in(node))


def _matches_anything(pattern: ast.pattern) -> bool:
    match pattern:
        case ast.MatchAs():
            return pattern.pattern is None or _matches_anything(pattern.pattern)
        case ast.MatchOr():
            return any(_matches_anything(part) for part in pattern.patterns)
    return False

"""Writes `src/protocol/snapshots.ts`, the snapshots' types for the front end, from `jupyterfut/wire/panes.py`, where they are described once.

python labextension/snapshots.py            write it
python labextension/snapshots.py --check    write nothing; exit code 1 if it is not current (CI does this)

Each TypedDict becomes an interface with the docstring and the comments (`#:`) that it has in Python; `SNAPSHOTS` becomes `Snapshots`, from which the
type `Topic` and the list `TOPICS` follow. What has no counterpart below is an error here, not an `unknown` there.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "jupyterfut" / "wire" / "panes.py"
TARGET = HERE / "src" / "protocol" / "snapshots.ts"
WIDTH = 150

HEAD = """/**
 * What the server tells a page. Generated from jupyterfut/wire/panes.py by `python labextension/snapshots.py`; CI checks that it is current.
 */
"""

PLAIN = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "None": "null", "Any": "unknown", "object": "unknown"}


class NoCounterpart(Exception):
    """A type for which this generator has no TypeScript."""


def typescript(node: ast.expr, known: set[str]) -> str:
    """The TypeScript of an annotation."""
    match node:
        case ast.Name(id=name) if name in PLAIN:
            return PLAIN[name]
        case ast.Name(id=name) if name in known:
            return name
        case ast.Constant(value=None):
            return "null"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{typescript(left, known)} | {typescript(right, known)}"
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            inner = typescript(item, known)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=items)):
            return f"[{', '.join(typescript(item, known) for item in items)}]"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), item])):
            return f"Record<string, {typescript(item, known)}>"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=items)):
            return " | ".join(literal(item) for item in items)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=item):
            return literal(item)
        case ast.Subscript(value=ast.Name(id="NotRequired"), slice=item):
            return typescript(item, known)
    raise NoCounterpart(f"{SOURCE.name}, line {node.lineno}: no TypeScript is known for {ast.unparse(node)!r}; teach it to {Path(__file__).name}")


def literal(node: ast.expr) -> str:
    """One value of a `Literal`, in prettier's quotes."""
    match node:
        case ast.Constant(value=str(text)) if "'" not in text and "\\" not in text:
            return f"'{text}'"
        case ast.Constant(value=bool(truth)):
            return "true" if truth else "false"
        case ast.Constant(value=int(number)):
            return str(number)
    raise NoCounterpart(f"{SOURCE.name}, line {node.lineno}: no TypeScript is known for the literal {ast.unparse(node)!r}")


def comment(text: str, indent: str = "") -> Iterator[str]:
    """A comment before a declaration, wrapped as prettier leaves it."""
    text = " ".join(text.split()).replace("*/", "* /")
    if len(indent) + len(text) + 7 <= WIDTH:
        yield f"{indent}/** {text} */"
        return
    yield f"{indent}/**"
    line = ""
    for word in text.split(" "):
        if line and len(indent) + 3 + len(line) + 1 + len(word) > WIDTH:
            yield f"{indent} * {line}"
            line = word
        else:
            line = f"{line} {word}".strip()
    yield f"{indent} * {line}"
    yield f"{indent} */"


def optional(annotation: ast.expr) -> bool:
    """Whether a field may be absent."""
    return isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name) and annotation.value.id == "NotRequired"


def interface(node: ast.ClassDef, lines: list[str], known: set[str]) -> Iterator[str]:
    """One TypedDict."""
    if doc := ast.get_docstring(node):
        yield from comment(doc)
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != "TypedDict"]
    extends = f" extends {', '.join(bases)}" if bases else ""
    if any(keyword.arg == "total" for keyword in node.keywords):
        raise NoCounterpart(f"{SOURCE.name}, line {node.lineno}: write NotRequired[...] instead of total=False")
    yield f"export interface {node.name}{extends} {{"
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            _, _, said = lines[(field.end_lineno or field.lineno) - 1].partition("#:")
            if said:
                yield from comment(said, "  ")
            question = "?" if optional(field.annotation) else ""
            yield f"  {field.target.id}{question}: {typescript(field.annotation, known)};"
    yield "}"


def page(source: str) -> str:
    """The whole file."""
    tree = ast.parse(source)
    lines = source.splitlines()
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    known = {node.name for node in classes}
    out = [HEAD]
    topics: list[tuple[str, str]] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            out.append("\n".join(interface(node, lines, known)) + "\n")
        match node:
            case ast.AnnAssign(target=ast.Name(id="SNAPSHOTS"), value=ast.Dict(keys=keys, values=values)):
                pairs = zip(keys, values, strict=True)
                topics = [(str(key.value), kind.id) for key, kind in pairs if isinstance(key, ast.Constant) and isinstance(kind, ast.Name)]
    if not topics:
        raise NoCounterpart(f"{SOURCE.name}: SNAPSHOTS is missing")
    rows = [f"  {name if name.isidentifier() else repr(name)}: {kind};" for name, kind in topics]
    out.append("/** The topics, and what is told on each. */\nexport interface Snapshots {\n" + "\n".join(rows) + "\n}\n")
    out.append("export type Topic = keyof Snapshots;\n")
    names = ", ".join(f"'{name}'" for name, _ in topics)
    out.append(f"export const TOPICS: readonly Topic[] = [{names}];\n")
    return "\n".join(out)


def main(arguments: list[str]) -> int:
    text = page(SOURCE.read_text(encoding="utf-8"))
    now = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if "--check" in arguments:
        if text != now:
            print(f"{TARGET.relative_to(HERE.parent)} is not current: run `python labextension/snapshots.py`", file=sys.stderr)
        return int(text != now)
    if text != now:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
        print(f"wrote {TARGET.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

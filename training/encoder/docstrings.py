"""Definitions of Python packages with their documentation, read from source without importing."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class DocumentedName:
    """One documented definition: `module` is dotted, `name` is dotted within the module.

    `header` is its full name with the names of its arguments, as the demo's passages begin.
    """

    module: str
    name: str
    header: str
    summary: str
    body: str

    @property
    def passage(self) -> str:
        """The text that answers a question about the definition: header, summary and body."""
        return "\n".join(part for part in (self.header, self.summary, self.body) if part)


def read_packages(roots: Iterable[Path]) -> list[DocumentedName]:
    """Every documented definition under the package folders (or modules) `roots`, sorted."""
    found: list[DocumentedName] = []
    for root in roots:
        found.extend(_read_package(root))
    return found


def split_docstring(docstring: str) -> tuple[str, str]:
    """The summary (first paragraph, on one line) and the rest of a docstring."""
    head, _, rest = docstring.strip().partition("\n\n")
    return " ".join(head.split()), rest.strip()


def _read_package(root: Path) -> Iterator[DocumentedName]:
    base = root.parent
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    for path in files:
        if _is_test(path.relative_to(base)):
            continue
        yield from _read_module(path, _module_name(path.relative_to(base)))


def _is_test(path: Path) -> bool:
    return any(part in {"test", "tests", "testing", "__pycache__"} for part in path.parts)


def _module_name(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def _read_module(path: Path, module: str) -> Iterator[DocumentedName]:
    try:
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
        return
    yield from _walk(tree, module, prefix="")


def _walk(node: ast.AST, module: str, prefix: str) -> Iterator[DocumentedName]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition):
            continue
        name = f"{prefix}{child.name}"
        docstring = ast.get_docstring(child)
        if docstring and docstring.strip():
            summary, body = split_docstring(docstring)
            yield DocumentedName(module, name, _header(child, f"{module}.{name}"), summary, body)
        if isinstance(child, ast.ClassDef):
            yield from _walk(child, module, prefix=f"{name}.")


def _header(node: Definition, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {name}"
    return f"{name}({_argument_names(node.args)})"


def _argument_names(arguments: ast.arguments) -> str:
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if arguments.vararg:
        names.append(f"*{arguments.vararg.arg}")
    names.extend(argument.arg for argument in arguments.kwonlyargs)
    if arguments.kwarg:
        names.append(f"**{arguments.kwarg.arg}")
    return ", ".join(names)

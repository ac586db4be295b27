"""A script for a process of its own: prints what C code of the standard library documents.

Imports modules of the standard library, and nothing else: run it with `python -I`. One JSON object
a line, sorted: module, name within the module, signature (may be empty), documentation.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import types
import warnings
from collections.abc import Iterator

# Left out: modules that act when imported, those that need a display, and the platform modules
# whose contents are shown under `os`.
SKIPPED = frozenset(
    {
        "antigravity",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "msvcrt",
        "nt",
        "posix",
        "pydoc_data",
        "test",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
        "winreg",
    }
)
METHOD_TYPES = (
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.BuiltinFunctionType,
)


def module_names() -> list[str]:
    """Public top-level modules of the standard library, sorted."""
    return sorted(
        name for name in sys.stdlib_module_names if not name.startswith("_") and name not in SKIPPED
    )


def probe(names: list[str]) -> Iterator[dict[str, str]]:
    """Documentation of the native functions, classes and methods of the named modules."""
    known = frozenset(names)
    seen: set[int] = set()
    for name in names:
        module = _import(name)
        if module is None:
            continue
        if not getattr(module, "__file__", None) or not str(module.__file__).endswith(".py"):
            yield from _describe(name, "", module)
        for attribute in _public_names(module):
            value = getattr(module, attribute, None)
            if _is_native(value) and id(value) not in seen and _at_home(value, name, known):
                seen.add(id(value))
                yield from _describe(name, attribute, value)
                yield from _describe_methods(name, attribute, value)


def _import(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _public_names(module: types.ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or dir(module)
    return sorted({name for name in names if not name.startswith("_")})


def _is_native(value: object) -> bool:
    if isinstance(value, type):
        return not any(isinstance(item, types.FunctionType) for item in vars(value).values())
    return isinstance(value, types.BuiltinFunctionType)


def _at_home(value: object, module: str, known: frozenset[str]) -> bool:
    # `functools.partial` lives in `_functools`; `os.open` in `posix`, which is not shown itself.
    home = str(getattr(value, "__module__", None) or module).lstrip("_").partition(".")[0]
    return home == module or home not in known


def _describe_methods(module: str, name: str, value: object) -> Iterator[dict[str, str]]:
    if not isinstance(value, type):
        return
    for method, item in sorted(vars(value).items()):
        if not method.startswith("_") and isinstance(item, METHOD_TYPES):
            yield from _describe(module, f"{name}.{method}", item)


def _describe(module: str, name: str, value: object) -> Iterator[dict[str, str]]:
    own = vars(value).get("__doc__") if isinstance(value, type) else getattr(value, "__doc__", None)
    if isinstance(own, str) and own.strip():
        signature = getattr(value, "__text_signature__", None) or ""
        yield {
            "module": module,
            "name": name,
            "signature": _readable(signature),
            "documentation": inspect.cleandoc(own).strip(),
        }


def _readable(signature: str) -> str:
    for marker in ("$self, /, ", "$module, /, ", "$type, /, ", "$self, ", "$module, ", "$type, "):
        signature = signature.replace(marker, "")
    for marker in ("$self, /", "$module, /", "$type, /", "$self", "$module", "$type"):
        signature = signature.replace(marker, "")
    return signature.replace("(/)", "()")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for entry in probe(module_names()):
        sys.stdout.write(json.dumps(entry) + "\n")

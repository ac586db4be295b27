"""The corpus that every machine has: documentation of the standard library and of packages."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from building import docstrings, native_probe
from building.docstrings import SourceModule
from building.records import Record

KEYWORD = "docs"
STDLIB_LANE = "stdlib"
OWN_DISTRIBUTION = "retrieval-stack"
RECORDS_PER_DISTRIBUTION = 600
"""One package of a thousand small classes must not drown the others, nor slow the demo."""

SHORTEST_WORDS = 4
_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9._-]+")


def read_documentation(distributions: Sequence[Distribution]) -> Iterator[Record]:
    """Records of the standard library, then of the distributions, in a fixed order.

    Left out: tests, private names, documentation of fewer than SHORTEST_WORDS words, a text that a
    distribution repeats, and what exceeds RECORDS_PER_DISTRIBUTION in the order of module names.
    """
    yield from _distinct(read_standard_library())
    for distribution in distributions:
        kept = _distinct(docstrings.read_modules(distribution_modules(distribution)))
        for _, record in zip(range(RECORDS_PER_DISTRIBUTION), kept, strict=False):
            yield record


def describe_documentation(distributions: Sequence[Distribution]) -> dict[str, object]:
    """What decides the contents of this corpus, in place of its bytes: versions."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": sysconfig.get_platform(),
        "distributions": [f"{item.name} {item.version}" for item in distributions],
        "records_per_distribution": RECORDS_PER_DISTRIBUTION,
        "shortest_words": SHORTEST_WORDS,
    }


def serving_distributions() -> list[Distribution]:
    """The distributions that this project itself asks for at run time, sorted by name.

    Development tools of the environment are left out, so that the corpus is the same for a user
    and for a developer. Where the project itself is not installed: every distribution.
    """
    installed = _installed_distributions()
    own = installed.get(OWN_DISTRIBUTION)
    names = installed if own is None else set(_required_names(own))
    return [installed[name] for name in sorted(names) if name in installed]


def read_standard_library() -> Iterator[Record]:
    """Source modules in the order of their names, each followed by what C code adds to it."""
    native = _native_records()
    for module in standard_modules():
        names = set()
        for record in docstrings.read_module(module):
            names.add(record.continuation)
            yield record
        for record in native.pop(module.name, []):
            if record.continuation not in names:
                yield record
    for records in native.values():
        yield from records


def standard_modules() -> list[SourceModule]:
    """Public source modules of the running interpreter's standard library, sorted by name."""
    root = Path(sysconfig.get_path("stdlib"))
    modules = []
    for name in native_probe.module_names():
        for path in (root / f"{name}.py", root / name):
            if path.exists():
                modules.extend(docstrings.find_modules(path, STDLIB_LANE))
    return sorted(modules, key=lambda module: module.name)


def distribution_modules(distribution: Distribution) -> list[SourceModule]:
    """Public source modules among the files that the distribution installed, sorted by name."""
    modules = []
    for file in distribution.files or ():
        path = Path(str(file))
        if path.suffix != ".py" or path.parts[0] == "..":
            continue
        name = docstrings.module_name(path)
        if docstrings.is_public(name):
            modules.append(
                SourceModule(name, Path(str(distribution.locate_file(file))), distribution.name)
            )
    return sorted(modules, key=lambda module: module.name)


def _installed_distributions() -> dict[str, Distribution]:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    found = importlib.metadata.distributions(path=sorted(folders))
    return {_canonical(item.name): item for item in found}


def _required_names(distribution: Distribution) -> Iterator[str]:
    for requirement in distribution.requires or ():
        text, _, marker = requirement.partition(";")
        match = _REQUIREMENT_NAME.match(text)
        if match and "extra" not in marker:
            yield _canonical(match[0])


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distinct(records: Iterable[Record]) -> Iterator[Record]:
    seen: set[str] = set()
    for record in records:
        documentation = record.text.partition("\n\n")[2]
        if len(documentation.split()) >= SHORTEST_WORDS and documentation not in seen:
            seen.add(documentation)
            yield record


def _native_records() -> dict[str, list[Record]]:
    script = Path(native_probe.__file__)
    done = subprocess.run(
        [sys.executable, "-I", str(script)], capture_output=True, check=True, timeout=120
    )
    records: dict[str, list[Record]] = {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        records.setdefault(entry["module"], []).append(_native_record(**entry))
    return records


def _native_record(module: str, name: str, signature: str, documentation: str) -> Record:
    # Nobody writes builtins.len.
    full_name = name if module == "builtins" and name else f"{module}.{name}".rstrip(".")
    header = f"{full_name}{signature}" if name else f"module {module}"
    return docstrings.make_record(module, STDLIB_LANE, full_name, header, documentation)

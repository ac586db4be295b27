"""The import law holds, and the law itself can fail."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.law import (
    ALLOWED,
    FORBIDDEN,
    OUR_PACKAGES,
    SERVING_PACKAGES,
    AllowedImports,
    ForbiddenImport,
)

ROOT = Path(__file__).resolve().parents[2]


def imported_modules(source: str) -> Iterator[str]:
    """Every module that the source imports, at any depth of nesting."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def violations_of(rule: AllowedImports) -> list[str]:
    allowed = {rule.package, *rule.allowed}
    found = []
    for path in sources(rule.package):
        tops = {module.split(".")[0] for module in imported_modules(path.read_text())}
        found += [
            f"{path.relative_to(ROOT)} imports {top}"
            for top in sorted(tops & set(OUR_PACKAGES) - allowed)
        ]
    return found


def users_of(rule: ForbiddenImport) -> list[str]:
    found = []
    for package in OUR_PACKAGES:
        if package in rule.allowed_in:
            continue
        for path in sources(package):
            modules = imported_modules(path.read_text())
            if any(module.split(".")[0] == rule.module for module in modules):
                found.append(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("rule", ALLOWED, ids=lambda rule: rule.package)
def test_a_package_imports_only_what_its_rule_allows(rule: AllowedImports) -> None:
    assert violations_of(rule) == [], rule.reason


@pytest.mark.parametrize("rule", FORBIDDEN, ids=lambda rule: rule.module)
def test_a_restricted_module_is_imported_only_where_allowed(rule: ForbiddenImport) -> None:
    assert users_of(rule) == [], rule.reason


def test_the_law_names_every_serving_package() -> None:
    assert set(SERVING_PACKAGES) <= {rule.package for rule in ALLOWED}


def test_every_package_with_code_is_known_to_the_law() -> None:
    with_code = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert with_code - {"tests"} <= set(OUR_PACKAGES)


def test_the_reader_of_imports_sees_nested_and_dotted_ones() -> None:
    source = "import a.b\ndef f():\n    from c.d import e\n    from . import g\n"
    assert set(imported_modules(source)) == {"a.b", "c.d"}


def _environment_reads(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}:
            yield node.lineno


@pytest.mark.parametrize("package", SERVING_PACKAGES)
def test_only_main_modules_read_the_environment(package: str) -> None:
    readers = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources(package)
        if path.name != "__main__.py"
        for line in _environment_reads(ast.parse(path.read_text()))
    ]
    assert readers == [], "Settings are loaded once, in __main__, and passed on."


@pytest.mark.parametrize("package", SERVING_PACKAGES)
def test_only_the_status_table_names_grpc_codes(package: str) -> None:
    namers = [
        str(path.relative_to(ROOT))
        for path in sources(package)
        if path.relative_to(ROOT) != Path("servicekit/status.py")
        and any(
            isinstance(node, ast.Attribute) and node.attr == "StatusCode"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert namers == [], "One table maps errors to codes, so that no server disagrees with it."

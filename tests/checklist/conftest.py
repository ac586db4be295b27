"""One operator's shell for all that the checklist and the runbook say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.operator_shell import OperatorShell, operator_shell


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorShell]:
    with operator_shell(tmp_path_factory.mktemp("operator")) as made:
        yield made

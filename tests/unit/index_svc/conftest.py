"""One FAISS thread: a pool a call costs these small searches more than it saves."""

from __future__ import annotations

import faiss
import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_faiss_thread() -> None:
    faiss.omp_set_num_threads(1)

"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, and no deadline: a busy machine is no defect of the code.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

"""The query model that an evaluation in process asks with: the one that is served for a release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encoder_svc.query_model_choice import FALLBACK_ORDER
from encoder_svc.query_model_files import load_query_model
from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER
from encoder_svc.query_models import RULES, QueryModel
from releases.bundle import Release
from releases.layout import QUERY_MODEL_NAMES, query_model_graph, query_model_manifest
from retrieval_core.errors import FailedPrecondition, InvalidInput, NotFound

KNOWN_NAMES = (*QUERY_MODEL_NAMES, *RULES)


@dataclass(frozen=True, slots=True)
class QueryModelSource:
    """Where learned models are looked for, and the encoder whose vectors they have to fit."""

    folder: Path
    encoder_fingerprint: str

    def find(self, name: str = "") -> QueryModel:
        """The model of that name; without one the first that is there, as the encoder serves it.

        InvalidInput for an unknown name, NotFound or FailedPrecondition for a learned one that is
        not there or is of another encoder.
        """
        if not name:
            return self._first_there()
        if name in RULES:
            return RULES[name]
        if name not in QUERY_MODEL_NAMES:
            raise InvalidInput("--query-model", f"is {name!r}, must be one of {[*KNOWN_NAMES]}")
        return load_query_model(self.folder, name, self.encoder_fingerprint)

    def _first_there(self) -> QueryModel:
        for name in FALLBACK_ORDER:
            try:
                return self.find(name)
            except (NotFound, FailedPrecondition):
                continue
        raise AssertionError("a rule is always there")


def query_models_of(release: Release) -> QueryModelSource:
    """The models that the release carries, verified, or the embedded ones where it has none."""
    own = [
        file
        for name in QUERY_MODEL_NAMES
        for file in (query_model_graph(name), query_model_manifest(name))
        if file in release.manifest.files
    ]
    release.verify(own)
    folder = release.folder if own else DEFAULT_QUERY_MODELS_FOLDER
    return QueryModelSource(folder, release.manifest.encoder.fingerprint)

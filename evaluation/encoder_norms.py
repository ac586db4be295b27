"""Norms of vectors that a release's encoder makes now, of texts and of contexts."""

from __future__ import annotations

import numpy as np

from encoder_svc.encoder import Encoder
from encoder_svc.query_models import RULES
from evaluation.norms import NormReport, check_norms
from evaluation.query_models import query_models_of
from evaluation.querysets import MAX_CONTEXT_ITEMS
from evaluation.release_passages import ReleasePassages
from releases.bundle import Release


def check_encoder_norms(release: Release, count: int, tolerance: float) -> list[NormReport]:
    """Encode texts spread over the corpus, and predict from runs of five; nothing for count 0."""
    if not count:
        return []
    passages = ReleasePassages.open(release)
    rows = np.unique(np.linspace(0, len(passages) - 1, min(count, len(passages))).astype(int))
    encoder = Encoder.load(release.encoder_folder())
    vectors = encoder.encode([passages.texts[row] for row in rows]).vectors
    starts = range(0, len(vectors), MAX_CONTEXT_ITEMS)
    contexts = [vectors[start : start + MAX_CONTEXT_ITEMS] for start in starts]
    served = query_models_of(release).find()
    return [
        check_norms("queries of texts", iter([vectors]), tolerance),
        *(
            check_norms(
                f"queries of contexts ({model.name})",
                (model.predict(context) for context in contexts),
                tolerance,
            )
            for model in {served.name: served, **RULES}.values()
        ),
    ]

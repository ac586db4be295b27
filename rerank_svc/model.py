"""The loaded reranker: features, standardisation and the two-layer network in one call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort

from rerank_svc.candidates import QueryKind, RerankInput
from rerank_svc.features import FEATURE_NAMES, compute_features
from rerank_svc.manifest import (
    RerankerManifest,
    manifest_projection,
    read_reranker_manifest,
    verified_model_file,
)
from retrieval_core.errors import DamagedArtifact, FailedPrecondition, InternalError
from retrieval_core.hits import Float32Array
from retrieval_core.vectors import DIMENSIONS, Float32Matrix, normalize_rows

FEATURES_INPUT = "features"
KIND_INPUT = "query_kind"
SCORES_OUTPUT = "scores"

_WARM_CANDIDATES = 50
_WARM_RUNS = 20
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class Scored:
    """scores [n] float32, higher is better, and the features [n, f] float32 they came from."""

    scores: Float32Array
    features: Float32Matrix


class RerankModel:
    """One reranker, immutable once loaded; calls from several threads do not disturb each other."""

    def __init__(
        self, manifest: RerankerManifest, session: ort.InferenceSession, projection: Float32Matrix
    ) -> None:
        self.manifest = manifest
        self._session = session
        self._projection = projection

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load reranker_mlp_v0.onnx and .json of `folder` after their checksums.

        DamagedArtifact for files that are not what the manifest says, or a graph that is no
        reranker.
        """
        manifest = read_reranker_manifest(folder)
        path = verified_model_file(folder, manifest)
        return cls(manifest, _open_session(path), manifest_projection(manifest))

    def check_fingerprint(self, fingerprint: str) -> None:
        """Refuse vectors of another encoder; an empty fingerprint is not checked."""
        own = self.manifest.encoder_fingerprint
        if fingerprint and fingerprint != own:
            raise FailedPrecondition(
                f"the vectors are of encoder {fingerprint}, the reranker {self.manifest.name} was "
                f"trained on encoder {own}",
                reason="FINGERPRINT_MISMATCH",
            )

    def score(self, given: RerankInput) -> Scored:
        """Score every candidate; the result does not depend on their order.

        InternalError rather than a score that is not a finite number.
        """
        features = compute_features(given, self._projection)
        return Scored(self.score_features(features, given.kind), features)

    def score_features(self, features: Float32Matrix, kind: QueryKind) -> Float32Array:
        """The network alone: features [n, f] float32 to scores [n] float32, row by row."""
        inputs = {FEATURES_INPUT: features, KIND_INPUT: np.array([kind.value], np.int64)}
        (scores,) = self._session.run([SCORES_OUTPUT], inputs)
        if not np.isfinite(scores).all():
            raise InternalError("the reranker's scores are not finite")
        return np.asarray(scores, np.float32)

    def warm(self) -> None:
        """Run both sets of weights on made-up candidates, so that the first call is not slow."""
        for kind in QueryKind:
            given = _made_up_input(kind, self.manifest.projection_dimensions)
            for _ in range(_WARM_RUNS):
                self.score(given)


def _open_session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # 50 rows of a small network: handing parts to other threads costs more than it saves.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DamagedArtifact(f"{path}: is not a graph that can be run") from error
    _check_signature(path, session)
    return session


def _check_signature(path: Path, session: ort.InferenceSession) -> None:
    inputs: list[Any] = session.get_inputs()
    shapes = {node.name: node.shape for node in inputs}
    outputs = [node.name for node in session.get_outputs()]
    columns = shapes.get(FEATURES_INPUT, [None])[-1]
    if set(shapes) != {FEATURES_INPUT, KIND_INPUT} or outputs != [SCORES_OUTPUT]:
        raise DamagedArtifact(f"{path}: is not a reranker, its inputs are {sorted(shapes)}")
    if columns != len(FEATURE_NAMES):
        raise DamagedArtifact(f"{path}: reads {columns} features, not {len(FEATURE_NAMES)}")


def _made_up_input(kind: QueryKind, projection_dimensions: int) -> RerankInput:
    generator = np.random.default_rng(0)
    context = normalize_rows(generator.standard_normal((5, DIMENSIONS)))
    return RerankInput(
        kind=kind,
        scores=generator.uniform(0.2, 0.9, _WARM_CANDIDATES).astype(np.float32),
        article_keys=generator.integers(0, 12, _WARM_CANDIDATES).astype(np.uint64),
        projections=generator.normal(0, 0.125, (_WARM_CANDIDATES, projection_dimensions)).astype(
            np.float16
        ),
        query=normalize_rows(context.mean(axis=0, keepdims=True)),
        context=context if kind is QueryKind.CONTEXT else None,
    )

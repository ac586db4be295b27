"""The passages of a release by id, for evaluations that have the whole corpus at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

from evaluation.querysets import QuerySet
from releases.bundle import Release
from releases.layout import PASSAGES_NAME
from releases.passages import open_passages
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.hits import Int64Array


@dataclass(frozen=True)
class ReleasePassages:
    """All passages in the order of rows; `digest` names exactly this corpus, cut as it is."""

    digest: str
    table: pa.Table

    @classmethod
    def open(cls, release: Release) -> Self:
        """Verify and map the passages of the whole release."""
        release.verify([PASSAGES_NAME])
        return cls(corpus_digest(release), open_passages(release.path(PASSAGES_NAME)))

    @cached_property
    def ids(self) -> Int64Array:
        """Passage ids [n] int64."""
        return np.asarray(self.table["passage_id"].to_numpy(), np.int64)

    @cached_property
    def rows(self) -> Mapping[int, int]:
        """Row by passage id."""
        return {passage_id: row for row, passage_id in enumerate(self.ids.tolist())}

    @cached_property
    def lanes(self) -> Sequence[str]:
        """Lane of each row."""
        return list(self.table["lane"].to_pylist())

    @cached_property
    def article_ids(self) -> Sequence[str]:
        """Article of each row."""
        return list(self.table["article_id"].to_pylist())

    @cached_property
    def positions(self) -> Sequence[int]:
        """Position within its article of each row."""
        return list(self.table["position"].to_pylist())

    @cached_property
    def texts(self) -> Sequence[str]:
        """Text of each row."""
        return list(self.table["text"].to_pylist())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def rows_of(self, passage_ids: Sequence[int]) -> list[int]:
        """Rows of these passages. InvalidInput for an id that the corpus does not have."""
        try:
            return [self.rows[passage_id] for passage_id in passage_ids]
        except KeyError as error:
            raise InvalidInput("passage_id", f"the corpus has no passage {error}") from None

    def texts_of(self, query_set: QuerySet) -> dict[int, str]:
        """Texts of all relevant passages by id."""
        wanted = sorted({gold for query in query_set.queries for gold in query.gold_ids})
        rows = self.rows_of(wanted)
        return {passage_id: self.texts[row] for passage_id, row in zip(wanted, rows, strict=True)}

    def lanes_of(self, query_set: QuerySet) -> list[str]:
        """For each query the lane of its first relevant passage."""
        return [
            self.lanes[row]
            for row in self.rows_of([query.gold_ids[0] for query in query_set.queries])
        ]

    def check_fits(self, query_set: QuerySet) -> None:
        """FailedPrecondition unless the set was made for this very corpus."""
        if query_set.corpus_digest != self.digest:
            raise FailedPrecondition(
                f"query set {query_set.name!r} was made for passages {query_set.corpus_digest}, "
                f"the release has {self.digest}; make it again with tools/make_query_set.py",
                reason="CORPUS_MISMATCH",
            )


def corpus_digest(release: Release) -> str:
    """Digest of the passages: the same whatever encoder, index or number of shards goes on top."""
    return f"sha256:{release.manifest.files[PASSAGES_NAME].sha256}"

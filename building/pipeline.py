"""From a plan to a release: read, cut, encode, index, seal. Killed at any point, nothing is lost.

A finished release appears in one step; encoded partitions stay until it does, so that the same
command given again goes on where it was stopped.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from building.assembly import Contents, copy_models, train_coarse_quantizer, write_indexes
from building.cutting import Cutter
from building.encoding import EncodeTexts, Encoding, encode_passages
from building.measuring import measure_gates
from building.passages import CutCorpus, cut_records, passage_table
from building.plan import BuildPlan, find_built
from building.progress import Progress
from building.reading import order_records
from building.records import Record
from building.tokens import FastTokenCounter, TokenCounter
from releases.bundle import Release
from releases.manifest import CorpusRecord, CutRecord, EncoderRecord, Manifest
from releases.writing import discard_work, lock_build, publish_release, staging_folder
from retrieval_core.errors import FailedPrecondition, InvalidInput
from retrieval_core.projection import PROJECTION_COLUMNS
from retrieval_core.vectors import DIMENSIONS, Float32Matrix

_RECORDS_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Tools:
    """What a build works with: the loaded encoder, its token counts, and where to report."""

    encode: EncodeTexts
    tokens: TokenCounter
    progress: Progress
    worker_count: int = 1


def build_release(plan: BuildPlan, tools: Tools, created: dt.datetime) -> Release:
    """Build the release of the plan, or return it if it was finished by another meanwhile.

    Two builds of the same plan on the same machine give the same bytes, `created` apart. Raises
    InvalidInput for a corpus or an option that cannot be used; nothing is left half-written.
    """
    inputs_digest = plan.inputs_digest()
    with lock_build(plan.releases_folder, plan.name) as work:
        if (built := find_built(plan, inputs_digest)) is not None:
            return built
        cut = _read_and_cut(plan, tools)
        vectors = _encode(plan, tools, cut, work)
        if plan.inputs_digest() != inputs_digest:
            raise FailedPrecondition(
                "the corpus changed while it was being read; build it again",
                reason="CORPUS_CHANGED",
            )
        with tools.progress.stage("index"):
            centroids = train_coarse_quantizer(vectors, plan.options.nlist, plan.options.seed)
        contents = Contents(passage_table(cut.passages), vectors, centroids)
        manifest = _describe(plan, inputs_digest, cut, contents, created)
        with staging_folder(plan.releases_folder, plan.name) as staging:
            with tools.progress.stage("write"):
                write_indexes(staging, contents, plan.options.shard_count)
                copy_models(staging, plan)
            with tools.progress.stage("seal"):
                release = publish_release(staging, plan.releases_folder, manifest)
        discard_work(work)
        return release


def load_token_counter(plan: BuildPlan) -> TokenCounter:
    """The encoder's own tokenizer. InvalidInput if passages would not fit the encoder."""
    tokens = FastTokenCounter.load(plan.encoder.tokenizer)
    longest = plan.encoder.manifest.max_tokens - tokens.special_count
    if plan.options.max_tokens > longest:
        raise InvalidInput(
            "--max-tokens", f"is {plan.options.max_tokens}; this encoder reads at most {longest}"
        )
    return tokens


def _read_and_cut(plan: BuildPlan, tools: Tools) -> CutCorpus:
    records: list[Record] = []
    with tools.progress.stage("read") as advance:
        for record in plan.corpus.records():
            records.append(record)
            if len(records) % _RECORDS_AT_A_TIME == 0:
                advance(_RECORDS_AT_A_TIME)
        advance(len(records) % _RECORDS_AT_A_TIME)
        ordered = order_records(records)
    with tools.progress.stage("cut", len(ordered)) as advance:
        cutter = Cutter(tools.tokens, plan.options.max_tokens)
        return cut_records(ordered, cutter, plan.encoder.manifest.max_tokens, advance)


def _encode(plan: BuildPlan, tools: Tools, cut: CutCorpus, work: Path) -> Float32Matrix:
    fingerprint = plan.encoder.manifest.fingerprint
    encoding = Encoding(tools.encode, fingerprint, work, tools.worker_count)
    texts = [passage.text for passage in cut.passages]
    with tools.progress.stage("encode", len(texts)) as advance:
        return encode_passages(texts, encoding, advance)


def _describe(
    plan: BuildPlan,
    inputs_digest: str,
    cut: CutCorpus,
    contents: Contents,
    created: dt.datetime,
) -> Manifest:
    encoder = plan.encoder.manifest
    nlist = len(contents.centroids)
    nprobe = min(plan.options.nprobe, nlist)
    return Manifest(
        release_id=plan.name,
        created=created.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        corpus=CorpusRecord(plan.corpus.name, inputs_digest),
        encoder=EncoderRecord(
            encoder.fingerprint, encoder.name, encoder.precision, encoder.max_tokens
        ),
        reranker=plan.reranker.name if plan.reranker else None,
        dimensions=DIMENSIONS,
        passage_count=len(cut.passages),
        article_count=len({passage.article_id for passage in cut.passages}),
        lanes=tuple(sorted({passage.lane for passage in cut.passages})),
        shard_count=plan.options.shard_count,
        nlist=nlist,
        nprobe=nprobe,
        projection_dimensions=PROJECTION_COLUMNS,
        seed=plan.options.seed,
        cut=CutRecord(plan.options.max_tokens, cut.truncated_count),
        gates=measure_gates(contents.vectors, contents.centroids, nprobe),
        files={},
    )

"""The passages of a release as an Arrow file: uncompressed, so that reading it is mapping it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from retrieval_core.errors import DamagedArtifact

PASSAGE_SCHEMA = pa.schema(
    [
        pa.field("passage_id", pa.int64(), nullable=False),
        pa.field("article_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)
"""One row a passage; row i belongs to vector i of the index beside it."""

ROWS_PER_BATCH = 16_384


def write_passages(table: pa.Table, path: Path) -> None:
    """Write a table of PASSAGE_SCHEMA as an Arrow IPC file. Equal tables give equal bytes."""
    ordered = table.cast(PASSAGE_SCHEMA)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, PASSAGE_SCHEMA) as writer:
        writer.write_table(ordered, max_chunksize=ROWS_PER_BATCH)


def open_passages(path: Path) -> pa.Table:
    """Map the file; the table reads pages as they are needed. DamagedArtifact if it is another."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DamagedArtifact(f"{path}: is not an Arrow file ({error})") from error
    if table.schema != PASSAGE_SCHEMA:
        raise DamagedArtifact(f"{path}: columns are {table.schema.names}, not those of passages")
    return table

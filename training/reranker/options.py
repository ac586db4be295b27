"""Options that the commands of the reranker share."""

from __future__ import annotations

import argparse
from pathlib import Path

from encoder_svc.query_model_loading import DEFAULT_QUERY_MODELS_FOLDER

DEFAULT_CACHE = Path("artifacts/training/reranker")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where texts and vectors come from."""
    parser.add_argument(
        "--corpus", type=Path, required=True, help="paragraphs with questions, .jsonl or .jsonl.gz"
    )
    parser.add_argument(
        "--model", type=Path, default=Path("encoder_svc/default_model"), help="encoder's folder"
    )
    parser.add_argument(
        "--query-models",
        type=Path,
        default=DEFAULT_QUERY_MODELS_FOLDER,
        help="folder of the query models that contexts are searched with",
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where vectors are kept")
    parser.add_argument("--threads", type=int, default=2, help="threads that encode")

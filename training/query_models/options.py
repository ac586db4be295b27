"""Options that the commands of the query models share."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.reranker.options import DEFAULT_CACHE

DEFAULT_ENCODER = Path("encoder_svc/default_model")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where texts and vectors come from."""
    parser.add_argument(
        "--corpus", type=Path, required=True, help="paragraphs in order, .jsonl or .jsonl.gz"
    )
    parser.add_argument(
        "--encoder", type=Path, default=DEFAULT_ENCODER, help="folder of the encoder"
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where vectors are kept")
    parser.add_argument("--threads", type=int, default=2, help="threads of training and encoding")

"""Trains the default encoder: `python -m training.encoder --corpus FILE`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from training.encoder.corpus import read_extra_paragraphs, read_paragraphs
from training.encoder.run import RunPaths, run_training
from training.encoder.settings import DEFAULT_RUN

REPOSITORY = Path(__file__).resolve().parents[2]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.encoder",
        description="Train the default encoder; progress on standard error, the folder of the "
        "checkpoint on standard output. The teacher's vectors are kept, so that an interrupted "
        "run loses little.",
    )
    parser.add_argument(
        "--corpus", type=Path, required=True, help="paragraphs with questions, .jsonl or .jsonl.gz"
    )
    parser.add_argument(
        "--more",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="further paragraphs to train on, of any topic; their questions are not read",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=REPOSITORY / "encoder_svc/default_model/tokenizer.json",
        help="a T5 tokenizer.json (default: the shipped model's)",
    )
    parser.add_argument("--name", default="default", help="the run's name (default: default)")
    parser.add_argument(
        "--out",
        type=Path,
        default=REPOSITORY / "artifacts/training/encoder",
        help="folder of all runs and of the teacher's vectors",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_RUN.seed)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu"
    )
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    corpus = read_paragraphs(arguments.corpus)
    checkpoint = run_training(
        [*corpus, *read_extra_paragraphs(arguments.more, corpus)],
        dataclasses.replace(DEFAULT_RUN, seed=arguments.seed),
        RunPaths(arguments.tokenizer, arguments.out / "teacher", arguments.out / arguments.name),
        torch.device(arguments.device),
    )
    print(checkpoint)


if __name__ == "__main__":
    main()

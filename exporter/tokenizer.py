"""Writes a fast tokenizer file, converting a sentencepiece model where that is all there is."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from exporter.errors import SourceInvalid

_PAD_ID = 0
_END_ID = 1
_SAMPLES = ("The house is wonderful.", "naïve café №5", "two  spaces (and 3.14)", "x")


def write_tokenizer(source: Path, target: Path) -> None:
    """Write `target` (tokenizer.json) from a source folder, without padding or truncation.

    Raises SourceInvalid where there is no tokenizer, or it is not T5's: pad 0, text ends in </s>.
    """
    tokenizer = _load(source)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    _check(tokenizer, source)
    tokenizer.save(str(target), pretty=False)


def _load(source: Path) -> Tokenizer:
    fast = source / "tokenizer.json"
    if fast.is_file():
        return Tokenizer.from_file(str(fast))
    if not (source / "spiece.model").is_file():
        raise SourceInvalid(f"{source}: neither tokenizer.json nor spiece.model")
    converted = _convert(source)
    _compare_with_sentencepiece(converted, source)
    return converted


def _convert(source: Path) -> Tokenizer:
    from transformers import AutoTokenizer  # slow to import, and only needed here

    # Through the folder, not the file alone: its settings decide about the first word's space.
    loaded = AutoTokenizer.from_pretrained(str(source), use_fast=True)
    return Tokenizer.from_str(loaded.backend_tokenizer.to_str())


def _compare_with_sentencepiece(converted: Tokenizer, source: Path) -> None:
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(source / "spiece.model"))
    for text in _SAMPLES:
        if converted.encode(text).ids != [*pieces.encode(text), _END_ID]:
            raise SourceInvalid(f"{source}: the converted tokenizer differs on {text!r}")


def _check(tokenizer: Tokenizer, source: Path) -> None:
    ids = tokenizer.encode("one text").ids
    if tokenizer.token_to_id("<pad>") != _PAD_ID:
        raise SourceInvalid(f"{source}: <pad> is {tokenizer.token_to_id('<pad>')}, expected 0")
    if ids[-1:] != [_END_ID] or ids.count(_END_ID) != 1:
        raise SourceInvalid(f"{source}: the tokenizer does not close a text with one </s> (id 1)")

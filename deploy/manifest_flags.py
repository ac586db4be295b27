"""Puts flags into a Kubernetes manifest: text in, text out; nothing is asked of a cluster.

A manifest is applied as it is written, so a variable of the operator's shell does not reach it by
itself. What is replaced is the block `flags.json` of every ConfigMap with the label
`retrieval-flags: carried`; all other text stays as it is.
"""

from __future__ import annotations

import json
import re

from retrieval_core.errors import InvalidInput, NotFound
from retrieval_core.flags import FlagValues, checked_flags, parse_flags

_CARRIED = re.compile(r"^ +retrieval-flags: carried$", re.MULTILINE)
_FLAGS = re.compile(
    r"^(?P<indent> +)flags\.json: \|\n(?P<block>(?:(?P=indent) +.*\n)+)", re.MULTILINE
)
_SEPARATOR = re.compile(r"^---\n", re.MULTILINE)


def carry_flags(manifest: str, changes: FlagValues) -> str:
    """The manifest with the changes in its flags; what they do not name keeps its value.

    Raises NotFound when the manifest has no flags to carry, InvalidInput when a flag is wrong.
    """
    documents = _SEPARATOR.split(manifest if manifest.endswith("\n") else manifest + "\n")
    carried = [_changed(document, changes) for document in documents]
    if all(document is None for document in carried):
        raise NotFound("the manifest has no ConfigMap with the label `retrieval-flags: carried`")
    return "---\n".join(
        after if after is not None else before
        for before, after in zip(documents, carried, strict=True)
    )


def carried_flags(manifest: str) -> FlagValues:
    """The flags that applying the manifest puts in force. Raises as carry_flags does."""
    for document in _SEPARATOR.split(manifest):
        if _CARRIED.search(document):
            return _flags_of(_block(document))
    raise NotFound("the manifest has no ConfigMap with the label `retrieval-flags: carried`")


def _changed(document: str, changes: FlagValues) -> str | None:
    """The document with the changes; None where it has no flags to carry."""
    if not _CARRIED.search(document):
        return None
    block = _block(document)
    values = checked_flags({**_flags_of(block), **changes})
    lines = json.dumps(dict(values), indent=2).splitlines()
    inner = " " * (len(block["indent"]) + 2)
    start, end = block.span("block")
    return document[:start] + "".join(f"{inner}{line}\n" for line in lines) + document[end:]


def _block(document: str) -> re.Match[str]:
    block = _FLAGS.search(document)
    if block is None:
        raise InvalidInput("flags.json", "is no block of text in the ConfigMap that carries flags")
    return block


def _flags_of(block: re.Match[str]) -> FlagValues:
    return parse_flags(block["block"])

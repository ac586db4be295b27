#!/usr/bin/env python3
"""Print a Kubernetes manifest with the exported flags in it, to be applied.

RETRIEVER_IMPL, RERANKER, CANARY_PERCENT, FAISS_NPROBE and SHADOW_PERCENT are read from the
environment; a flag that is not exported keeps the manifest's value.

    export CANARY_PERCENT=25
    python tools/render_k8s.py k8s/retriever-v0-canary.yaml | kubectl apply -f -

Exit status: 0 printed, 1 the file cannot be read or written, 2 wrong usage, a wrong value, or a
manifest without flags.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.manifest_flags import carried_flags, carry_flags
from evaluation.commands import errors_as_exits
from evaluation.json_values import to_line
from retrieval_core.flags import flags_from_environment

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def render_k8s(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose flags are to be set.")],
    out: Annotated[Path | None, typer.Option(help="Write there instead of printing.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the flags and the manifest as one JSON object.")
    ] = False,
) -> None:
    """Carry the exported flags into the manifest."""
    with errors_as_exits():
        text = manifest.read_text(encoding="utf-8")
        rendered = carry_flags(text, flags_from_environment(os.environ))
        flags = dict(carried_flags(rendered))
        if out is not None:
            out.write_text(rendered, encoding="utf-8")
        if as_json:
            sys.stdout.write(to_line({"flags": flags, "manifest": rendered}))
        elif out is None:
            sys.stdout.write(rendered)
        sys.stderr.write(f"flags of {manifest}: {to_line(flags)}")


if __name__ == "__main__":
    app()

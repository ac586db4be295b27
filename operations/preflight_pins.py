"""Checks of what is pinned: encoder, index, reranker and query model, as they are in force."""

from __future__ import annotations

from operations.findings import Finding, judged, unknown
from operations.preflight_subject import PreflightSubject
from retrieval_core.vectors import DIMENSIONS

UNIT_NORM_GATE = "unit_norm"


def check_encoder_pin(subject: PreflightSubject) -> Finding:
    """The release's encoder is the pinned one, of 768 dimensions, with normalised vectors."""
    manifest = subject.release.manifest
    wrong = []
    if subject.pins.encoder and manifest.encoder.name != subject.pins.encoder:
        wrong.append(f"pinned is {subject.pins.encoder}")
    if manifest.dimensions != DIMENSIONS:
        wrong.append(f"{DIMENSIONS} dimensions are wanted")
    gate = manifest.gates.get(UNIT_NORM_GATE)
    if gate is None or not gate.passed:
        wrong.append("the build did not find its vectors of unit norm")
    figure = f"{manifest.encoder.name}, {manifest.dimensions}-D, {manifest.encoder.precision}"
    pinned = "" if subject.pins.encoder else "no name was pinned: --encoder pins one"
    return judged(not wrong, figure, "; ".join(wrong) or pinned)


def check_index_pin(subject: PreflightSubject) -> Finding:
    """The index is IVF-Flat, and the gateway asks for the nprobe of the operating point."""
    kind = "FLAT" if subject.ivf.is_flat else "IVF-Flat"
    asked = int(subject.baseline.get("nprobe") or 0)
    in_force = asked or subject.nprobe
    figure = f"{kind}, {subject.ivf.nlist} lists, nprobe {in_force}"
    holds = not subject.ivf.is_flat and in_force == subject.nprobe
    detail = f"nprobe {subject.nprobe} is the release's" if in_force != subject.nprobe else ""
    return judged(holds, figure, detail)


def check_reranker_pin(subject: PreflightSubject) -> Finding:
    """The release brings a reranker and the gateway uses one."""
    bundled = subject.release.manifest.reranker
    state = subject.baseline.get("reranker")
    if state is None:
        return unknown("the gateway does not say whether it reranks")
    detail = "" if bundled else "the release has no reranker that fits its encoder"
    return judged(bool(bundled) and state == "on", f"{bundled or 'none'}, {state}", detail)


def check_retriever_pin(subject: PreflightSubject) -> Finding:
    """The flag names the pinned query model."""
    found = subject.baseline.get("retriever_impl")
    if found is None:
        return unknown("the gateway does not say which query model it asks for")
    if not found:
        return judged(False, "not set", "the encoder's own default answers")
    return judged(found == subject.pins.retriever_impl, str(found))

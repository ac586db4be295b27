"""Preflight: every box of the go-live checklist that a machine can tick, as data."""

from __future__ import annotations

from collections.abc import Sequence

from operations import preflight_pins as pins
from operations import preflight_release as release
from operations import preflight_rollback as rollback
from operations import preflight_stack as stack
from operations.findings import Check, CheckResult, run_checks
from operations.preflight_subject import PreflightSubject
from retrieval_core.errors import InvalidInput

ARTIFACTS = "artifacts"
SMOKE_TESTS = "smoke tests"
CONFIG_PINS = "config pins"
OBSERVABILITY = "observability"
ROLLBACK = "rollback"
SHIP_GATES = "ship gates"

CHECKS: tuple[Check[PreflightSubject], ...] = (
    Check(
        "release_files",
        ARTIFACTS,
        "files of the release",
        "indexes, passages, encoder, query model, reranker",
        "build it: tools/build_release.py, then tools/release.py promote NAME",
        release.check_files,
    ),
    Check(
        "git_tag",
        ARTIFACTS,
        "git tag",
        "exists",
        "git tag v0-retriever, or name another with --tag",
        release.check_tag,
    ),
    Check(
        "checksums",
        ARTIFACTS,
        "checksums",
        "0 bad files",
        "tools/release.py verify names all; pull the release again or build it anew",
        release.check_checksums,
    ),
    Check(
        "ivf_agreement",
        SMOKE_TESTS,
        "IVF against FLAT, top 10",
        "≥ 0.95, with its interval",
        "tools/nprobe_sweep.py --write-operating-point finds the nprobe",
        release.check_ivf_agreement,
    ),
    Check(
        "reranker_lift",
        SMOKE_TESTS,
        "reranker lift, R@5",
        "≥ +3 pp for contexts, no loss for questions",
        "run_clean_eval.py --hits artifacts/eval/hits50 writes both files; make train-reranker",
        release.check_reranker_lift,
    ),
    Check(
        "unit_norms",
        SMOKE_TESTS,
        "norms of passages and queries",
        "|norm - 1| < 1e-5",
        "tools/check_l2_norms.py names the rows; export the encoder with normalisation",
        release.check_norms,
    ),
    Check(
        "encoder_pin",
        CONFIG_PINS,
        "encoder",
        "the pinned one, 768-D, normalised",
        "build the release with --encoder FOLDER of the pinned model",
        pins.check_encoder_pin,
    ),
    Check(
        "index_pin",
        CONFIG_PINS,
        "index",
        "IVF-Flat at the operating point's nprobe",
        "tools/flags.py set FAISS_NPROBE=0, which is the release's own",
        pins.check_index_pin,
    ),
    Check(
        "reranker_pin",
        CONFIG_PINS,
        "reranker",
        "bundled, on",
        "tools/flags.py set RERANKER=on; train one for this encoder: make train-reranker",
        pins.check_reranker_pin,
    ),
    Check(
        "retriever_pin",
        CONFIG_PINS,
        "query model",
        "RETRIEVER_IMPL is the pinned one",
        "tools/flags.py set RETRIEVER_IMPL=amn_v0, or pin another with --retriever-impl",
        pins.check_retriever_pin,
    ),
    Check(
        "health",
        OBSERVABILITY,
        "/health",
        "ok, whole, serves the release",
        "tools/diagnose_retriever.py says what is wrong; make up RELEASE=NAME starts a stack",
        stack.check_health,
    ),
    Check(
        "histograms",
        OBSERVABILITY,
        "latency histograms",
        "buckets at 2, 8, 10 and 20 ms",
        "scrape the gateway's /metrics; an older gateway has to be replaced",
        stack.check_histograms,
    ),
    Check(
        "budgets",
        OBSERVABILITY,
        "P95 against budget",
        "retrieval ≤ 8 ms, rerank ≤ 2 ms, whole ≤ 10 ms",
        "make bench sends requests; then tools/nprobe_sweep.py, or more replicas",
        stack.check_budgets,
    ),
    Check(
        "alerts",
        OBSERVABILITY,
        "alerts",
        "every alert, its severity, a runbook",
        "load deploy/prometheus/rules.yml",
        stack.check_alerts,
    ),
    Check(
        "previous_release",
        ROLLBACK,
        "previous release",
        "there, verified, another one",
        "promote the release to go back to first, then this one",
        rollback.check_previous,
    ),
    Check(
        "rollback_rehearsed",
        ROLLBACK,
        "rollback rehearsed",
        "≤ 5 s, no failed request, lately",
        "with a stack up: bash scripts/rollback_retriever.sh, then promote again",
        rollback.check_rollback_rehearsal,
    ),
    Check(
        "kill_switch_rehearsed",
        ROLLBACK,
        "kill switch rehearsed",
        "≤ 1 s, no failed request, lately",
        "with a stack up: python tools/preflight.py --rehearse-kill-switch",
        rollback.check_kill_switch_rehearsal,
    ),
    Check(
        "ship_gates",
        SHIP_GATES,
        "clean evaluation",
        "R@5 ≥ 0.30 or MRR ≥ 0.20, Contain@50 ≥ 0.82",
        "tools/run_clean_eval.py --out artifacts/eval/metrics.json --hits artifacts/eval/hits50",
        release.check_ship_gates,
    ),
)


def run_preflight(subject: PreflightSubject, only: Sequence[str] = ()) -> list[CheckResult]:
    """Run all checks, or those named. InvalidInput for a name that is none."""
    names = [check.name for check in CHECKS]
    if unknown := sorted(set(only) - set(names)):
        raise InvalidInput("--only", f"{unknown[0]!r} is none of {', '.join(names)}")
    return run_checks([check for check in CHECKS if not only or check.name in only], subject)

"""Flags: what is accepted, what is refused whole, and which layer wins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.errors import InvalidInput
from retrieval_core.flags import (
    FLAG_NAMES,
    KILLED,
    MAX_NPROBE,
    RETRIEVER_IMPLS,
    ArmFlags,
    Flags,
    flag_values,
    flags_from_assignments,
    flags_from_environment,
    flags_of,
    parse_flags,
)

Layers = st.fixed_dictionaries(
    {},
    optional={
        "RETRIEVER_IMPL": st.sampled_from(RETRIEVER_IMPLS),
        "RERANKER": st.sampled_from(["on", "off"]),
        "CANARY_PERCENT": st.integers(0, 100) | st.floats(0, 100),
        "FAISS_NPROBE": st.integers(0, MAX_NPROBE),
        "SHADOW_PERCENT": st.integers(0, 100),
    },
)


def refusal(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        parse_flags(text)
    return [violation.field for violation in caught.value.violations]


def test_nothing_said_means_the_defaults() -> None:
    assert flags_of() == Flags()
    assert Flags().baseline == ArmFlags(retriever_impl="", reranker=True, faiss_nprobe=0)


@given(Layers, Layers)
def test_the_upper_layer_wins_name_by_name(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    values = flag_values(flags_of(lower, upper))
    for name in FLAG_NAMES:
        if name in upper or name in lower:
            assert values[name] == upper.get(name, lower.get(name))


@given(Layers)
def test_a_file_says_what_was_written(layer: dict[str, Any]) -> None:
    assert parse_flags(json.dumps(layer)) == layer


def test_the_canary_has_what_the_baseline_has_unless_told_otherwise() -> None:
    flags = flags_of(
        {"RETRIEVER_IMPL": "amn_v0", "FAISS_NPROBE": 4, "canary": {"FAISS_NPROBE": 16}}
    )
    assert flags.baseline == ArmFlags("amn_v0", reranker=True, faiss_nprobe=4)
    assert flags.canary == ArmFlags("amn_v0", reranker=True, faiss_nprobe=16)
    assert flags.overrides_canary
    assert not flags_of({"canary": {}}).overrides_canary


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ('{"RERANKER": "maybe"}', ["RERANKER"]),
        ('{"RERANKER": true}', ["RERANKER"]),
        ('{"RETRIEVER_IMPL": "amn_v1"}', ["RETRIEVER_IMPL"]),
        ('{"RETRIEVER_IMPL": ["mean"]}', ["RETRIEVER_IMPL"]),
        ('{"CANARY_PERCENT": 100.1}', ["CANARY_PERCENT"]),
        ('{"CANARY_PERCENT": -1}', ["CANARY_PERCENT"]),
        ('{"CANARY_PERCENT": NaN}', ["CANARY_PERCENT"]),
        ('{"CANARY_PERCENT": "5"}', ["CANARY_PERCENT"]),
        ('{"CANARY_PERCENT": true}', ["CANARY_PERCENT"]),
        ('{"SHADOW_PERCENT": Infinity}', ["SHADOW_PERCENT"]),
        ('{"FAISS_NPROBE": 4097}', ["FAISS_NPROBE"]),
        ('{"FAISS_NPROBE": 8.5}', ["FAISS_NPROBE"]),
        ('{"RERANKR": "on", "FAISS_NPROBE": -1}', ["RERANKR", "FAISS_NPROBE"]),
        ('{"canary": {"CANARY_PERCENT": 5}}', ["canary.CANARY_PERCENT"]),
        ('{"canary": {"RERANKER": "no"}}', ["canary.RERANKER"]),
        ('{"canary": 5}', ["canary"]),
        ('{"RERANKER": "on", "RERANKER": "off"}', ["flags"]),
        ("{", ["flags"]),
        ("[]", ["flags"]),
        ("", ["flags"]),
        ("[" * 100_000, ["flags"]),
    ],
)
def test_a_wrong_document_is_refused_and_every_fault_is_named(
    document: str, fields: list[str]
) -> None:
    assert refusal(document) == fields


def test_a_canary_of_null_is_none() -> None:
    assert parse_flags('{"canary": null}') == {}


def test_the_environment_is_read_by_exact_names() -> None:
    environ = {
        "RERANKER": "off",
        "CANARY_PERCENT": " 2.5 ",
        "FAISS_NPROBE": "16",
        "RETRIEVER_IMPL": "",
        "reranker": "on",
        "PATH": "/bin",
    }
    values = flags_from_environment(environ)
    assert values == {"RERANKER": "off", "CANARY_PERCENT": 2.5, "FAISS_NPROBE": 16}


def test_every_wrong_variable_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        flags_from_environment({"RERANKER": "yes", "CANARY_PERCENT": "many"})
    described = {one.field: one.description for one in caught.value.violations}
    assert set(described) == {"RERANKER", "CANARY_PERCENT"}
    assert "'many'" in described["CANARY_PERCENT"]


def test_assignments_reach_the_canary_by_a_prefix() -> None:
    values = flags_from_assignments({"RERANKER": "on", "canary.RERANKER": "off"})
    assert values == {"RERANKER": "on", "canary": {"RERANKER": "off"}}
    with pytest.raises(InvalidInput, match=r"canary\.SHADOW_PERCENT"):
        flags_from_assignments({"canary.SHADOW_PERCENT": "5"})


def test_the_kill_switch_is_made_of_valid_flags() -> None:
    flags = flags_of(parse_flags(json.dumps(dict(KILLED))))
    assert (flags.baseline.reranker, flags.canary_percent) == (False, 0)
    assert flags.shadow_percent == 0
    assert flags.baseline.retriever_impl == "recency"

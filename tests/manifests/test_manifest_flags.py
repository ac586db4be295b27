"""Flags are put into a manifest, and nothing else of it changes."""

from __future__ import annotations

import difflib

import pytest

from deploy.manifest_flags import carried_flags, carry_flags
from retrieval_core.errors import InvalidInput, NotFound
from tests.support.kubernetes_objects import CANARY, PRODUCTION, objects_of

MANIFESTS = {file.name: file.read_text(encoding="utf-8") for file in (CANARY, PRODUCTION)}


@pytest.mark.parametrize("name", MANIFESTS)
def test_only_the_named_flags_change(name: str) -> None:
    text = MANIFESTS[name]
    rendered = carry_flags(text, {"CANARY_PERCENT": 37, "RERANKER": "off"})
    changed = [
        line.removeprefix("+").strip()
        for line in difflib.ndiff(text.splitlines(), rendered.splitlines())
        if line.startswith("+ ")
    ]
    assert changed == ['"RERANKER": "off",', '"CANARY_PERCENT": 37,']
    assert carried_flags(rendered) == {
        **carried_flags(text),
        "CANARY_PERCENT": 37,
        "RERANKER": "off",
    }


@pytest.mark.parametrize("name", MANIFESTS)
def test_no_change_gives_the_manifest_to_the_byte(name: str) -> None:
    assert carry_flags(MANIFESTS[name], {}) == MANIFESTS[name]


def test_a_flag_that_the_manifest_lacks_is_added_and_it_stays_readable() -> None:
    rendered = carry_flags(MANIFESTS[CANARY.name], {"SHADOW_PERCENT": 10})
    assert carried_flags(rendered)["SHADOW_PERCENT"] == 10
    assert len(objects_of(rendered)) == len(objects_of(MANIFESTS[CANARY.name]))


def test_a_map_that_is_to_be_reset_is_left_alone() -> None:
    rendered = carry_flags(MANIFESTS[PRODUCTION.name], {"CANARY_PERCENT": 100})
    resets = [
        one["data"]["flags.json"]
        for one in objects_of(rendered)
        if one["kind"] == "ConfigMap" and one["metadata"]["labels"]["retrieval-flags"] == "reset"
    ]
    assert len(resets) == 1
    assert '"CANARY_PERCENT": 0' in resets[0]


def test_what_cannot_carry_flags_is_refused() -> None:
    with pytest.raises(NotFound, match="retrieval-flags: carried"):
        carry_flags("kind: Service\n", {})
    with pytest.raises(NotFound, match="retrieval-flags: carried"):
        carried_flags("kind: Service\n")
    with pytest.raises(InvalidInput, match="CANARY_PERCENT"):
        carry_flags(MANIFESTS[CANARY.name], {"CANARY_PERCENT": 101})
    spoilt = MANIFESTS[CANARY.name].replace("flags.json: |", "flags: |")
    with pytest.raises(InvalidInput, match=r"flags\.json"):
        carry_flags(spoilt, {})

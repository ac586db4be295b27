"""Bad input over the wire: the right code, the field by name, and a server fit afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from retrieval.v1.common_pb2 import Matrix
from retrieval.v1.encoder_pb2 import Context, ContextItem
from retrieval.v1.retrieval_pb2 import BatchSearchRequest, SearchRequest, SearchResponse

from retrieval_core.errors import InvalidInput, RetrievalError
from servicekit.matrices import matrix_to_message
from servicekit.status import error_from_rpc
from tests.support.gateway_stack import GatewayStack, gateway_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEARCH = "/retrieval.v1.RetrievalService/Search"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[GatewayStack]:
    async with gateway_stack(passage_count=60) as started:
        yield started


def matrix(**changes: Any) -> Matrix:
    message = matrix_to_message(np.ones((1, 768), np.float32))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def with_element(value: float) -> Matrix:
    array = np.ones((1, 768), np.float32)
    array[0, 5] = value
    return matrix_to_message(array)


CASES: dict[str, tuple[SearchRequest, str]] = {
    "no query": (SearchRequest(), "query"),
    "empty text": (SearchRequest(text=""), "text"),
    "blank text": (SearchRequest(text=" \n\t "), "text"),
    "huge text": (SearchRequest(text="x" * 100_000), "text"),
    "control characters": (SearchRequest(text="a\x00b"), "text"),
    "wrong dimension": (
        SearchRequest(vector=matrix_to_message(np.ones((1, 512), np.float32))),
        "vector",
    ),
    "several rows": (
        SearchRequest(vector=matrix_to_message(np.ones((2, 768), np.float32))),
        "vector",
    ),
    "no rows": (SearchRequest(vector=matrix(rows=0, values=b"")), "vector"),
    "billions of rows": (SearchRequest(vector=matrix(rows=2**32 - 1)), "vector.values"),
    "bytes that do not fit": (SearchRequest(vector=matrix(values=b"xyz")), "vector.values"),
    "no element type": (SearchRequest(vector=matrix(element_type=0)), "vector.element_type"),
    "NaN": (SearchRequest(vector=with_element(float("nan"))), "vector"),
    "infinity": (SearchRequest(vector=with_element(float("inf"))), "vector"),
    "zero vector": (
        SearchRequest(vector=matrix_to_message(np.zeros((1, 768), np.float32))),
        "vector",
    ),
    "empty context": (SearchRequest(context=Context()), "context.items"),
    "long context": (
        SearchRequest(context=Context(items=[ContextItem(text="a")] * 6)),
        "context.items",
    ),
    "empty item": (
        SearchRequest(context=Context(items=[ContextItem(text="a"), ContextItem()])),
        "context.items[1]",
    ),
    "empty text in a context": (
        SearchRequest(context=Context(items=[ContextItem(text="a"), ContextItem(text="")])),
        "context.items[1].text",
    ),
    "zero vector in a context": (
        SearchRequest(
            context=Context(
                items=[ContextItem(vector=matrix_to_message(np.zeros((1, 768), np.float32)))]
            )
        ),
        "context.items[0].vector",
    ),
    "k of a billion": (SearchRequest(text="a", limit=10**9), "limit"),
    "huge nprobe": (SearchRequest(text="a", nprobe=2**32 - 1), "nprobe"),
    "unknown lane": (SearchRequest(text="a", lanes=["news", "nope"]), "lanes[1]"),
    "empty lane": (SearchRequest(text="a", lanes=[""]), "lanes[0]"),
    "too many lanes": (SearchRequest(text="a", lanes=[f"l{n}" for n in range(65)]), "lanes"),
    "too many excluded": (
        SearchRequest(text="a", excluded_passage_ids=range(1001)),
        "excluded_passage_ids",
    ),
}


async def still_answers(stack: GatewayStack) -> None:
    response = await stack.stub.Search(SearchRequest(text="passage 7", limit=3))
    assert len(response.hits) == 3
    assert response.coverage.ratio == 1.0


async def failure(call: Any) -> RetrievalError:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return error_from_rpc(caught.value)


@pytest.mark.parametrize(("request_", "field"), CASES.values(), ids=CASES.keys())
async def test_bad_input_is_refused_by_field(
    stack: GatewayStack, request_: SearchRequest, field: str
) -> None:
    error = await failure(stack.stub.Search(request_))
    assert isinstance(error, InvalidInput)
    assert [one.field for one in error.violations] == [field]
    assert error.reason != InvalidInput.default_reason
    await still_answers(stack)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x0a\x05ab",
        # Field 1, `text`, with bytes that are no UTF-8.
        b"\x0a\x02\xc3\x28",
    ],
    ids=["no message", "cut short", "not UTF-8"],
)
async def test_bytes_that_are_no_request_are_invalid_not_unknown(
    stack: GatewayStack, data: bytes
) -> None:
    raw = stack.channel.unary_unary(SEARCH)
    error = await failure(raw(data))
    assert isinstance(error, InvalidInput)
    assert error.violations
    await still_answers(stack)


async def test_an_oversized_message_is_refused(stack: GatewayStack) -> None:
    error = await failure(stack.stub.Search(SearchRequest(text="x" * 5_000_000)))
    assert isinstance(error, InvalidInput)
    assert error.reason == "MESSAGE_TOO_LARGE"
    await still_answers(stack)


async def test_a_limit_of_zero_means_ten(stack: GatewayStack) -> None:
    response = await stack.stub.Search(SearchRequest(text="a", limit=0))
    assert len(response.hits) == 10


@pytest.mark.parametrize(
    ("batch", "field"),
    [
        (BatchSearchRequest(), "requests"),
        (BatchSearchRequest(requests=[SearchRequest()] * 33), "requests"),
    ],
    ids=["empty", "too many"],
)
async def test_a_batch_is_bounded(
    stack: GatewayStack, batch: BatchSearchRequest, field: str
) -> None:
    error = await failure(stack.stub.BatchSearch(batch))
    assert isinstance(error, InvalidInput)
    assert error.violations[0].field == field


async def test_every_request_of_a_batch_succeeds_or_fails_by_itself(stack: GatewayStack) -> None:
    requests = [
        SearchRequest(text="passage 3", limit=2),
        SearchRequest(text=""),
        SearchRequest(text="passage 4", limit=10**9),
        SearchRequest(text="passage 5", limit=1),
    ]
    response = await stack.stub.BatchSearch(BatchSearchRequest(requests=requests))
    kinds = [one.WhichOneof("result") for one in response.results]
    assert kinds == ["response", "error", "error", "response"]
    assert response.results[1].error.field == "text"
    assert response.results[1].error.code == 3
    assert response.results[2].error.field == "limit"
    single = await stack.stub.Search(requests[0])
    assert without_timings(response.results[0].response) == without_timings(single)


def without_timings(response: SearchResponse) -> SearchResponse:
    copy = SearchResponse()
    copy.CopyFrom(response)
    copy.ClearField("timings")
    return copy

"""The client package for the teams that call the gateway.

with RetrievalClient("127.0.0.1:50050", timeout_ms=200) as client:
    result = client.search("read a csv file into dictionaries", limit=5)
    result.profile()
"""

from retrieval_client.aio_client import AsyncRetrievalClient
from retrieval_client.client import RetrievalClient
from retrieval_client.queries import DEFAULT_TARGET, DEFAULT_TIMEOUT_MS, Query
from retrieval_client.results import (
    BatchItem,
    Coverage,
    Degradation,
    Explanation,
    Hit,
    MissingShard,
    SearchResult,
    Target,
    Topology,
)
from servicekit.channels import ChannelTls

__all__ = [
    "DEFAULT_TARGET",
    "DEFAULT_TIMEOUT_MS",
    "AsyncRetrievalClient",
    "BatchItem",
    "ChannelTls",
    "Coverage",
    "Degradation",
    "Explanation",
    "Hit",
    "MissingShard",
    "Query",
    "RetrievalClient",
    "SearchResult",
    "Target",
    "Topology",
]

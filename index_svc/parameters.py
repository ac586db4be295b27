"""Search parameters for one call; the index and its own nprobe are never touched."""

from __future__ import annotations

from typing import Any, cast

import faiss

from index_svc.selection import Bitmap

# The stubs of FAISS do not know the keyword arguments and array forms of these classes. They also
# keep what they are given alive, which setting attributes one by one would not.
_untyped: Any = faiss


def ivf_parameters(nprobe: int, bitmap: Bitmap | None) -> faiss.SearchParameters:
    """Scan `nprobe` lists; a bitmap admits the rows whose bit is set."""
    if bitmap is None:
        return _made(_untyped.SearchParametersIVF(nprobe=nprobe))
    selector = _untyped.IDSelectorBitmap(bitmap)
    return _made(_untyped.SearchParametersIVF(nprobe=nprobe, sel=selector))


def flat_parameters(bitmap: Bitmap | None) -> faiss.SearchParameters:
    """Scan everything; a bitmap admits the rows whose bit is set."""
    if bitmap is None:
        return _made(_untyped.SearchParameters())
    return _made(_untyped.SearchParameters(sel=_untyped.IDSelectorBitmap(bitmap)))


def _made(parameters: object) -> faiss.SearchParameters:
    return cast(faiss.SearchParameters, parameters)

"""Repeats damped: a token that stands n times in a text counts about as much as sqrt(n) of it.

A mean of token vectors counts n times. Here is the damping as weights, for the regression;
`training.encoder.widening` builds the attention head that computes nearly the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.encoder.tokens import Ids, Rows

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Damping:
    """How a head damps: attention odds of one copy against `</s>`, and the gain of its output.

    Of n copies and `</s>` the copies get the share m = n odds / (1 + n odds) of the attention, and
    gain * m is added in a direction that the Dense layer does not read. The final norm then divides
    the token by sqrt(1 + (gain m)^2).
    """

    gain: float = 8.0
    odds: float = 0.12

    def share(self, counts: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """The attention that goes to `counts` copies together, in (0, 1)."""
        mass = self.odds * counts
        return mass / (1.0 + mass)

    def weights(self, counts: Rows) -> Weights:
        """What one of `counts` [m] copies weighs, 1 for a token that stands alone."""
        lengths = np.sqrt(1.0 + (self.gain * self.share(counts.astype(np.float64))) ** 2)
        alone = np.sqrt(1.0 + (self.gain * self.share(np.ones(1))) ** 2)
        result: Weights = (alone / lengths).astype(np.float32)
        return result


def repeat_counts(ids: Ids, offsets: Rows) -> Rows:
    """For each of the flat ids [m] how often it stands in its row; offsets [n] start the rows."""
    starts = np.zeros(len(ids), dtype=np.int64)
    starts[offsets[1:]] = 1
    keys = np.cumsum(starts) * (int(ids.max(initial=0)) + 1) + ids
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    repeated: Rows = counts[inverse].astype(np.int64)
    return repeated

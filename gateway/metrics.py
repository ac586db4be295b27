"""Every metric of the gateway, as data; docs/metrics.md is tested against it."""

from __future__ import annotations

from gateway.arm_observing import ARM_METRICS
from gateway.control_metrics import CONTROL_METRICS
from gateway.explain_log import EXPLAIN_METRICS
from gateway.observing import STAGE_METRICS
from gateway.shadowing import SHADOW_METRICS

METRICS = (*STAGE_METRICS, *ARM_METRICS, *CONTROL_METRICS, *SHADOW_METRICS, *EXPLAIN_METRICS)

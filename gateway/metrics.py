"""Every metric of the gateway, as data; docs/metrics.md is tested against it."""

from __future__ import annotations

from gateway.arm_observing import ARM_METRICS
from gateway.control_metrics import CONTROL_METRICS
from gateway.observing import STAGE_METRICS

METRICS = (*STAGE_METRICS, *ARM_METRICS, *CONTROL_METRICS)

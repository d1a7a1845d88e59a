"""Thresholds of age, by which page, JSON, metrics, probes and doctor judge; none has others of its own.

They are measured on the time of day, which differs between machines. What must be exact, as when another worker takes
over what a dead one had claimed, is judged on a steady clock instead (workers/failure_detector.py).
"""

from __future__ import annotations

from datetime import timedelta

# A worker's heartbeat comes once a second. Others take over its claims after `heartbeats.ALIVE`; people are told when
# neither a pause nor a clock that is some seconds off explains the silence.
SILENT_AFTER = timedelta(seconds=15)
LAGGING_AFTER = timedelta(seconds=30)  # events not routed, feeds not built
BEHIND_AFTER = timedelta(seconds=60)  # events not routed, deliveries not sent
UNFETCHED_AFTER = timedelta(hours=24)  # a partner's own feed
TAKEDOWN_REFUSED_WITHIN = timedelta(days=1)  # the intake refused a takedown of a known source
REFUSED_WITHIN = timedelta(hours=1)  # the intake refused a source, and accepted nothing of it since
NOTHING_CAME_AFTER = timedelta(hours=12)  # no article was accepted

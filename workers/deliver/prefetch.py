"""Prefetch: how far ahead of a partner deliveries are claimed."""

from __future__ import annotations

from service.store.deliveries.claims import ClaimedDelivery

PREFETCH = 0.25  # seconds: as much may be in hand as an endpoint answers in this time
MOST_AHEAD, ROUNDS_AHEAD = 64, 3  # deliveries of one endpoint; or as many times its cap, if that is more
_SMOOTH = 0.2  # the weight of the newest answer in the mean
_FASTEST = 0.0005  # seconds


class PrefetchWindow:
    """How many deliveries of each endpoint may be in hand, its cap or more, by how fast it answers here.

    It grows by one with each success, which doubles it in a round, up to what the endpoint answers in PREFETCH; it
    falls back to the cap when a push fails, or waits here for too long. `ahead` has those above their cap.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}  # a moving mean of the time to an answer
        self.ahead: dict[int, int] = {}

    def answered(self, claimed: ClaimedDelivery, seconds: float) -> None:
        endpoint_id, cap = claimed.endpoint_id, claimed.cap
        before = self._seconds.get(endpoint_id, seconds)
        mean = self._seconds[endpoint_id] = before + _SMOOTH * (seconds - before)
        most = min(
            cap + max(MOST_AHEAD, ROUNDS_AHEAD * cap),
            int(cap * PREFETCH / max(mean, _FASTEST)),
            self.ahead.get(endpoint_id, cap) + 1,
        )
        if most > cap:
            self.ahead[endpoint_id] = most
        else:
            self.ahead.pop(endpoint_id, None)

    def failed(self, claimed: ClaimedDelivery) -> None:
        """Its push failed, or waited for too long. Nothing is claimed ahead until it has answered well again."""
        self.ahead.pop(claimed.endpoint_id, None)

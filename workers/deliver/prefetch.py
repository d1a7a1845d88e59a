"""Prefetch: how far ahead of a partner deliveries are claimed."""

from __future__ import annotations

from service.store.deliveries.claims import Claimed

AHEAD = 0.25  # seconds: what an endpoint answers in this time may be in hand
MOST_AHEAD, ROUNDS_AHEAD = 64, 3  # deliveries of one endpoint; or as many times its cap, if that is more
_SMOOTH = 0.2  # the weight of the newest answer in the mean
_FASTEST = 0.0005  # seconds


class Pace:
    """How much of each endpoint's may be in hand, its cap or more, by how fast it answers here.

    It grows by one with each success, which doubles it in a round, up to what the endpoint answers in AHEAD; it falls
    back to the cap when a push fails, or waits here for too long. `ahead` holds those above their cap.
    """

    def __init__(self) -> None:
        self._took: dict[int, float] = {}  # a moving mean, in seconds
        self.ahead: dict[int, int] = {}

    def answered(self, claimed: Claimed, seconds: float) -> None:
        endpoint_id, cap = claimed.endpoint_id, claimed.cap
        known = self._took.get(endpoint_id, seconds)
        took = self._took[endpoint_id] = known + _SMOOTH * (seconds - known)
        most = min(
            cap + max(MOST_AHEAD, ROUNDS_AHEAD * cap),
            int(cap * AHEAD / max(took, _FASTEST)),
            self.ahead.get(endpoint_id, cap) + 1,
        )
        if most > cap:
            self.ahead[endpoint_id] = most
        else:
            self.ahead.pop(endpoint_id, None)

    def failed(self, claimed: Claimed) -> None:
        """Or waited for too long. Nothing is claimed ahead until it has answered well again."""
        self.ahead.pop(claimed.endpoint_id, None)

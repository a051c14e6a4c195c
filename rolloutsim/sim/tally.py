"""What has happened in a simulated rollout so far: when it was decided, whom it harmed, what pods it took."""

from __future__ import annotations

from rolloutsim.sim.beginning import ORIGIN_MS

__all__ = ["Tally"]


class Tally:
    """Times are on the simulated clock, in ms; None: it has not happened yet."""

    def __init__(self, replicas: int) -> None:
        self.promoted: int | None = None
        self.aborted: tuple[int, str] | None = None
        """When, and why."""
        self.degraded: tuple[int, str] | None = None
        self.gave_up: int | None = None
        """A person aborted the rollout, or rolled back what it had promoted."""
        self.measurements = 0
        self.onset: int | None = None
        """The first request of the new version that can be harmed."""
        self.mitigated: int | None = None
        """After the decision to stop, the first moment at which no request reaches the new version."""
        self.restored: int | None = None
        """The same, and everybody is as well off as before the release."""
        self.over: int | None = None
        self.exposed_until_over: float | None = None
        """Requests that had reached the new version when the rollout was over."""
        self.peak_pods = replicas
        self.extra_pod_ms = 0
        """Pods beyond the wanted ones, times their time."""
        self._pods = replicas
        self._pods_since = ORIGIN_MS

    @property
    def stopped(self) -> bool:
        """Somebody decided to stop the release."""
        return self.aborted is not None or self.gave_up is not None

    def count_pods(self, now: int, pods: int, wanted: int) -> None:
        """There are so many pods from now on; until now so many were wanted."""
        self.extra_pod_ms += max(0, self._pods - wanted) * (now - self._pods_since)
        self._pods_since, self._pods = now, pods
        self.peak_pods = max(self.peak_pods, pods)

    def see(self, now: int, *, touched: bool, reached: bool, well: bool) -> bool:
        """How users fare from now on; returns whether a release that was stopped has just lost them all.

        ``touched``: some of them can be harmed; ``reached``: some reach the new version; ``well``: whoever
        does not is as well off as before.
        """
        if self.onset is None and touched:
            self.onset = now
        if self.stopped and self.restored is None and well and not reached:
            self.restored = now
        if not self.stopped or self.mitigated is not None or reached:
            return False
        self.mitigated = now
        return True

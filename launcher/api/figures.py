"""Figures of the server for Prometheus: requests, jobs, files and models in memory. They name no tenant and no model.

Source: Prometheus' manual, "Exposition formats", version 0.0.4.
"""

import threading
import time
from collections import Counter, defaultdict

from launcher.api.store import STATUSES, Store


class Figures:
    """What is counted while the server runs; the rest is asked of the database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._lock = threading.Lock()
        self._begun = time.time()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one answered request. `route`: the pattern of its path, so that clients cannot make names."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds[method, route] += seconds

    def text(self, loaded: int) -> str:
        """The figures in Prometheus' format. `loaded`: models in memory."""
        jobs = {
            row["status"]: row["n"]
            for row in self._store.rows("SELECT status, COUNT(*) AS n FROM jobs GROUP BY status")
        }
        files = self._store.row("SELECT COUNT(*) AS n, COALESCE(SUM(bytes), 0) AS size FROM files")
        gpu_s = self._store.value("SELECT COALESCE(SUM(gpu_s), 0) FROM jobs")
        assert files is not None
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
        lines = [
            *_metric(
                "launcher_api_start_time_seconds", "gauge", "When the server started.", {"": self._begun}
            ),
            *_metric(
                "launcher_api_requests_total",
                "counter",
                "Answered requests.",
                {
                    f'{{method="{m}",route="{r}",status="{s}"}}': n
                    for (m, r, s), n in sorted(requests.items())
                },
            ),
            *_metric(
                "launcher_api_request_seconds_total",
                "counter",
                "Seconds that answers took.",
                {f'{{method="{m}",route="{r}"}}': round(n, 6) for (m, r), n in sorted(seconds.items())},
            ),
            *_metric(
                "launcher_api_jobs",
                "gauge",
                "Fine-tuning jobs by status.",
                {f'{{status="{status}"}}': jobs.get(status, 0) for status in STATUSES},
            ),
            *_metric("launcher_api_files", "gauge", "Stored files.", {"": files["n"]}),
            *_metric("launcher_api_file_bytes", "gauge", "Their bytes.", {"": files["size"]}),
            *_metric("launcher_api_gpu_seconds_total", "counter", "GPU-seconds of all jobs.", {"": gpu_s}),
            *_metric("launcher_api_models_loaded", "gauge", "Models in memory for chats.", {"": loaded}),
        ]
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, about: str, values: dict[str, float]) -> list[str]:
    return [
        f"# HELP {name} {about}",
        f"# TYPE {name} {kind}",
        *(f"{name}{label} {n}" for label, n in values.items()),
    ]

"""One worker process of a crowd: several tasks, as threads with a hook each, read the API until the time is over.

Its clock may be wrong, see :mod:`tools.skewed_clock`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter

from airflow_provider_lightspeed.exceptions import LightspeedError
from tools.skewed_clock import skew_the_clock

#: Seconds between two requests of a task.
PACE = 0.5
#: Seconds after which a task that still waits for a token is left waiting. Four grants a minute are all there is: with a
#: life of 15 s, the fifth waits until 65 s after the first, and whoever came back a moment too early waits once more.
GRACE = 30.0


def work(seconds: float, conn_id: str = "lightspeed_default") -> int:
    """Read the API for this time; return the number of requests."""
    from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

    hook, done, end = LightspeedHook(conn_id), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        hook.count("Shop")
        done += 1
        time.sleep(PACE)
    return done


def main(conn_id: str, seconds: float, threads: int) -> None:
    """Run the tasks and print what became of them."""
    from airflow_provider_lightspeed.tokens.store import peek

    skew_the_clock()
    # Imports and the first look at the database take seconds with many processes at once: all of that is before the start.
    peek(conn_id)
    print("ready", flush=True)
    sys.stdin.readline()
    ended, counting = Counter[str](), threading.Lock()

    def task() -> None:
        try:
            done = work(seconds, conn_id)
        except LightspeedError as error:
            with counting:
                ended[type(error).__name__] += 1
        else:
            with counting:
                ended.update(requests=done, success=1)

    running = [threading.Thread(target=task, daemon=True) for _ in range(threads)]
    end = time.monotonic() + seconds + GRACE
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(max(0.0, end - time.monotonic()))
    ended["waiting"] = sum(thread.is_alive() for thread in running)
    print(json.dumps(ended), flush=True)
    os._exit(0)  # a task that still waits would go on logging, below the figures


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))

"""One worker process of a crowd: several tasks, as threads with a hook each, read the API until the time is over.

Its clock may be wrong: ``SOAK_SKEW`` seconds are added to everything that this package takes for the time of day.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from datetime import timedelta

from airflow_provider_lightspeed.clock import SystemClock
from airflow_provider_lightspeed.exceptions import LightspeedError

#: Seconds between two requests of a task.
PACE = 0.5
#: Seconds after which a task that still waits for a token is left waiting. Four grants a minute are all there is: with a
#: life of 15 s, the fifth waits until 65 s after the first, and whoever came back a moment too early waits once more.
GRACE = 30.0


def bend_the_clock() -> None:
    """Shift the time of day that the package reads in this process."""
    skew = timedelta(seconds=float(os.environ.get("SOAK_SKEW", "0")))
    true = SystemClock.now
    SystemClock.now = lambda self: true(self) + skew  # type: ignore[method-assign]


def work(seconds: float) -> int:
    """Read the API for so long; return how many requests there were."""
    from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook

    hook, done, end = LightspeedHook(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        hook.count("Shop")
        done += 1
        time.sleep(PACE)
    return done


def main(seconds: float, threads: int) -> None:
    """Run the tasks and print what became of them."""
    from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
    from airflow_provider_lightspeed.tokens.store import peek

    bend_the_clock()
    # Imports and the first look at the database take seconds with many processes at once: all of that is before the start.
    peek(LightspeedHook.default_conn_name)
    print("ready", flush=True)
    sys.stdin.readline()
    ended, counting = Counter[str](), threading.Lock()

    def task() -> None:
        try:
            done = work(seconds)
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
    main(float(sys.argv[1]), int(sys.argv[2]))

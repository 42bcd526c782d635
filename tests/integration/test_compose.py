"""``docker-compose.yaml`` names only services, commands and settings that exist (there is no Docker engine to ask)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
AIRFLOW = {name: service for name, service in SERVICES.items() if name.startswith("airflow-")}


def test_every_service_of_a_celery_deployment_is_there() -> None:
    """api-server, scheduler, dag-processor, triggerer, Celery worker, Postgres, Redis and the simulator."""
    parts = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "init"}
    assert set(SERVICES) == {"postgres", "redis", "simulator", *(f"airflow-{part}" for part in parts)}


def test_every_volume_and_dependency_is_declared() -> None:
    """A name that nobody declares stops ``docker compose up``."""
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        named = {mount.split(":")[0] for mount in service.get("volumes", []) if not mount.startswith(".")}
        assert named <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_airflow_commands_exist(name: str) -> None:
    """Each is one of Airflow 3's, ``celery`` being the Celery provider's."""
    pytest.importorskip("airflow.sdk")
    from airflow.cli.cli_parser import ALL_COMMANDS_DICT

    command = AIRFLOW[name]["command"]
    text = command if isinstance(command, str) else command[-1].rsplit("airflow ", 1)[-1]
    assert text.split()[0] in {*ALL_COMMANDS_DICT, "celery"}


def test_airflow_settings_exist() -> None:
    """Each variable is a section and option that this Airflow, the Celery provider or this provider describes."""
    pytest.importorskip("airflow.sdk")
    from airflow.configuration import conf, retrieve_configuration_description

    known = {**conf.configuration_description, **retrieve_configuration_description(include_providers=True)}
    known["celery"] = {"options": {"broker_url": {}, "result_backend": {}}}
    for name in COMPOSE["x-airflow"]["environment"]:
        if found := re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", name):
            section, option = found[1].lower(), found[2].lower()
            assert option in known[section]["options"], name


def test_image_and_lock_file_take_the_same_celery() -> None:
    """A Celery that its provider was not tried with ends scheduler and worker on an import (test_providers.py)."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    (bound,) = [name for name in groups["airflow-3"] if isinstance(name, str) and re.match(r"celery\b", name)]
    assert f'"{bound}"' in COMPOSE["x-airflow"]["build"]["dockerfile_inline"]


def test_simulator_options_exist() -> None:
    """The command line parses."""
    pytest.importorskip("uvicorn")
    from airflow_provider_lightspeed.simulator.__main__ import parser

    assert parser().parse_args(SERVICES["simulator"]["command"]).port == 8765

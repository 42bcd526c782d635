"""The simulator's bodies against the documented ones: every key that a sample has, written in the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_lightspeed.client.transport import Reply, Request, RequestsTransport
from airflow_provider_lightspeed.extract.pages import read_pages
from airflow_provider_lightspeed.extract.plan import Plan
from airflow_provider_lightspeed.resources.base import Resource, Strategy
from airflow_provider_lightspeed.resources.catalog import resource, resource_names
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tools.build_sample_shapes import Shape, merge, shape

SAMPLES: dict[str, Shape] = json.loads((Path(__file__).parent / "sample_shapes.json").read_text())
#: Deep inside a template's record: the docs do not say that these are loaded there; the sample alone has them.
UNSAID = {
    "DisplayTemplateTransfer": {"Transfer.TransferFrom.Shop.Contact", "Transfer.TransferTo.Shop.Contact"},
    "DisplayTemplateTransferItemAsLabel": {"Label.Item.ItemVendorNums"},
}
CONTAINERS = frozenset({"object", "array", "empty"})


class Recorder(RequestsTransport):
    """Keeps the bodies of all replies."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Any] = []

    def send(self, request: Request) -> Reply:
        """Send, and keep the decoded body."""
        reply = super().send(request)
        self.bodies.append(orjson.loads(reply.body))
        return reply


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(
        sales=150, items=40, customers=30, days=20, registers=2, no_limits=True, grant=True
    ) as running:
        yield running


def bodies(simulator: SimulatorProcess, found: Resource) -> list[Any]:
    """Return the bodies of the whole list with all its relations loaded."""
    recorder = Recorder()
    client = client_of(simulator, recorder)
    today = client.server_now().date()
    params = (
        {"startDate": str(today - timedelta(days=30)), "endDate": str(today)}
        if found.strategy is Strategy.PERIOD
        else {}
    )
    filters = {"description": "~,%"} if found.name == "CatalogSearch" else {}
    relations = found.check_relations(name for name, facts in found.relations.items() if not facts.single_only)
    for _ in read_pages(client, Plan(found, filters, relations, params)):
        pass
    return [body for body in recorder.bodies if found.envelope in body]


def missing(sample: Shape, simulated: Shape, path: str = "") -> Iterator[str]:
    """Yield what the sample has and the simulator does not: keys, and ways to write a value."""
    for key, inner in sample["keys"].items():
        here = f"{path}.{key}".lstrip(".")
        if key not in simulated["keys"]:
            yield f"{here}: never sent"
            continue
        ours = simulated["keys"][key]
        theirs = set(inner["forms"]) - {"empty", "text"}
        both = set(ours["forms"]) - {"empty"}
        alike = theirs & both or theirs | both <= CONTAINERS or "text" in both
        if theirs and both and not alike:
            yield f"{here}: documented as {sorted(theirs)}, sent as {sorted(both)}"
        yield from missing(inner, ours, here)


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() & set(resource_names())))
def test_every_documented_key_is_sent_and_written_alike(name: str, simulator: SimulatorProcess) -> None:
    """Key by key, relations included; scalars are strings and nothing else."""
    sent = bodies(simulator, resource(name))
    assert sent
    unsaid = {f"{path}: never sent" for path in UNSAID.get(name, ())}
    assert set(missing(SAMPLES[name], merge(map(shape, sent)))) == unsaid

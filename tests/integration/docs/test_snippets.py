"""What a reader copies from the docs works: Python blocks run or are parsed as DAGs, commands are taken by their parsers.

A block that cannot be run here has ``<!-- not run: reason -->`` on the line before it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from airflow_provider_lightspeed.cli import parser
from tests.support.snippets import PAGES, ROOT, Block, blocks, blocks_of, commands_of, words_of

pytest.importorskip("airflow.sdk", reason="the docs show Airflow 3")

PYTHON = [block for block in blocks("python", "py") if block.not_run is None]
COMMANDS = [
    pytest.param(command, id=f"{block}:{command[:60]}")
    for block in blocks("console", "bash", "sh", "shell")
    if block.not_run is None
    for command in commands_of(block)
]
#: Where the docs keep datasets, as they write it.
LAKE = re.compile(r"(?<=\")(/data/lake|s3://bucket/lake)\b")
#: What a block may leave to the text around it.
ASSUMED = """
from datetime import UTC, datetime, timedelta
from airflow.sdk import DAG, Asset, AssetAlias
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
"""


@pytest.fixture(scope="module")
def made() -> dict[str, Path]:
    """Remember the datasets that the module's blocks read, by the naming of their columns."""
    return {}


@pytest.fixture
def lake(
    connection: Callable[..., str], made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Block], Path]:
    """Return a function that gives a block the folder of sales that it expects; there is a connection, too."""
    from airflow_provider_lightspeed.cli import main

    connection()

    def of(block: Block) -> Path:
        naming = "snake_case" if "snake_case" in block.text else "source"
        if naming not in made:
            made[naming] = tmp_path_factory.mktemp(naming)
            query = ["--relations", "SaleLines", "--layout", "tables", "--naming", naming]
            main(["extract", "Sale", "--to", str(made[naming]), "--no-progress", *query])
        return made[naming]

    return of


def is_dag(block: Block) -> bool:
    """Whether a block is a whole file for the DAGs folder."""
    return bool(re.search(r"^\s*(with DAG\(|@dag)", block.text, re.MULTILINE))


def test_pages_have_blocks() -> None:
    """An expression that matches nothing would pass every other test of this file."""
    assert {"README.md", "docs/start.md", "docs/howto/s3.md"} <= {str(page.relative_to(ROOT)) for page in PAGES}
    assert len(PYTHON) > 10
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("block", [block for block in PYTHON if is_dag(block)], ids=str)
def test_dag_is_parsed_by_airflow(block: Block, tmp_path: Path, airflow_database: None) -> None:
    """A block that makes a DAG is a whole file: Airflow imports it and finds a DAG with tasks in it."""
    from airflow.dag_processing.dagbag import DagBag

    file = tmp_path / "dag.py"
    file.write_text(block.text)
    bag = DagBag(dag_folder=str(file))
    assert bag.import_errors == {}
    assert bag.dags
    assert all(dag.tasks for dag in bag.dags.values())


@pytest.mark.parametrize("block", [block for block in PYTHON if not is_dag(block)], ids=str)
def test_python_runs(block: Block, lake: Callable[[Block], Path]) -> None:
    """Every other block runs as it stands: operators inside a DAG, everything else against a simulator and its dataset."""
    from airflow.sdk import DAG

    duckdb = pytest.importorskip("duckdb")
    names: dict[str, Any] = {"connection": duckdb.connect()}
    exec(ASSUMED, names)  # noqa: S102 - a few imports
    code = compile(LAKE.sub(str(lake(block)), block.text), str(block), "exec")
    with DAG(dag_id="docs", schedule=None):
        exec(code, names)  # noqa: S102 - our own docs


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_taken_by_its_parser(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell understands the line, and each program in it knows the arguments that it is given."""
    assert subprocess.run(["sh", "-n", "-c", command], capture_output=True, check=False).returncode == 0
    for words in words_of(command):
        check_program(words, monkeypatch)


def check_program(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a program would refuse its arguments.

    A program that is not known here fails too: teach it, or mark the block.
    """
    match words:
        case ["airflow", "lightspeed", *arguments] | ["python", "-m", "airflow_provider_lightspeed", *arguments]:
            parser().parse_args(arguments)
        case ["airflow", *arguments]:
            from airflow.cli.cli_parser import get_parser

            get_parser().parse_args(arguments)
        case ["python", "-m", module, *arguments]:
            check_module(module, arguments, monkeypatch)
        case ["make", *targets]:
            known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
            assert {target for target in targets if "=" not in target} <= known
        case [_, "install", *packages] if words[0] in ("pip", "pip3"):
            check_packages(packages)
        case ["export" | "umask" | "cat" | "head" | "tail" | "ls" | "rm" | "cd" | "jq", *_]:
            pass
        case _:
            pytest.fail(f"no test knows the program {words[0]!r}")


class _TakenError(Exception):
    """The parser has taken the arguments; what would run then does not."""


def check_module(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a module's own ``main`` parse the arguments, and stop it there."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any, **named: Any) -> NoReturn:
        original(self, *given, **named)
        raise _TakenError

    try:
        found = importlib.import_module(f"{module}.__main__")
    except ModuleNotFoundError:
        found = importlib.import_module(module)
    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        patched.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(_TakenError):
            found.main()


def check_packages(packages: list[str]) -> None:
    """Fail if a package of ours is named with an extra that it does not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in packages:
        name, _, extras = package.rstrip("]").partition("[")
        if name in (".", project["name"]) and extras:
            assert set(extras.split(",")) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("block", [block for block in blocks("json") if block.not_run is None], ids=str)
def test_json_is_json(block: Block) -> None:
    """A reader may paste it."""
    json.loads(block.text)


@pytest.mark.parametrize(
    "block",
    [block for page in PAGES for block in blocks_of(page.name, page.read_text()) if block.not_run is not None],
    ids=str,
)
def test_block_that_is_not_run_tells_why(block: Block) -> None:
    """The comment before it has a reason."""
    assert len(block.not_run or "") > 10


def test_blocks_are_told_apart() -> None:
    """The mark counts for the block right below it; a prompt begins a command; comments and pipes are no arguments."""
    text = "<!-- not run: needs a cloud account -->\n```python\nx\n```\n\n```console\n$ a -b  # why\nout\n$ c | head -1 > f\n```\n"
    first, second = blocks_of("page.md", text)
    assert (first.not_run, first.line, second.not_run) == ("needs a cloud account", 3, None)
    assert [words_of(command) for command in commands_of(second)] == [[["a", "-b"]], [["c"], ["head", "-1"]]]

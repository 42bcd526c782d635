"""The reference: a page for each class that users name in a DAG, for each command, for the options and the connection.

What it says is read from docstrings, from the table of commands and from the provider's metadata; nothing is written twice.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any, Final

from airflow_provider_lightspeed import cli
from airflow_provider_lightspeed.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR, get_provider_info
from tools.docs.markdown import code, prose, table, toctree

PACKAGE: Final = "airflow_provider_lightspeed"
#: The packages whose classes users name, with the title of their list. A package that does not exist has no list.
FACES: Final = {
    "operators": "Operators",
    "hooks": "Hooks",
    "sensors": "Sensors",
    "triggers": "Triggers",
    "notifications": "Notifiers",
    "links": "Links",
}
#: What Airflow calls, not a user.
_CALLED_BY_AIRFLOW: Final = frozenset(
    {
        "execute",
        "execute_complete",
        "serialize",
        "run",
        "poke",
        "notify",
        "async_notify",
        "get_link",
        "on_kill",
        "get_connection_form_widgets",
        "get_ui_field_behaviour",
        "get_openlineage_facets_on_start",
        "get_openlineage_facets_on_complete",
        "get_openlineage_facets_on_failure",
    }
)
_OWN_PAGE: Final = re.compile(r"\bdocs/([a-z_-]+)\.md\b")


def pages() -> Iterator[tuple[str, str]]:
    """Yield the pages of the reference."""
    lists = []
    for face, title in FACES.items():
        classes = list(classes_of(face))
        if classes:
            lists.append((title, [f"reference/{face}/{each.__name__}" for each in classes]))
            yield from ((f"reference/{face}/{each.__name__}.md", class_page(each)) for each in classes)
    lists.append(("Commands", [f"reference/commands/{command.name}" for command in cli.COMMANDS]))
    yield from ((f"reference/commands/{command.name}.md", command_page(command)) for command in cli.COMMANDS)
    lists.append(("Settings", ["reference/connection", "reference/configuration"]))
    yield "reference/connection.md", connection_page()
    yield "reference/configuration.md", configuration_page()
    parts = [f"## {title}\n\n{toctree('/generated/' + name for name in names)}" for title, names in lists]
    intro = "Read from the package itself: docstrings, the commands' parser, the provider's metadata.\n"
    yield "reference/index.md", "\n".join(["# Reference\n", intro, *parts])


def classes_of(face: str) -> Iterator[type]:
    """Yield the public classes of a package, sorted by name: those called after Lightspeed, and links."""
    try:
        package = importlib.import_module(f"{PACKAGE}.{face}")
    except ModuleNotFoundError as error:
        if error.name == f"{PACKAGE}.{face}":
            return
        raise
    found = {
        name: each
        for module in _modules(package)
        for name, each in vars(module).items()
        if inspect.isclass(each) and each.__module__ == module.__name__ and not name.startswith("_")
    }
    yield from (found[name] for name in sorted(found) if "Lightspeed" in name or name.endswith("Link"))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def class_page(documented: type) -> str:
    """Return the page of a class: what autodoc makes of its docstring, and its templated fields."""
    members = [
        name
        for name, member in vars(documented).items()
        if not name.startswith("_")
        and name not in _CALLED_BY_AIRFLOW
        and (inspect.isroutine(member) or isinstance(member, property) or hasattr(member, "attrname"))
        and inspect.getdoc(member)
    ]
    lines = [
        f"# {documented.__name__}\n",
        "```{eval-rst}",
        f".. autoclass:: {documented.__module__}.{documented.__name__}",
    ]
    if members:
        lines.append(f"   :members: {', '.join(members)}")
    lines += ["```", ""]
    templated = getattr(documented, "template_fields", ())
    if templated:
        lines += ["## Templated fields\n", ", ".join(map(code, templated)) + ".", ""]
    return "\n".join(lines)


def link_pages(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Make links of the pages that a docstring names, for the event ``autodoc-process-docstring``."""
    del app, what, name, obj, options
    lines[:] = [_OWN_PAGE.sub(r":doc:`/\1`", line) for line in lines]


def command_page(command: cli.Command) -> str:
    """Return the page of a command."""
    formatter = partial(argparse.HelpFormatter, width=90)
    parser = argparse.ArgumentParser(
        prog=f"airflow lightspeed {command.name}", add_help=False, formatter_class=formatter
    )
    rows = []
    for argument in command.arguments:
        action = parser.add_argument(*argument.flags, **argument.options)
        rows.append((_names(action), _default(action), prose(str(action.help))))
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    parts = [
        f"# airflow lightspeed {command.name}\n",
        f"{command.help}.\n",
        "```text",
        usage,
        "```\n",
    ]
    if rows:
        parts.append(table(("Argument", "Default", "Meaning"), rows))
    parts.append(
        f"On Airflow 2.11 the command is `python -m {PACKAGE} {command.name}`. Examples: [On the command line](/cli.md).\n"
    )
    return "\n".join(parts)


def _names(action: argparse.Action) -> str:
    if not action.option_strings:
        return code(action.dest)
    choices = "" if not action.choices else " {" + ", ".join(map(str, action.choices)) + "}"
    value = f" {action.metavar}" if action.metavar else choices
    return ", ".join(code(name + ("" if action.nargs == 0 else value)) for name in action.option_strings)


def _default(action: argparse.Action) -> str:
    if action.required and action.nargs not in ("?", "*"):
        return "required"
    if action.default in (None, [], "") or isinstance(action.default, bool):
        return ""
    return code(action.default)


def configuration_page() -> str:
    """Return the page of the options in ``airflow.cfg``."""
    parts = ["# Configuration\n"]
    for section, facts in get_provider_info()["config"].items():
        parts += [f"{prose(facts['description'])} Options of the section `[{section}]` in `airflow.cfg`.\n"]
        for name, option in facts["options"].items():
            variable = f"AIRFLOW__{section.upper()}__{name.upper()}"
            rows = [
                ("Environment variable", code(variable)),
                ("Default", code(option["default"]) if option["default"] else "empty"),
                ("Example", code(option["example"]) if option.get("example") else ""),
                ("Type", option["type"]),
                ("Since", option["version_added"]),
            ]
            if option.get("sensitive"):
                rows.append(("Secret", f"yes; `{variable}_CMD` and `{variable}_SECRET` work too"))
            shown = table(("", ""), [row for row in rows if row[1]])
            parts += [f"## {name}\n", f"{prose(option['description'])}\n", shown]
    return "\n".join(parts)


def connection_page() -> str:
    """Return the page of the connection's fields."""
    about = {
        "login": "of the API client that is registered at Lightspeed",
        "password": "of the same client",
        "host": "where the API is; default `https://api.lightspeedapp.com`",
    }
    rows = [(code(key), label, about[key]) for key, label in UI_FIELD_BEHAVIOUR["relabeling"].items()]
    rows += [(code(f"extra.{key}"), facts["label"], facts["description"]) for key, facts in CONN_FIELDS.items()]
    names = get_provider_info()["connection-types"][0]
    return "\n".join(
        [
            "# Connection\n",
            f"The type is `{names['connection-type']}`, shown as *{names['hook-name']}*.\n",
            table(("Field", "Label in the form", "Meaning"), rows),
            "How to fill it in: [Connecting an account](/connecting.md). Other ways to define it: [Connection](/connection.md).\n",
        ]
    )

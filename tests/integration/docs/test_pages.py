"""The generated pages tell everything there is, and nothing that there is not."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("airflow")
pytest.importorskip("airflow.sdk", reason="the site is built with Airflow 3")

from airflow_provider_lightspeed import cli, exceptions
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.provider_info import get_provider_info
from airflow_provider_lightspeed.resources.base import FieldType
from airflow_provider_lightspeed.resources.catalog import resource, resource_names, resources
from tools.docs import diagram, dictionary, pages, reference, troubleshooting

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """Return the generated pages by path."""
    return dict(pages.generated())


def test_reference_has_a_page_for_each_command_with_all_its_options(written: dict[str, str]) -> None:
    """The table of commands is the source; every flag of a command is on its page."""
    for command in cli.COMMANDS:
        page = written[f"reference/commands/{command.name}.md"]
        missing = [flag for argument in command.arguments for flag in argument.flags if f"`{flag}" not in page]
        assert not missing, command.name


def test_reference_has_every_option_of_the_configuration(written: dict[str, str]) -> None:
    """The provider's metadata is the source."""
    page = written["reference/configuration.md"]
    for section, facts in get_provider_info()["config"].items():
        for option in facts["options"]:
            assert f"`AIRFLOW__{section.upper()}__{option.upper()}`" in page


def test_reference_has_the_classes_that_users_name(written: dict[str, str]) -> None:
    """Each face has its list; the page is autodoc's, with the templated fields."""
    assert LightspeedToParquetOperator in list(reference.classes_of("operators"))
    page = written["reference/operators/LightspeedToParquetOperator.md"]
    assert "autoclass:: airflow_provider_lightspeed.operators.lightspeed.LightspeedToParquetOperator" in page
    assert "`window_start`" in page
    assert "reference/hooks/LightspeedHook.md" in written


def test_package_that_does_not_exist_has_no_classes() -> None:
    """A face that a release lacks is left out; a broken import inside one is not."""
    assert list(reference.classes_of("no_such_face")) == []


def test_dictionary_has_a_page_for_each_resource_with_all_its_columns(written: dict[str, str]) -> None:
    """Every scalar field is a row, unless it is secret, and then it is named as such; every relation is a row."""
    for name in resource_names():
        page, found = written[f"dictionary/{name}.md"], resource(name)
        for field in found.entity.fields.values():
            if field.type not in (FieldType.OBJECT, FieldType.COLLECTION):
                assert f"`{field.name}`" in page, f"{name}.{field.name}"
        assert all(f"| `{relation}` |" in page for relation in found.relations), name


def test_secret_field_is_no_column_of_the_dictionary(written: dict[str, str]) -> None:
    """It is named as left out, below the table of columns."""
    page = written["dictionary/Vendor.md"]
    assert "| `integrationPassword` |" not in page
    assert "Secret fields: `integrationLogin`, `integrationPassword`" in page


def test_every_resource_is_in_one_area_of_the_list(written: dict[str, str]) -> None:
    """The list links each page once."""
    linked = re.findall(r"\(/generated/dictionary/(\w+)\.md\)", written["dictionary/index.md"])
    assert sorted(name for name in linked if name != "records") == list(resource_names())


def test_diagram_shows_every_resource_and_every_reference() -> None:
    """Each resource is a box. Each reference is an arrow or a mark. Both lead to a page."""
    found = list(resources())
    drawing = diagram.overview(found, dictionary.area_of)
    svg = ET.fromstring(drawing[drawing.index("<svg") : drawing.index("</div>")])  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    shown = {node.get("data-name"): (node.get("data-marks") or "").split() for node in svg.iter(f"{space}a")}
    arrows = {(line.get("data-from"), line.get("data-to")) for line in svg.iter(f"{space}path")}
    assert sorted(filter(None, shown)) == list(resource_names())
    for source, targets in diagram.references(found).items():
        for target in targets:
            assert (source, target) in arrows or target in shown[source], (source, target)


def test_boxes_of_the_diagram_do_not_overlap() -> None:
    """No two resources stand on one place, and none outside the drawing."""
    drawing = diagram.overview(list(resources()), dictionary.area_of)
    places = re.findall(r'<rect class="[^"]*" x="(\d+)" y="(\d+)"', drawing)
    assert len(places) == len(set(places)) == len(resource_names())
    width, height = map(int, re.findall(r'viewBox="-4 0 (\d+) (\d+)"', drawing)[0])
    assert all(int(x) + diagram.WIDTH <= width and int(y) + diagram.ROW <= height for x, y in places)


def test_every_error_has_a_docstring_and_tells_what_to_do(written: dict[str, str]) -> None:
    """A class without a remedy would leave its reader alone; a remedy without a class would be read by nobody."""
    page = written["troubleshooting.md"]
    assert "NothingToRead" not in page, "it skips a task, and is an error for nobody"
    names = {name for name in exceptions.__all__ if name != "LightspeedError"}
    assert names == {path.stem for path in troubleshooting.REMEDIES.glob("*.md")}
    assert set(re.findall(r"^##+ (\w+)$", page, re.MULTILINE)) == names


def test_messages_are_those_of_the_source() -> None:
    """The text of an error is found where it is raised, also in a variable, with an ellipsis for what is filled in."""
    texts = troubleshooting.messages()
    assert "relations: … of … is loaded only when one record is read; read its own resource" in texts["InvalidArgument"]
    assert "client ID or client secret refused: …" in texts["InvalidClient"]


def test_pages_that_are_gone_are_deleted_and_others_keep_their_time(tmp_path: Path) -> None:
    """So a build makes anew only what has changed."""
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "gone.md").write_text("old")
    pages.write(tmp_path)
    assert not (tmp_path / "reference" / "gone.md").exists()
    page = tmp_path / "reference" / "configuration.md"
    before = page.stat().st_mtime_ns
    pages.write(tmp_path)
    assert page.stat().st_mtime_ns == before


def test_docstring_that_names_a_page_links_it() -> None:
    """``docs/windows.md`` in a docstring is a link on the site."""
    lines = [":param x: default see docs/windows.md."]
    reference.link_pages(None, "class", "X", object, None, lines)
    assert lines == [":param x: default see :doc:`/windows`."]

"""Diagrams of what refers to what, as SVG: drawn from the catalog, without any program or service outside Python.

Colours and the behaviour under the pointer are in ``docs/_static/site.css``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from airflow_provider_lightspeed.resources.base import Resource

#: A resource with more references than this is a mark on the others, not the end of arrows.
MOST_ARROWS: Final = 6
WIDTH: Final = 232
ROW: Final = 26
GAP: Final = 56
COLUMNS: Final = 4
#: Widths of a letter and of a mark.
LETTER: Final = 7.4
MARK: Final = 15


@dataclass(frozen=True, slots=True)
class Box:
    """A resource's place in the drawing: its upper left corner."""

    x: int
    y: int


def references(resources: Sequence[Resource]) -> Mapping[str, tuple[str, ...]]:
    """Return, by resource, the other resources whose keys it holds."""
    names = {resource.name for resource in resources}
    return {
        resource.name: tuple(
            dict.fromkeys(
                field.references
                for field in resource.entity.fields.values()
                if field.references in names and field.references != resource.name
            )
        )
        for resource in resources
    }


def overview(resources: Sequence[Resource], area_of: Callable[[str], str]) -> str:
    """Return the drawing of all resources, by area, with their references."""
    refers = references(resources)
    counts = Counter(target for targets in refers.values() for target in targets)
    marks = {name for name, count in counts.items() if count > MOST_ARROWS}
    areas: dict[str, list[str]] = defaultdict(list)
    for resource in resources:
        areas[area_of(resource.name)].append(resource.name)
    boxes, titles, height = _places(areas)
    width = COLUMNS * (WIDTH + GAP)  # the last gap is for arrows within the last column
    parts = [_open(width, height, "entities", "All resources and their references")]
    parts.extend(f'<text class="area" x="{x}" y="{y}">{escape(area)}</text>' for area, (x, y) in titles.items())
    for source, targets in refers.items():
        parts.extend(_arrow(boxes, source, target) for target in targets if target not in marks)
    parts.extend(
        _node(name, boxes[name], [target for target in refers[name] if target in marks], is_mark=name in marks)
        for name in boxes
    )
    parts.append("</svg></div>")
    return "\n".join([*parts, _script()])


def _places(areas: Mapping[str, Sequence[str]]) -> tuple[dict[str, Box], dict[str, tuple[int, int]], int]:
    """Return where the resources and the titles of areas stand: each area goes into the column that is shortest yet."""
    bottoms = [0] * COLUMNS
    boxes: dict[str, Box] = {}
    titles: dict[str, tuple[int, int]] = {}
    for area, names in sorted(areas.items(), key=lambda found: -len(found[1])):
        column = bottoms.index(min(bottoms))
        x, y = column * (WIDTH + GAP), bottoms[column]
        titles[area] = (x + 4, y + 16)
        for row, name in enumerate(names):
            boxes[name] = Box(x, y + 24 + row * ROW)
        bottoms[column] = y + 24 + len(names) * ROW + 24
    return boxes, titles, max(bottoms)


def _open(width: int, height: int, kind: str, title: str) -> str:
    return (
        f'<div class="diagram {kind}"><svg viewBox="-4 0 {width + 8} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">'
    )


def _arrow(boxes: Mapping[str, Box], source: str, target: str) -> str:
    """Return a line from a resource to the one it refers to: out at the side that is nearer, in at the side that faces it."""
    a, b = boxes[source], boxes[target]
    start, end = a.y + ROW // 2 - 2, b.y + ROW // 2 - 2
    if a.x == b.x:
        x1, x2, bend = a.x + WIDTH, b.x + WIDTH, 24 + min(60, abs(end - start) // 6)
        path = f"M{x1},{start} C{x1 + bend},{start} {x2 + bend},{end} {x2 + 5},{end}"
    else:
        right = b.x > a.x
        x1, x2 = (a.x + WIDTH, b.x - 5) if right else (a.x, b.x + WIDTH + 5)
        bend = GAP * 2 // 3 if right else -GAP * 2 // 3
        path = f"M{x1},{start} C{x1 + bend},{start} {x2 - bend},{end} {x2},{end}"
    return f'<path class="arrow" data-from="{source}" data-to="{target}" d="{path}"/>'


def _node(name: str, box: Box, marks: Sequence[str], *, is_mark: bool) -> str:
    shown = "".join(
        f'<tspan class="mark" dx="{3 if place else 0}">{escape(SHORT.get(mark, mark[:2]))}</tspan>'
        for place, mark in enumerate(sorted(marks))
    )
    note = f"{name} refers to {', '.join(sorted(marks))}" if marks else name
    return (
        f'<a href="{name}.html" data-name="{name}" data-marks="{" ".join(marks)}"><title>{escape(note)}</title>'
        f'<rect class="{"box common" if is_mark else "box"}" x="{box.x}" y="{box.y}" width="{WIDTH}" height="{ROW - 4}" rx="4"/>'
        f'<text x="{box.x + 8}" y="{box.y + 15}">{escape(short(name, len(marks) + is_mark))}'
        f"{_own_mark(name) if is_mark else ''}</text>"
        f'<text class="marks" text-anchor="end" x="{box.x + WIDTH - 6}" y="{box.y + 15}">{shown}</text></a>'
    )


#: Marks of the most common records.
SHORT: Final = {
    "Customer": "Cu", "Discount": "Di", "Employee": "Em", "Item": "It", "Order": "Or", "Register": "Re", "Sale": "Sa",
    "SaleLine": "Sl", "Shop": "Sh", "TaxCategory": "Tc", "TaxClass": "Tx", "Vendor": "Ve",
}  # fmt: skip


def _own_mark(name: str) -> str:
    return f'<tspan class="mark" dx="8">{escape(SHORT.get(name, name[:2]))}</tspan>'


def short(name: str, marks: int) -> str:
    """Return a name that fits its box beside its marks."""
    if len(name) * LETTER + marks * MARK <= WIDTH - 16:
        return name
    return name.replace("ReportsAccounting", "…").replace("DisplayTemplate", "…").replace("WorkorderWork", "…Work")


def around(resource: Resource, resources: Sequence[Resource]) -> str:
    """Return the drawing of one resource: left who refers to it, right whom it refers to."""
    refers = references(resources)
    left = sorted(name for name, targets in refers.items() if resource.name in targets)
    right = sorted(refers[resource.name])
    if not left and not right:
        return ""
    rows = max(len(left), len(right), 1)
    height = rows * ROW + 4
    width = 3 * WIDTH + 2 * GAP
    boxes = {resource.name: Box(WIDTH + GAP, (rows - 1) * ROW // 2 + 2)}
    parts = [_open(width, height, "around", f"What refers to {resource.name}, and what it refers to")]
    for side, names in ((0, left), (2, right)):
        top = (rows - len(names)) * ROW // 2 + 2
        for row, name in enumerate(names):
            places = {**boxes, name: Box(side * (WIDTH + GAP), top + row * ROW)}
            source, target = (name, resource.name) if side == 0 else (resource.name, name)
            parts += [_arrow(places, source, target), _node(name, places[name], (), is_mark=False)]
    parts += [
        _node(resource.name, boxes[resource.name], (), is_mark=True).replace(_own_mark(resource.name), ""),
        "</svg></div>",
    ]
    return "\n".join(_lines(parts))


def _lines(parts: Sequence[str]) -> Iterator[str]:
    """Yield parts without blank lines, which would end raw HTML."""
    yield from (part for part in parts if part)


def _script() -> str:
    """Return what shows one resource's references alone while the pointer is on it, or while it has the focus."""
    return """<script>
document.querySelectorAll(".diagram.entities a").forEach((node) => {
  const drawing = node.closest("svg"), name = node.dataset.name;
  const show = (on) => {
    drawing.classList.toggle("chosen", on);
    const near = new Set([name, ...node.dataset.marks.split(" ")]);
    drawing.querySelectorAll(".arrow").forEach((line) => {
      const ours = line.dataset.from === name || line.dataset.to === name;
      line.classList.toggle("on", on && ours);
      if (ours) { near.add(line.dataset.from); near.add(line.dataset.to); }
    });
    drawing.querySelectorAll("a").forEach((each) => {
      const refers = each.dataset.marks.split(" ").includes(name);
      each.classList.toggle("on", on && (near.has(each.dataset.name) || refers));
    });
  };
  node.addEventListener("mouseenter", () => show(true));
  node.addEventListener("mouseleave", () => show(false));
  node.addEventListener("focus", () => show(true));
  node.addEventListener("blur", () => show(false));
});
</script>"""

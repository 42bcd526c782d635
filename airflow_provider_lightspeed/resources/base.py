"""The vocabulary of the catalog: resources, entities, fields, relations, and how each resource is read over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from airflow_provider_lightspeed.exceptions import InvalidArgument, unknown
from airflow_provider_lightspeed.resources.given import names_of

#: The pages of Lightspeed's documentation lie below.
DOCS_URL: Final = "https://developers.lightspeedhq.com/retail/endpoints"


class FieldType(StrEnum):
    """What a field holds, by the documentation and the samples.

    A ``quantity`` is an amount of goods: documented as a whole number, but nothing excludes a fraction (section 8 of
    docs/live.md).
    """

    INTEGER = "integer"
    QUANTITY = "quantity"
    MONEY = "money"
    FLOAT = "float"
    STRING = "string"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    DATE = "date"
    OBJECT = "object"
    COLLECTION = "collection"
    STRING_LIST = "string_list"
    MIXED = "mixed"


NESTED: Final = frozenset({FieldType.OBJECT, FieldType.COLLECTION})
#: Types whose values are decimals.
DECIMALS: Final = frozenset({FieldType.QUANTITY, FieldType.MONEY, FieldType.FLOAT})
#: Records in a page at most, and by default.
PAGE_SIZE: Final = 100


class Source(StrEnum):
    """Where a field is known from: the strongest there is.

    ``documented``: the API's documentation, its samples included. ``recorded``: recorded answers. ``live``: clients of
    live accounts only.
    """

    DOCUMENTED = "documented"
    RECORDED = "recorded"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an entity.

    :param target: the entity inside an object or a collection.
    :param element: the key that a collection's records stand under on the wire.
    :param embedded: a nested field that arrives without asking for a relation.
    :param aliases: other spellings seen on the wire; they feed the same column.
    :param format: of a date, when it is not ISO 8601.
    :param references: the entity whose key it holds.
    :param is_secret: a credential, card data or a number that is worth money: left out unless named (M8 in docs/live.md).
    """

    name: str
    type: FieldType
    target: str | None = None
    element: str | None = None
    embedded: bool = False
    aliases: tuple[str, ...] = ()
    format: str | None = None
    references: str | None = None
    source: Source = Source.DOCUMENTED
    is_secret: bool = False


class Cardinality(StrEnum):
    """How many records a relation leads to."""

    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation that ``load_relations`` takes.

    :param name: dotted, as the API has it: ``SaleLines.Item``.
    :param container_key: the key it arrives under (``Prices`` for ``ItemPrices``).
    :param cost: bucket units on a list request (docs: introduction/relations).
    :param single_only: loaded on reads of one record only.
    :param always_loaded: arrives whether asked for or not.
    :param is_sparse: most records lack it, so its absence from a page says nothing (C6 in docs/live.md).
    """

    name: str
    cardinality: Cardinality
    target: str | None
    container_key: str
    element_key: str | None
    cost: float
    single_only: bool = False
    always_loaded: bool = False
    is_sparse: bool = False


class Strategy(StrEnum):
    """How a resource is read incrementally; a fixed fact, never chosen by price.

    ``modified``: filter on the true modification field. ``append``: follow the primary key. ``parent``: through a
    resource that has a modification field. ``snapshot``: read all of it. ``period``: a report over days.
    """

    MODIFIED = "modified"
    APPEND = "append"
    PARENT = "parent"
    SNAPSHOT = "snapshot"
    PERIOD = "period"


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of record."""

    name: str
    fields: Mapping[str, Field]
    primary_key: str | None = None

    def find(self, name: str) -> Field:
        """Return the field of that name in any of its spellings.

        :raises KeyError: there is none.
        """
        if name in self.fields:
            return self.fields[name]
        return next((found for found in self.fields.values() if name in found.aliases), None) or self.fields[name]

    def has(self, name: str) -> bool:
        """Whether there is a field of that name, in any of its spellings."""
        return name in self.fields or any(name in found.aliases for found in self.fields.values())

    def spellings(self, name: str) -> tuple[str, ...]:
        """Return all spellings of a field, the catalog's first; of a name that is none, the name itself."""
        try:
            field = self.find(name)
        except KeyError:
            return (name,)
        return (field.name, *field.aliases)


@dataclass(frozen=True, slots=True)
class ParentKey:
    """A placeholder of a nested path, and whose field fills it."""

    placeholder: str
    resource: str
    field: str


@dataclass(frozen=True, slots=True)
class Through:
    """The resource and relation that a ``parent`` strategy reads."""

    resource: str
    relation: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A list that can be read.

    :param path: relative to the account, ``{placeholders}`` for the ids of parents; with a leading slash relative to
        the API.
    :param envelope: the key of the records in the answer.
    :param modified_field: the field that moves with every change, or ``None``.
    :param variants: parameters of the lists that are the resource together; ``({},)``: it is one plain list.
    :param page_size: records to ask for at a time.
    :param timeout: seconds to wait for an answer; ``None``: as long as for any other.
    """

    name: str
    path: str
    base_path: str
    envelope: str
    entity: Entity
    primary_key: str | None
    strategy: Strategy
    modified_field: str | None = None
    created_field: str | None = None
    archived: bool = False
    sortable: tuple[str, ...] = ()
    relations: Mapping[str, Relation] = field(default_factory=dict)
    parents: tuple[ParentKey, ...] = ()
    through: Through | None = None
    query_params: tuple[str, ...] = ()
    required_params: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    deprecated: bool = False
    docs: str = ""
    variants: tuple[Mapping[str, str], ...] = ({},)
    page_size: int = PAGE_SIZE
    timeout: float | None = None

    @property
    def docs_url(self) -> str:
        """The page of Lightspeed's documentation; its address is spelled as the resource or its path is, case included."""
        page = self.docs.rpartition("/")[2]
        path = "-".join(part for part in self.path.split("/") if part and not part.startswith("{"))
        # The one path whose page is spelled otherwise.
        spellings = (self.name, path.replace("WorkOrder", "Workorder"))
        return f"{DOCS_URL}/{next((found for found in spellings if found.lower() == page), page)}/"

    def check_relations(self, names: str | Iterable[str] | None) -> tuple[str, ...]:
        """Return the relations to load, with the parents of dotted names, in catalog order.

        :param names: as of :func:`.given.names_of`.
        :raises InvalidArgument: unknown (suggests the nearest), or not loaded on lists.
        """
        wanted: set[str] = set()
        for name in names_of("relations", names) or ():
            if name not in self.relations:
                raise unknown("relations", name, self.relations, what=f"relation of {self.name}")
            if self.relations[name].single_only:
                msg = (
                    f"relations: {name!r} of {self.name} is loaded only when one record is read; read its own resource"
                )
                raise InvalidArgument(msg, field="relations", found=name, allowed=())
            parts = name.split(".")
            wanted.update(".".join(parts[: depth + 1]) for depth in range(len(parts)))
        return tuple(name for name in self.relations if name in wanted)

    def loaded(self, relations: Iterable[str]) -> tuple[str, ...]:
        """Return what arrives when ``relations`` are asked for: these and the ones that always do."""
        wanted = set(relations)
        return tuple(name for name, found in self.relations.items() if found.always_loaded or name in wanted)

    def relations_cost(self, relations: Iterable[str]) -> float:
        """Return the bucket units that ``relations`` add to a list request."""
        return sum(self.relations[name].cost for name in relations)

    def check_filters(self, names: Iterable[str], relations: Iterable[str]) -> None:
        """Check the fields of filters: own scalar ones, or one dot into a loaded relation.

        :raises InvalidArgument: unknown field, or the relation is not loaded.
        """
        scalars = (found for found in self.entity.fields.values() if found.type not in NESTED)
        own = {name for found in scalars for name in (found.name, *found.aliases)}
        allowed = own | set(self.query_params) | set(self.required_params) | {"or"}
        loaded = set(relations)
        for name in names:
            relation, dot, _ = name.partition(".")
            if name in allowed:
                continue
            if dot and relation in self.relations:
                if relation not in loaded:
                    msg = f"filters: {name!r} needs the relation {relation!r}; add it to relations"
                    raise InvalidArgument(msg, field="filters", found=name, allowed=(f"relations=[{relation!r}]",))
                continue
            raise unknown("filters", name, allowed, what=f"filter field of {self.name}")

"""What becomes of the other tokens when one is issued or used. No I/O, no time of its own.

A grant is a tree of pairs: the pair of the authorization code is its root, and every refresh hangs a new pair under
the one whose refresh token was spent. Documented (changelog 2026.01.15): a spent refresh token stays good until a new
access token first authenticates an API request. Not documented, hence switchable: what becomes of pairs that were
issued from one refresh token (siblings), and of the access token before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

REVOKED = "Token has been revoked"
ACCESS_REVOKED = "Access token has been revoked"


class Rotation(StrEnum):
    """When a spent refresh token dies."""

    DEFERRED = "deferred"
    """With the first API request of the new access token: the documented rule."""
    IMMEDIATE = "immediate"
    """At once."""
    SAME_TOKEN = "same-token"
    """Never while the access token is valid: the same pair is handed out again, as servers before 2024 did."""


class Siblings(StrEnum):
    """Which of several pairs issued from one refresh token survive."""

    LIVE = "live"
    """All of them."""
    DIE = "die"
    """The first whose access token is used; the others die at that moment."""
    LAST = "last"
    """The last issued; issuing it kills the earlier ones."""
    REUSE_KILLS = "reuse-kills"
    """All, but spending a dead refresh token kills the whole grant (RFC 9700, section 4.14.2)."""


class OldAccess(StrEnum):
    """What becomes of the access token before when the new one is first used."""

    LIVE = "live"
    DIE = "die"


@dataclass(slots=True, eq=False)
class Pair:
    """An access token and the refresh token that came with it. Times are epoch seconds."""

    grant: Grant
    parent: Pair | None
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    issued_at: float
    expires_at: float
    spent_at: float | None = None
    used: bool = False
    access_dead: bool = False
    refresh_dead: bool = False
    children: list[Pair] = field(default_factory=list, repr=False)

    @property
    def last_active(self) -> float:
        """Return when the refresh token was issued or last spent."""
        return self.issued_at if self.spent_at is None else self.spent_at

    def kill(self) -> None:
        """End both tokens of this pair and of all pairs that came from it."""
        pending = [self]
        while pending:
            pair = pending.pop()
            pair.access_dead = pair.refresh_dead = True
            pending.extend(pair.children)


@dataclass(slots=True, eq=False)
class Grant:
    """One consent: an employee let a client into an account.

    :param public: the code was exchanged without a client secret, so refreshes need none either.
    """

    grant_id: str
    client_id: str
    account_id: str
    employee_id: str
    scope: tuple[str, ...]
    public: bool = False
    revoked: bool = False
    attempts: deque[float] = field(default_factory=deque, repr=False)
    root: Pair | None = field(default=None, repr=False)

    def revoke(self) -> None:
        """End every token of the grant."""
        self.revoked = True
        if self.root is not None:
            self.root.kill()


@dataclass(frozen=True, slots=True)
class RotationRules:
    """The switches: ``rotation`` is documented as deferred, the other two are not documented at all."""

    rotation: Rotation = Rotation.DEFERRED
    siblings: Siblings = Siblings.LIVE
    old_access: OldAccess = OldAccess.LIVE

    def issued(self, pair: Pair) -> None:
        """Attach a new pair to its parent and end what has to end at once."""
        parent = pair.parent
        if parent is None:
            pair.grant.root = pair
            return
        if self.siblings is Siblings.LAST:
            for sibling in parent.children:
                sibling.kill()
        parent.children.append(pair)
        if self.rotation is Rotation.IMMEDIATE:
            parent.refresh_dead = True

    def used(self, pair: Pair) -> None:
        """End what dies with the first API request of a pair's access token: the refresh tokens it descends from."""
        if pair.used:
            return
        pair.used = True
        child, parent = pair, pair.parent
        while parent is not None:
            settled = parent.refresh_dead
            parent.refresh_dead = True
            if self.old_access is OldAccess.DIE:
                parent.access_dead = True
            if self.siblings is Siblings.DIE:
                for sibling in parent.children:
                    if sibling is not child:
                        sibling.kill()
            if settled and self.rotation is not Rotation.IMMEDIATE:
                break
            child, parent = parent, parent.parent

    def reused(self, pair: Pair) -> None:
        """React to an attempt to spend a dead refresh token."""
        if self.siblings is Siblings.REUSE_KILLS:
            pair.grant.revoke()

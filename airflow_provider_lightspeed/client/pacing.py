"""When the next request may be sent: pure arithmetic over what the replies say. Moments are arguments, monotonic seconds.

Two limits hold (docs: introduction/rate-limiting): a leaky bucket per account and API client takes the cost of every
request and drains steadily; fixed windows of one second count requests, whatever they cost. Both are shared with
programs that nobody here can see, other tasks of ours among them. They show in the headers alone: what a reply says
beyond our own requests is theirs.

*Alone*, requests go out as fast as they fit into the bucket, less a reserve of one request. *In company*, the pace falls
with the room that is left: everybody who follows this law sees the same level and so gets the same pace, and together
they come to rest where their sum is what drips out (:meth:`Pacer.pace`). A neighbour who fills the bucket to the brim
and retries at every refusal leaves no room at all; then the only chance is the moment at which the level sinks below the
brim, which the last reply tells (:mod:`..client.brim`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from airflow_provider_lightspeed.client.brim import AT_THE_BRIM, Brim
from airflow_provider_lightspeed.client.bucket import MEMORY, LeakyBucket
from airflow_provider_lightspeed.client.rate_headers import RateHeaders

#: The burst limit of the documented sample; replies say what it is.
DEFAULT_BURST: Final = 20.0
#: The share of a burst window that all senders together should use.
BURST_SHARE: Final = 0.8
BURST_WINDOW: Final = 1.0
#: Requests in the first second after a start, before anybody knows who else is sending; doubled every ``RAMP`` seconds.
FIRST_BURST: Final = 4.0
RAMP: Final = 0.5
#: In company the pace falls from the whole drip to nothing over so many of the dearest requests, plus what drips out in
#: ``USE_UP`` seconds: what a handful of others may send before it shows here. Never over more than a share of the bucket.
YIELD_REQUESTS: Final = 18.0
YIELD_SHARE: Final = 0.4
#: Seconds within which room beyond that is used up.
USE_UP: Final = 2.0
#: Strangers below this share of the drip are noise; from ``COMPANY`` on they are company.
NOISE: Final = 0.04
COMPANY: Final = 0.3
#: Without room in sight, a request is tried after so many seconds, or after ``PATIENCE`` times its own drain time.
LONGEST_WAIT: Final = 10.0
PATIENCE: Final = 30.0
#: Seconds after a refusal by the bucket before the next try.
RETREAT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request; handed back with its reply."""

    number: int
    cost: float
    sent: float


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a reply said: the level right after its request, which was number ``number``.

    :param at: when that request was sent; the difference of two such moments is free of the latency.
    :param spent: our own units up to and including it.
    """

    level: float
    at: float
    number: int
    spent: float


class Pacer:
    """Tells how long to wait before the next request of one process, and learns from every reply. Not safe among threads.

    :param now: the moment of the start.
    :param delay: seconds before the first request: processes that start together should not send together.
    :param patience: stretches the longest wait, so that those who wait together do not try together.
    """

    def __init__(self, now: float, *, delay: float = 0.0, patience: float = 1.0) -> None:
        self._patience = patience
        self._bucket = LeakyBucket(at=now)
        self._burst = DEFAULT_BURST
        self._sent: deque[float] = deque()
        self._in_flight: dict[int, Ticket] = {}
        self._tickets = 0
        self._spent = 0.0
        self._dearest = 1.0
        self._latency = 0.0
        self._reading: _Reading | None = None
        self._strangers = 0.0
        self._others, self._others_at = 0.0, now
        self._ramp, self._ramp_at = FIRST_BURST, now
        self._blocked_until = now + delay
        self._brim: Brim | None = None
        self._refusals = 0

    # -- what holds now ----------------------------------------------------------------------------------------------

    @property
    def strangers(self) -> float:
        """Units per second that others pour into the bucket, as far as it shows."""
        return self._strangers if self._strangers > NOISE * self._bucket.drip else 0.0

    @property
    def burst(self) -> float:
        """Requests per second that all senders together should not exceed."""
        return self._burst * BURST_SHARE

    def bucket(self, now: float) -> LeakyBucket:
        """Return the estimate at ``now``."""
        return self._bucket.drained(now, inflow=self.strangers)

    def room(self, now: float) -> float:
        """Return the units that may still be poured in, beyond the reserve."""
        bucket = self.bucket(now)
        others_in_flight = self.strangers * self._latency / self._dearest
        return bucket.size - self._dearest * (1 + others_in_flight) - bucket.level

    def pace(self, room: float) -> float:
        """Return the units per second that are ours, at so much room: all of it when alone, a share in company."""
        drip, size = self._bucket.drip, self._bucket.size
        company = min(1.0, self.strangers / (COMPANY * drip)) if drip > 0 else 0.0
        span = company * min(YIELD_SHARE * size, YIELD_REQUESTS * self._dearest + USE_UP * drip)
        if room <= 0:
            return 0.0
        if span <= 0:
            return math.inf
        return drip * min(1.0, room / span) + max(0.0, room - span) / USE_UP

    # -- asking ------------------------------------------------------------------------------------------------------

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds before a request of ``cost`` may be sent, or before it is worth asking again; 0: now."""
        gates = [self._blocked_until - now, self._burst_wait(now)]
        if self._reading is None and self._in_flight and now < self._sent[-1] + LONGEST_WAIT:
            # One probe first: its reply says whose the bucket is.
            gates.append(0.05)
        elif self._brim is not None:
            gates.append(self._brim.wait(self._bucket, cost, self._sent[-1] if self._sent else now, now))
        else:
            gates.append(self._bucket_wait(cost, now))
        return max(0.0, *gates)

    def _bucket_wait(self, cost: float, now: float) -> float:
        room, drip = self.room(now), self._bucket.drip
        last = self._sent[-1] if self._sent else -math.inf
        probe = last + self._patience * max(LONGEST_WAIT, PATIENCE * cost / drip if drip > 0 else 0.0) - now
        alone = self.strangers <= 0
        needed = min(cost, self._bucket.size - self._dearest) if alone else 0.0
        if room < needed or room <= 0:
            if alone:
                return max(0.0, (needed - room) / drip) if drip > 0 else 1.0
            return max(0.0, min(probe, max(0.05, -room / drip)))
        pace = self.pace(room)
        return min(max(0.0, last + cost / pace - now), max(0.0, probe)) if pace < math.inf else 0.0

    def _burst_wait(self, now: float) -> float:
        while self._sent and len(self._sent) > 1 and self._sent[0] <= now - BURST_WINDOW:
            self._sent.popleft()
        recent = [at for at in self._sent if at > now - BURST_WINDOW]
        allowed = self._allowed(now)
        return recent[-allowed] + BURST_WINDOW - now if len(recent) >= allowed else 0.0

    def _allowed(self, now: float) -> int:
        others = self._others * 0.5 ** ((now - self._others_at) / 2)
        cap = self._burst * BURST_SHARE - others
        while now - self._ramp_at >= RAMP and self._ramp < self._burst:
            self._ramp_at += RAMP
            self._ramp = self._ramp + 0.5 if others >= 1 else 2 * self._ramp
        return max(1, int(min(cap, self._ramp)))

    def book(self, cost: float, now: float) -> Ticket:
        """Count a request as sent."""
        self._tickets += 1
        self._spent += cost
        self._dearest = max(cost, self._dearest * 0.98)
        ticket = Ticket(self._tickets, cost, now)
        bucket = self.bucket(now)
        self._bucket = replace(bucket, level=bucket.level + cost)
        self._sent.append(now)
        self._in_flight[ticket.number] = ticket
        return ticket

    # -- learning ----------------------------------------------------------------------------------------------------

    def observe(self, ticket: Ticket, headers: RateHeaders, now: float) -> None:
        """Correct the estimate by a reply. Draining counts from receipt; an older reply never lowers the level."""
        self._in_flight.pop(ticket.number, None)
        self._latency += 0.2 * (now - ticket.sent - self._latency)
        bucket = self.bucket(now)
        bucket = replace(bucket, size=headers.size or bucket.size, drip=headers.drip or bucket.drip)
        self._burst = headers.burst_limit or self._burst
        self._see_others(ticket, headers, now)
        if headers.level is not None:
            later = self._spent - self._spent_up_to(ticket)
            level = headers.level + later
            newest = self._reading is None or ticket.number > self._reading.number
            if newest:
                self._learn(_Reading(headers.level, ticket.sent, ticket.number, self._spent_up_to(ticket)), bucket)
            bucket = replace(bucket, level=level if newest else max(level, bucket.level))
        self._bucket = bucket
        if headers.limiter is None and headers.level is not None:
            self._watch_brim(headers.level, ticket, now)

    def _spent_up_to(self, ticket: Ticket) -> float:
        """Our own units up to a ticket: all that came after it are in flight still, or were noted with their reply."""
        return self._spent - sum(found.cost for found in self._in_flight.values() if found.number > ticket.number)

    def _see_others(self, ticket: Ticket, headers: RateHeaders, now: float) -> None:
        if headers.burst_level is None:
            return
        ours = sum(ticket.sent - BURST_WINDOW < at <= ticket.sent for at in self._sent)
        seen = max(0.0, headers.burst_level - ours)
        faded = self._others * 0.5 ** ((now - self._others_at) / 2)
        self._others, self._others_at = max(seen, faded), now

    def _learn(self, reading: _Reading, bucket: LeakyBucket) -> None:
        """Average what was poured in between two readings beyond our own."""
        before, self._reading = self._reading, reading
        if before is None:
            # A level that our own first request does not explain is somebody's: until more is known, company.
            filled = (reading.level - reading.spent) / bucket.size
            self._strangers = bucket.drip * min(1.0, 1.2 * filled) if filled > NOISE else 0.0
            return
        passed = max(reading.at - before.at, 1e-3)
        left = max(0.0, before.level - passed * bucket.drip)
        poured = reading.level - left - (reading.spent - before.spent)
        weight = passed / (passed + MEMORY)
        self._strangers = max(0.0, self._strangers + weight * (poured / passed - self._strangers))

    def lost(self, ticket: Ticket) -> None:
        """Note that no reply came; its cost stays in the estimate, because the server may have counted it."""
        self._in_flight.pop(ticket.number, None)

    def refused(self, ticket: Ticket, headers: RateHeaders, retry_after: float, now: float) -> None:
        """Learn from a 429: nothing is sent for ``retry_after`` seconds, at least one. Its cost was not charged."""
        self._spent -= ticket.cost
        bucket = replace(self._bucket, level=max(0.0, self._bucket.level - ticket.cost))
        self._bucket = bucket
        self.observe(ticket, headers, now)
        self._blocked_until = max(self._blocked_until, now + max(BURST_WINDOW, retry_after))
        if headers.limiter == "api-burst-limiter":
            self._ramp, self._ramp_at = max(1.0, self._ramp / 2), now + BURST_WINDOW
            return
        self._bucket = replace(self._bucket, level=max(self._bucket.level, self._bucket.size))
        self._blocked_until = max(self._blocked_until, now + RETREAT)
        self._refusals += 1
        if headers.level is not None:
            # What nothing is charged for says nothing of what the neighbour sends.
            unit = ticket.cost or self._dearest
            brim = self._brim or Brim(headers.level, ticket.sent, unit, now + AT_THE_BRIM)
            # Not once was there room since the refusal before: waiting for it does not help.
            self._brim = brim.refused(headers.level, ticket.sent, self._bucket.drip) if self._refusals >= 2 else None

    def _watch_brim(self, level: float, ticket: Ticket, now: float) -> None:
        """Note what a request that was served tells: room, and all is well again; or when the brim is crossed next."""
        if level - ticket.cost < self._bucket.size - 2 * self._dearest:
            self._refusals, self._brim = 0, None
        elif self._brim is not None:
            self._brim = self._brim.served(level, ticket.sent) if now < self._brim.until else None

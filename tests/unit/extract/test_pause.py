"""When a read gives its worker slot back: never at the price of a slower read."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot
from airflow_provider_lightspeed.extract.pause import MARGIN, START_UP, WORTH_PAUSING, Paused, PausePolicy

sizes = st.floats(90, 1_000)
drips = st.floats(0.5, 60)
#: How full the bucket is; the request that overflows it is served.
fillings = st.floats(0, 1.1)
#: What strangers take of the drip.
shares = st.floats(0, 1.5)
buckets = st.builds(
    lambda size, drip, filled, share: BucketSnapshot(size * filled, size, drip, drip * share),
    sizes,
    drips,
    fillings,
    shares,
)
costs = st.floats(0.5, 30)
#: Where a pause is likely: full, and draining.
full_buckets = st.builds(
    lambda size, drip, share: BucketSnapshot(size, size, drip, drip * share), sizes, drips, st.floats(0, 0.5)
)
amounts = st.floats(0, 100_000)
many = st.floats(1_000, 100_000)
policies = st.builds(PausePolicy, start_up=st.floats(0.1, 60), worth=st.floats(0, 120))

FULL = BucketSnapshot(level=480.0, size=480.0, drip=2.0)


@given(policies, buckets, costs, st.none() | amounts, amounts)
@example(PausePolicy(), FULL, 1.0, 10_000.0, 0.0)
def test_pauses_never_while_the_bucket_has_room(
    policy: PausePolicy, bucket: BucketSnapshot, cost: float, left: float | None, spent: float
) -> None:
    """First everything goes out that the bucket takes."""
    if policy.seconds(bucket, cost, drips_left=left, drips=spent) is not None:
        assert bucket.size - bucket.level <= 3 * cost


@given(policies, buckets, costs, st.none() | amounts, amounts)
def test_pauses_never_for_less_than_it_is_worth(
    policy: PausePolicy, bucket: BucketSnapshot, cost: float, left: float | None, spent: float
) -> None:
    """A process that starts anew costs as much as it saves, if the pause is not twice as long."""
    seconds = policy.seconds(bucket, cost, drips_left=left, drips=spent)
    assert seconds is None or seconds >= max(policy.worth, 2 * policy.start_up)


@given(policies, full_buckets, costs, st.none() | many, many)
@example(PausePolicy(), FULL, 1.0, 10_000.0, 0.0)
def test_bucket_is_not_empty_before_the_next_request(
    policy: PausePolicy, bucket: BucketSnapshot, cost: float, left: float | None, spent: float
) -> None:
    """What drips out from an empty bucket is lost: when the pause ends, it holds what drips while a process starts."""
    seconds = policy.seconds(bucket, cost, drips_left=left, drips=spent)
    if seconds is not None:
        level = bucket.level - seconds * (bucket.drip - bucket.strangers)
        assert level >= policy.start_up * bucket.drip


@given(policies, full_buckets, costs, many, amounts)
@example(PausePolicy(), FULL, 1.0, 200.0, 0.0)
def test_pause_is_over_before_the_read_would_be(
    policy: PausePolicy, bucket: BucketSnapshot, cost: float, left: float, spent: float
) -> None:
    """With the new process's start, a read that pauses ends no later than one that goes on at the drip."""
    seconds = policy.seconds(bucket, cost, drips_left=left, drips=spent)
    if seconds is not None:
        assert seconds + policy.start_up <= left / (bucket.drip - bucket.strangers)


@given(policies, full_buckets, costs, amounts)
def test_read_of_unknown_length_is_taken_for_as_long_as_it_has_been(
    policy: PausePolicy, bucket: BucketSnapshot, cost: float, spent: float
) -> None:
    """One that has just filled the bucket goes on; one that has been at it for long may pause."""
    seconds = policy.seconds(bucket, cost, drips_left=None, drips=spent)
    if seconds is not None:
        assert spent > bucket.size / 2
        assert seconds == policy.seconds(bucket, cost, drips_left=spent - bucket.size / 2, drips=0)


@given(policies, buckets, costs, amounts)
def test_strangers_who_take_the_whole_drip_leave_nothing_to_pause_for(
    policy: PausePolicy, bucket: BucketSnapshot, cost: float, left: float
) -> None:
    """The bucket does not drain."""
    if bucket.strangers >= bucket.drip:
        assert policy.seconds(bucket, cost, drips_left=left, drips=0) is None


def test_long_read_pauses_until_the_bucket_has_nearly_drained() -> None:
    """480 units at 2 per second, less what drips in 12 seconds: 228 seconds in which the slot is free."""
    kept = (START_UP + MARGIN) * FULL.drip
    assert PausePolicy().seconds(FULL, 1.0, drips_left=10_000, drips=480) == (FULL.level - kept) / FULL.drip == 228


def test_read_that_nearly_ends_goes_on() -> None:
    """80 units left are 40 seconds: the pause would have to be over after 28."""
    assert PausePolicy().seconds(FULL, 1.0, drips_left=80, drips=480) is None
    assert PausePolicy().seconds(FULL, 1.0, drips_left=2 * (WORTH_PAUSING + START_UP + MARGIN), drips=480) is not None


def test_small_account_that_drains_fast_never_pauses() -> None:
    """What a slow start leaves of the bucket's drain time is not worth it."""
    bucket = BucketSnapshot(level=90.0, size=90.0, drip=3.0)
    assert PausePolicy(start_up=20).seconds(bucket, 1.0, drips_left=10_000, drips=90) is None


def test_pause_says_what_is_safe_and_how_long_it_lasts() -> None:
    """For the log of a task that is deferred."""
    assert str(Paused(228.4, rows=48_000, drips=480, requests=481)) == (
        "48000 rows read and stored; the bucket drains for 228 s"
    )

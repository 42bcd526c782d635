"""A bucket that a neighbour keeps at its brim: when a request gets in nevertheless."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.client.brim import AIM, Brim
from airflow_provider_lightspeed.client.bucket import LeakyBucket

SIZE = 90.0
drips = st.floats(0.5, 10)
units = st.floats(0.5, 20)


@given(drips, units, st.floats(0, 20), st.floats(0, 500))
def test_crossing_is_a_moment_at_which_the_level_is_at_the_brim(
    drip: float, unit: float, over: float, earliest: float
) -> None:
    """The overfill has dripped out, and so has what the neighbour poured in since, a whole number of times."""
    moment = Brim(SIZE + over, 0.0, unit, 1e9).crossing(LeakyBucket(SIZE, SIZE, drip, 0.0), earliest)
    poured = (moment - over / drip) * drip / unit
    assert moment >= earliest or abs(moment - earliest) < 1e-6
    assert abs(poured - round(poured)) < 1e-3
    assert moment <= max(over / drip, earliest) + unit / drip + 1e-6


@given(drips, units, st.floats(0.5, 20), st.floats(0, 100))
def test_next_try_leaves_the_neighbour_half_of_the_drip(drip: float, unit: float, cost: float, now: float) -> None:
    """Requests of a cost come no oftener than at half the drip, and a little behind the crossing."""
    wait = Brim(SIZE, 0.0, unit, 1e9).wait(LeakyBucket(SIZE, SIZE, drip, 0.0), cost, now, now)
    assert wait >= 2 * cost / drip - 0.03
    assert wait >= AIM - 0.03


def test_refusal_tells_how_much_the_neighbour_pours_at_a_time() -> None:
    """Two jumps of five and a drip of one a second, over four seconds: six more than at the reading before."""
    brim = Brim(level=92.0, at=0.0, unit=4.0, until=100.0).refused(level=98.0, at=4.0, drip=1.0)
    assert (brim.level, brim.at, brim.unit) == (98.0, 4.0, 5.0)
    still = brim.refused(level=97.0, at=5.0, drip=1.0)
    assert still.unit == 5.0

"""Recurrences: each device once in each period, within the window, whatever the clock, the zone and the power do."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon.recurrence import DAYS, SECONDS, recurrence
from edgemon.windows import window

MONDAY = 1_780_264_800.0
"""2026-06-01T00:00:00 in Berlin."""
HOUR = 3600.0
WINDOWS = ["", "02:00-05:00", "Sun 02:00-05:00", "Sat,Sun 22:00-05:00", "Mon-Fri 12:00-12:30"]


pytestmark = pytest.mark.usefixtures("berlin")


def often(period: str, text: str) -> str:
    return f"{period}, {text}" if text else period


def played(text: str, phase: float, start: float, days: float, step: float = 900.0) -> list[float]:
    """When it is done, looked at every quarter of an hour, after having been done at the last appointment."""
    it, now, done = recurrence(text), start, list[float]()
    last = it.appointed(start, phase)
    while now < start + days * SECONDS:
        now += step
        if it.due(now, last, phase):
            last = now
            done.append(now)
    return done


@settings(max_examples=40, deadline=None)
@given(
    period=st.sampled_from(sorted(DAYS)),
    text=st.sampled_from(WINDOWS),
    phase=st.floats(0, 0.99),
    start=st.floats(MONDAY, MONDAY + 300 * SECONDS),
)
def test_it_is_done_once_a_period_in_the_window_over_changes_of_the_clock(
    period: str, text: str, phase: float, start: float
) -> None:
    """Over 70 days from anywhere in a year: no period without, none with two, never outside."""
    if period == "daily" and text.startswith(("S", "M")):
        return
    done = played(often(period, text), phase, start, 70)
    kept = window(text) if text else None
    assert all(kept.open(time.localtime(at)) for at in done) if kept else True
    most = {"daily": 1, "weekly": 7, "monthly": 31}[period]
    gaps = [after - before for before, after in pairwise(done)]
    assert all(abs(gap / SECONDS - most) <= (4 if period == "monthly" else 0.1) for gap in gaps)
    assert len(done) >= 70 // most - 1


def test_the_devices_of_a_fleet_are_spread_over_all_of_the_period() -> None:
    """Of 700 devices a hundred or so have their night on each day of the week, from two to five."""
    found = [recurrence("weekly, 02:00-05:00").appointed(MONDAY + 7 * SECONDS - 1, one / 700) for one in range(700)]
    days = [time.localtime(at).tm_wday for at in found]
    assert all(days.count(day) == 100 for day in range(7))
    assert {time.localtime(at).tm_hour for at in found} == {2, 3, 4}
    assert len(set(found)) > 500


def test_an_hour_that_comes_twice_in_autumn_makes_no_second_one() -> None:
    """On 25 October 2026 it is half past two twice; done in the first, it is not due in the second."""
    it, first = recurrence("weekly, Sun 02:00-03:00"), 1_792_888_200.0
    assert [time.localtime(at)[2:5] for at in (first, first + HOUR)] == [(25, 2, 30), (25, 2, 30)]
    assert it.due(first, first - 7 * SECONDS, 0.5)
    assert not it.due(first + HOUR, first, 0.5)
    assert not it.due(first + HOUR, first - 300, 0.5)


def test_a_device_that_was_off_does_it_in_the_next_window() -> None:
    """Appointed for Monday at two, switched on again on Tuesday at noon: on Wednesday at two."""
    it, last = recurrence("weekly, 02:00-05:00"), MONDAY - 6 * SECONDS
    assert not it.due(MONDAY + 1 * HOUR, last, 0.0)
    assert not it.due(MONDAY + 36 * HOUR, last, 0.0)
    assert it.due(MONDAY + 50.5 * HOUR, last, 0.0)
    assert not it.due(MONDAY + 51 * HOUR, MONDAY + 50.5 * HOUR, 0.0)


def test_what_was_caught_up_on_shortly_before_the_next_appointment_puts_that_off() -> None:
    """Caught up on on Sunday, appointed for Monday: half a week later is soon enough, and then it is."""
    it, last = recurrence("weekly, 02:00-05:00"), MONDAY - 21.5 * HOUR
    assert not it.due(MONDAY + 2.5 * HOUR, last, 0.0)
    assert it.due(MONDAY + 3 * SECONDS + 2.5 * HOUR, last, 0.0)


def test_what_was_never_done_is_due_when_the_window_opens() -> None:
    it = recurrence("monthly, Sun 02:00-05:00")
    assert not it.due(MONDAY + 3 * HOUR, None, 0.5)
    assert it.due(MONDAY + 6 * SECONDS + 3 * HOUR, None, 0.5)


def test_a_clock_that_was_never_set_makes_nothing_due() -> None:
    """A board without one boots in 1970, and its night is no night."""
    assert not recurrence("daily").due(3 * HOUR, None, 0.0)


def test_what_was_done_in_a_future_that_did_not_come_is_forgotten() -> None:
    """The clock was ten years ahead for a while; without this nothing would be done for ten years."""
    assert recurrence("daily").due(MONDAY + 2 * HOUR, MONDAY + 3650 * SECONDS, 0.0)


@pytest.mark.parametrize(
    "text", ["", "weekly,", "yearly", "Weekly", "weekly 02:00-05:00", "weekly, soon", "daily, 05:00", 7, None]
)
def test_anything_else_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match=r"must be (daily, weekly or monthly, alone|a time such as 02:00-05:00)"):
        recurrence(text)

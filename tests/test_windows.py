"""Calendar windows: what is written means what a person would say it means, on every day of the year."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemon.config import Probe
from edgemon.limits import Total
from edgemon.schedule import phases
from edgemon.windows import SPREAD, window
from tests.simulated import DAY, EPOCH, HOUR, Device


def moment(day: str, clock: str) -> time.struct_time:
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    return time.strptime(f"2026-06-{days.index(day) + 1:02d} {clock}", "%Y-%m-%d %H:%M")  # 1 June 2026 is a Monday


CASES = [
    ("02:00-05:00", "Wed", "02:00", True),
    ("02:00-05:00", "Wed", "04:59", True),
    ("02:00-05:00", "Wed", "05:00", False),
    ("Mon-Fri 08:00-18:00", "Fri", "17:59", True),
    ("Mon-Fri 08:00-18:00", "Sat", "12:00", False),
    ("Fri-Mon 00:00-24:00", "Sun", "23:59", True),
    ("Fri-Mon 00:00-24:00", "Tue", "00:00", False),
    ("22:00-05:00", "Thu", "23:00", True),
    ("22:00-05:00", "Thu", "04:00", True),
    ("22:00-05:00", "Thu", "12:00", False),
    ("Fri 22:00-05:00", "Sat", "04:59", True),
    ("Fri 22:00-05:00", "Fri", "04:59", False),
    ("Sun 22:00-05:00", "Mon", "01:00", True),
    ("Sat,Sun", "Sun", "00:00", True),
    ("sat,SUN", "Mon", "00:00", False),
    ("Mon,Wed-Thu 10:00-11:00", "Thu", "10:30", True),
]


@pytest.mark.parametrize(("text", "day", "clock", "is_open"), CASES)
def test_a_window_is_open_when_a_person_would_say_so(text: str, day: str, clock: str, is_open: bool) -> None:
    assert window(text).open(moment(day, clock)) is is_open


BAD = ["", "02:00", "2:00-5:00", "02:00-02:00", "24:00-05:00", "02:60-03:00", "Mon-", "Mo 02:00-03:00", "Mon-Fry",
       "Mon 1 02:00-03:00", "02:00-05:00 Mon", "02:00 - 05:00", "Mon Tue", None, 5]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r"^must (be a time such as 02:00-05:00|have two different times)"):
        window(text)


@given(st.integers(0, 1439), st.integers(1, 1439))
@settings(max_examples=20, deadline=None)
def test_a_window_is_open_for_as_many_minutes_as_it_says(start: int, length: int) -> None:
    """Over a week of minutes, whether it crosses midnight or not."""
    end = start + length
    text = f"{start // 60:02d}:{start % 60:02d}-{end % 1440 // 60:02d}:{end % 60:02d}"
    one = window(f"Wed {text}")
    total = sum(
        one.open(time.struct_time((2026, 6, 1, m // 60, m % 60, 0, d, 1, 0))) for d in range(7) for m in range(1440)
    )
    assert total == length


def around(change: str, **settings: Any) -> list[time.struct_time]:
    """When a device probes in the days around one, in local time; its first day begins the day before."""
    began = time.mktime(time.strptime(change, "%Y-%m-%d")) - DAY
    device = Device({"a": Probe(timeout=1.0, **settings)}, budget=Total(time=0.0, cpu=0.0))
    device.offset = began - EPOCH
    return [time.localtime(began + at) for at in device.until(3 * DAY).times("a")]


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
def test_a_nightly_window_has_its_probe_every_night_also_when_the_clock_is_changed(change: str) -> None:
    """Though the interval is longer than the window; never a run outside of it."""
    nights = around(change, interval=6 * HOUR, only=("02:00-05:00",))
    assert all(2 <= night.tm_hour < 5 for night in nights)
    middle = time.strptime(change, "%Y-%m-%d").tm_yday
    assert {night.tm_yday for night in nights} == set(range(middle - 1, middle + 2))


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
def test_office_hours_are_kept_free_in_both_halves_of_the_year(change: str) -> None:
    moments = around(change, interval=HOUR / 2, never=("Mon-Fri 08:00-18:00",))
    assert not [one for one in moments if one.tm_wday < 5 and 8 <= one.tm_hour < 18]
    assert len({(one.tm_yday, one.tm_hour) for one in moments}) >= 3 * 24 - 10 - 2


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(("change", "times"), [("2026-03-29", 0), ("2026-10-25", 2)])
def test_an_hour_the_clock_leaves_out_is_no_window_and_one_it_repeats_is_twice(change: str, times: int) -> None:
    moments = around(change, interval=60.0, only=("02:00-03:00",))
    day = time.strptime(change, "%Y-%m-%d").tm_yday
    usual = 60 - int(phases("device", {"a": Probe()})["a"] * SPREAD)  # minutes: this device begins late by its phase
    assert len([one for one in moments if one.tm_yday == day]) == pytest.approx(times * usual, abs=2)
    assert len([one for one in moments if one.tm_yday == day + 1]) == pytest.approx(usual, abs=2)


def test_a_fleet_does_not_rush_in_when_a_window_opens() -> None:
    """Each device begins by its phase within ten minutes, or within the first half of a shorter window."""
    opened = {minute: sum(window("02:00-05:00").open(moment("Wed", f"02:{minute:02d}"), n / 1000) for n in range(1000))
              for minute in (0, 5, 9)}  # fmt: skip
    assert opened == {0: pytest.approx(100, abs=2), 5: pytest.approx(600, abs=2), 9: 1000}
    assert window("23:59-00:01").open(moment("Thu", "00:00"), 0.999)
    assert window("02:00-02:10").open(moment("Wed", "02:05"), 0.999)

"""Every captured device says what it is, whether it was really read, and where that is to be seen."""

from __future__ import annotations

import re

import pytest

from edgemon.capture import load
from tests.devices import DEVICES, HERE, sections
from tests.devices.table import EVIDENCE, README, head, page

EVERY = pytest.mark.parametrize("device", DEVICES)


def test_the_table_of_devices_is_what_the_captures_say(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--golden"):
        README.write_text(page(), "utf-8")
    assert README.read_text("utf-8") == page()


@EVERY
def test_a_capture_names_its_device_its_evidence_and_its_source(device: str) -> None:
    said = head(device)
    assert said.device
    assert said.evidence in EVIDENCE
    assert len(said.source) > 20


@EVERY
def test_what_is_made_up_is_not_called_recorded(device: str) -> None:
    """The words of the source and the word for the evidence agree."""
    said = head(device)
    made_up = re.search(r"\b(synthetic|made up|modelled on|concluded|put together here)\b", said.source, re.IGNORECASE)
    if said.source.startswith("synthetic"):
        assert said.evidence == "synthetic"
    assert not (made_up and said.evidence == "recorded"), made_up
    assert not (said.evidence == "rebuilt" and "concluded" in said.source)


@EVERY
def test_a_device_has_a_golden_file_and_something_is_read_of_it(device: str) -> None:
    assert sections(device)
    assert load(str(HERE / f"{device}.capture")).moments[0].entries


def test_no_golden_file_is_left_without_its_device() -> None:
    assert sorted(path.stem for path in HERE.glob("*.prom")) == DEVICES

"""What the daemon says of itself, also when it has nothing left to find out with."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.running import HERE

CODE = """
import json, os, resource
from edgemon import catalog, upkeep
told = list(upkeep.readings(0.0))
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    while True:
        os.dup(0)
except OSError:
    pass
print(json.dumps([{one.metric.name: one.value for one in some} for some in (told, list(upkeep.readings(0.0)))]))
"""


def test_without_a_descriptor_left_all_are_in_use_and_what_cannot_be_read_is_absent() -> None:
    """No exception, which would cost the sweep, and no memory of zero."""
    ran = subprocess.run([sys.executable, "-c", CODE], cwd=HERE, capture_output=True, text=True, check=True)
    before, after = json.loads(ran.stdout)
    assert 0 < before["edgemon.process.descriptors"] < 40
    assert before["process.memory.usage"] > 1 << 20
    assert (after["edgemon.process.descriptors"], after["process.memory.usage"]) == (40, None)
    assert after["edgemon.process.threads"] == before["edgemon.process.threads"] == 1

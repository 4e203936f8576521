"""What `edgemon config` prints: a JSON Schema that agrees with the validation, an example that is the defaults."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from edgemon.cli.config import RECEIVERS, example
from edgemon.config import Config, Probe
from edgemon.document import read
from edgemon.errors import ConfigError
from edgemon.receivers import Alertmanager, Command, Notify, Webhook
from edgemon.schema import json_schema, load, validate
from tests.config.test_config import BAD, GOOD

UNSEEN = {"calendar", "compare", "hosts", "thresholds"}
"""Bad files in which a JSON Schema can see nothing wrong."""


def accepts(data: object) -> bool:
    return jsonschema.Draft202012Validator(json_schema()).is_valid({} if data is None else data)


def accept(data: object, schema: dict[str, Any]) -> None:
    """Raise where the schema does not; it is itself looked at once, not here (0.1 s)."""
    jsonschema.Draft202012Validator(schema).validate(data)


def plain(path: Path) -> Any:
    """The values of a file as an editor's plugin reads them; nothing when it is not even YAML."""
    with contextlib.suppress(ConfigError):
        return read(str(path))
    return None


def test_the_schema_is_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_every_default_in_the_schema_is_accepted_by_the_schema() -> None:
    """An editor that inserts a default inserts a valid value: 30s, not 30.0."""
    schema = json_schema()
    for part in (schema, *schema["$defs"].values()):
        for field in part["properties"].values():
            if "default" in field:
                accept(field["default"], {**field, "$defs": schema["$defs"]})


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_schema_accepts_every_good_file(path: Path) -> None:
    accept(plain(path) or {}, json_schema())


@pytest.mark.parametrize("path", [path for path in BAD if plain(path) is not None], ids=lambda path: path.stem)
def test_the_schema_refuses_every_bad_file_in_which_it_can_see_something_wrong(path: Path) -> None:
    assert accepts(plain(path)) == (path.stem in UNSEEN)


@pytest.mark.parametrize(
    "settings", [{"interval": "8d"}, {"timeout": "2m"}, {"memory": "1KiB"}, {"interval": "10s", "timeout": "11s"}]
)
def test_bounds_of_durations_and_sizes_are_beyond_a_json_schema(settings: dict[str, str]) -> None:
    """An editor accepts them, edgemon does not; the bounds are in the schema for people to read."""
    assert accepts({"probes": {"a": settings}})
    with pytest.raises(ConfigError):
        validate({"probes": {"a": settings}})
    assert json_schema()["$defs"]["Probe"]["properties"]["interval"]["x-maximum"] == "7d"


@pytest.mark.parametrize("probe", ["/m.onnx", None, {}])
def test_the_shorthand_of_a_probe_is_in_the_schema(probe: object) -> None:
    assert accepts({"probes": {"a": probe}})


def test_the_example_as_printed_is_all_comments() -> None:
    assert yaml.safe_load(example()) is None


def uncommented() -> str:
    """The example with every setting uncommented and every explanation left a comment."""
    lines = example().splitlines()
    return "\n".join(line[1:] if re.match(r"#( *)(# |[a-z_0-9]+:)", line) else line for line in lines)


def test_the_uncommented_example_is_the_defaults(tmp_path: Path) -> None:
    """With one probe more, which shows the shorthand."""
    (tmp_path / "example.yml").write_text(uncommented())
    config = load(str(tmp_path / "example.yml"))
    assert config.probes == {"detector": Probe(model="/opt/models/detector.onnx"), "default": Probe()}
    assert (config.notify.labels, config.notify.external_url) == ({}, "")
    receivers = (config.notify.alertmanagers, config.notify.webhooks, config.notify.commands)
    assert receivers == tuple({name: one} for name, one in RECEIVERS.values())
    assert (config.listen, config.state_dir, config.log_level, config.sensors) == (
        Config().listen, Config().state_dir, Config().log_level, Config().sensors,
    )  # fmt: skip


def test_each_setting_uncommented_alone_is_its_default() -> None:
    """Every `key: value` of the example, put at its place, leaves the configuration as it is."""
    data = yaml.safe_load(uncommented())
    data["probes"].pop("detector")
    for kind in RECEIVERS:
        data["notify"].pop(kind)
    for key, value in data.items():
        assert validate({key: value}) == Config()
    for key, value in data["sensors"].items():
        assert validate({"sensors": {key: value}}) == Config()
    for key, value in data["probes"]["default"].items():
        assert validate({"probes": {"default": {key: value}}}) == Config()


def test_the_schema_and_the_example_name_every_setting() -> None:
    text, schema = uncommented(), json.dumps(json_schema())
    for kind in (Config, Probe, Notify, Alertmanager, Webhook, Command):
        for name in kind.__dataclass_fields__:
            assert f"{name}:" in text
            assert f'"{name}"' in schema

"""Reading a YAML document of which nobody knows whether it is one, or hostile: plain values, or ConfigError.

What comes out is what JSON can say, no larger than the file itself suggests.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, ClassVar

import yaml

from edgemon.errors import ConfigError

LARGEST = 1 << 20
MOST = 100_000
"""Values a file may stand for once its aliases are written out."""
DEEPEST = 64
YAML = "tag:yaml.org,2002:"
FOREIGN = {f"{YAML}{kind}" for kind in ("timestamp", "value", "binary", "set", "omap", "pairs")}
PLAIN = {f"{YAML}{kind}" for kind in ("null", "merge")}


class Loader(yaml.SafeLoader):
    """YAML 1.1 as everybody writes it, less what JSON cannot say: a date is a string. A key given twice is an error."""

    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: build for tag, build in yaml.SafeLoader.yaml_constructors.items() if tag not in FOREIGN
    }
    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        first: [one for one in found if one[0] not in FOREIGN]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.problems: list[tuple[int, str]] = []

    def get_single_data(self) -> Any:
        """The document, or ConfigError with every key given twice and every scalar that its type cannot hold."""
        node = self.get_single_node()
        if node is not None:
            weigh(node, {})
        data = None if node is None else self.construct_document(node)
        if self.problems:
            raise ConfigError([f"line {line}: {text}" for line, text in sorted(self.problems)])
        return data

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping; a key given twice becomes a problem that names both lines."""
        node = super().compose_mapping_node(anchor)
        seen: dict[str, int] = {}
        for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
            line = key.start_mark.line + 1
            if key.value in seen:
                self.problems.append((line, f"{shown(key.value)} is given twice, first on line {seen[key.value]}"))
            seen.setdefault(key.value, line)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value; a scalar that its type cannot hold becomes a problem that names its line."""
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        try:
            value = super().construct_object(node, deep)
            holds = len(str(value).encode()) < LARGEST and "\0" not in str(value)
        except (ValueError, KeyError, IndexError):  # 0b without digits, half a surrogate pair, no digit, 4300 of them
            holds = False
        if holds:
            return value
        text, kind = json.dumps(cut(node.value)), node.tag.removeprefix(YAML)
        self.problems.append((node.start_mark.line + 1, f"{text} cannot be read as {kind}"))
        return None


class Texts(Loader):
    """YAML in which every scalar is its own text, as the fields of Prometheus' files are; null is an empty one."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {  # type: ignore[misc]
        first: [one for one in found if one[0] in PLAIN] for first, found in Loader.yaml_implicit_resolvers.items()
    }


def weigh(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for with every alias written out, and how deep; ConfigError for too much."""
    if id(node) not in known:
        known[id(node)] = (MOST, 0)  # what an alias to itself would come to
        parts = [] if isinstance(node, yaml.ScalarNode) else node.value
        below = [weigh(one, known) for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = (1 + sum(one[0] for one in below), 1 + max([one[1] for one in below], default=0))
    count, depth = known[id(node)]
    line = node.start_mark.line + 1
    if count > MOST:
        raise ConfigError([f"line {line}: stands for more than {MOST} values, or for itself; use fewer aliases"])
    if depth > DEEPEST:
        raise ConfigError([f"line {line}: nested more than {DEEPEST} deep, which no configuration is"])
    return count, depth


def shown(text: str) -> str:
    """The text, cut to 60 characters; in quotes where it would not stand for itself in YAML: "2", "yes", a tab."""
    tag: str = Loader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return cut(text if text.isprintable() and tag == f"{YAML}str" else json.dumps(text))


def cut(text: str) -> str:
    """The text, or its first 57 characters and dots."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def read(path: str, loader: type[Loader] = Loader, kind: str = "") -> Any:
    """The values in a file, None when it holds none; ConfigError says what keeps it from being read.

    `kind` is what it should be, a configuration if not given.
    """
    try:
        return yaml.load(_text(path, kind), loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        hint = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise ConfigError([f"{path}: {line}not YAML: {error.problem}{hint}"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: not YAML: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None


def _text(path: str, kind: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            hint = f"{kind} is one" if kind else "--config takes the path of a YAML file"
            raise ConfigError([f"is not a file; {hint}"])
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError([f"cannot be read: {(error.strerror or '').lower()}"]) from None
    if len(raw) > LARGEST:
        raise ConfigError([f"is larger than 1 MiB, which no {kind.removeprefix('a ') or 'configuration'} is"])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"byte {error.start} is not UTF-8; save the file as UTF-8"]) from None

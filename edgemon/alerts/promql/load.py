"""From expressions to what evaluates them: parsed in a child process, whose parser the daemon need not carry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from edgemon.alerts.promql.compile import compiled
from edgemon.alerts.promql.node import Expression
from edgemon.alerts.promql.select import Source
from edgemon.errors import ExpressionError

PATIENCE = 30.0


def load(texts: Sequence[str], source: Source) -> list[Expression | ExpressionError]:
    """Each expression compiled for a source, or why it cannot be."""
    answers = apart(texts)
    return [
        ExpressionError(answer["problems"]) if "problems" in answer else compiled(text, answer["plain"], source)
        for text, answer in zip(texts, answers, strict=True)
    ]


def apart(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Of each expression `{"plain": …}` or `{"problems": […]}`; ExpressionError when the child itself fails."""
    if not texts:
        return []
    command = [sys.executable, "-m", "edgemon.alerts.promql.parse"]
    try:
        child = subprocess.run(
            command, input=json.dumps(list(texts)), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        answers: list[dict[str, Any]] = json.loads(child.stdout)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise ExpressionError([f"the child that parses expressions failed: {error}"]) from None
    except ValueError:
        reason = child.stderr.strip().rpartition("\n")[2] or f"exit status {child.returncode}"
        raise ExpressionError([f"the child that parses expressions failed: {reason}"]) from None
    return answers

"""Numbers and text as Go's fmt prints them, as far as templates of alert rules need it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

VERB = re.compile(r"%([-+# 0]*)(\d+)?(?:\.(\d*))?(.?)", re.DOTALL)
FLOATS = frozenset("eEfFgGvx")
Value = float | int | str | bool | Mapping[str, str]


def plain(value: Value) -> str:
    """A value as %v has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return shortest(value)
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{name}:{text}' for name, text in sorted(value.items()))}]"
    return str(value)


def shortest(value: float) -> str:
    """The shortest decimal that reads back as the value, with an exponent below -4 and from 6 on: Go's %v."""
    if not math.isfinite(value):
        return unbounded(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    power = len(digits) - 1 + int(exponent)
    if value and not -4 <= power < 6:
        head, tail = digits[0], "".join(map(str, digits[1:]))
        text = f"{head}{'.' if tail else ''}{tail}e{'-' if power < 0 else '+'}{abs(power):02d}"
        return f"-{text}" if sign else text
    text = format(Decimal(repr(value)).normalize(), "f")
    return "-0" if sign and not value else text


def unbounded(value: float) -> str:
    """Infinities and NaN."""
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def significant(value: float) -> str:
    """A value as %.4g has it."""
    return f"{value:.4g}" if math.isfinite(value) else unbounded(value)


def kind(value: Value) -> str:
    """The name of its type in Go."""
    return {bool: "bool", float: "float64", int: "int", str: "string"}.get(type(value), "map[string]string")


def sprintf(form: str, values: Sequence[Value]) -> str:
    """Go's Sprintf, with its words for what does not fit."""
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not verb:
            return "%!(NOVERB)"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        text = formatted(verb, value, flags, precision)
        if text is None:
            return f"%!{verb}({kind(value)}={plain(value)})"
        return padded(text, flags, int(width or 0), isinstance(value, (int, float)))

    text = VERB.sub(one, form)
    if rest:
        text += "%!(EXTRA " + ", ".join(f"{kind(value)}={plain(value)}" for value in rest) + ")"
    return text


def formatted(verb: str, value: Value, flags: str, precision: str | None) -> str | None:
    """A value by a verb, not padded; None when the verb is not for its type."""
    if isinstance(value, float) and verb in FLOATS:
        return _float(verb, value, flags, precision)
    if verb == "v":
        return signed(plain(value), value, flags)
    if isinstance(value, (bool, Mapping)):
        return plain(value) if verb == ("s" if isinstance(value, Mapping) else "t") else None
    if isinstance(value, str):
        return _string(verb, value, precision)
    return signed(format(value, verb), value, flags) if isinstance(value, int) and verb in set("dxXob") else None


def _float(verb: str, value: float, flags: str, precision: str | None) -> str:
    if not math.isfinite(value):
        return f"+{unbounded(value)}" if math.isnan(value) and "+" in flags else unbounded(value)
    if verb == "x":
        return signed(_hexadecimal(value), value, flags)
    if verb in {"g", "G", "v"} and precision is None:
        text = shortest(value)
        return signed(text.upper() if verb == "G" else text, value, flags)
    places = 6 if precision is None else int(precision or 0)
    return signed(format(value, f".{places}{verb.replace('v', 'g')}"), value, flags)


def signed(text: str, value: Value, flags: str) -> str:
    """With the sign that the flags ask for."""
    if isinstance(value, (bool, str, Mapping)) or text.startswith(("-", "+")) or text == "NaN":
        return text
    return f"+{text}" if "+" in flags else f" {text}" if " " in flags else text


def padded(text: str, flags: str, width: int, number: bool) -> str:
    """As wide as asked for at least."""
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and number and text[-1:].isalnum() and not text.endswith(("Inf", "NaN")):
        return text.zfill(width)
    return text.rjust(width)


def _string(verb: str, value: str, precision: str | None) -> str | None:
    if precision is not None:
        value = value[: int(precision or 0)]
    if verb == "s":
        return value
    if verb == "q":
        return json.dumps(value, ensure_ascii=False)
    return value.encode().hex() if verb == "x" else value.encode().hex().upper() if verb == "X" else None


def _hexadecimal(value: float) -> str:
    digits, _, exponent = value.hex().partition("p")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits if digits[-1] != 'x' else digits + '0'}p{exponent[0]}{int(exponent[1:]):02d}"

"""Numbers and untrusted strings as text that is safe and short on a terminal."""

from __future__ import annotations

import math
import unicodedata


def printable(text: object) -> str:
    """``text`` on one line without control, format and surrogate characters, so that no file can steer a terminal."""
    text = str(text)
    if text.isprintable():  # nothing of these kinds is in it, as in nearly every text
        return text
    spaced = "".join(" " if letter in "\t\n\r\v\f\u2028\u2029" else letter for letter in text)
    return "".join(letter for letter in spaced if not unicodedata.category(letter).startswith("C"))


def as_typeset(text: str) -> str:
    """``<=`` and ``>=``, which every terminal has, as a page writes them."""
    return text.replace("<=", "≤").replace(">=", "≥")


def number(value: float) -> str:
    """Four significant digits; one decimal from a thousand, a power of ten from a thousand million on."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1e9:
        return f"{value:.3e}"
    return f"{value:.1f}" if abs(value) >= 1000 else f"{value:#.4g}"


def count(value: float) -> str:
    """Three significant digits with the unit k, M, G or T: 1234567 is ``1.23M``."""
    try:
        value = float(value)
    except OverflowError:  # JSON's integers have no limit
        return "inf"
    for unit in ("", "k", "M", "G"):
        # 999.5 would be rounded up to 1000.
        if not math.isfinite(value) or abs(value) < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.4g}T"


def clock(seconds: float) -> str:
    """``2d 3:04:05`` or shorter."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"

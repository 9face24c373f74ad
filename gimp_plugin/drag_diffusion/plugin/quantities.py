"""Sizes and durations as people read them. No GIMP in here."""

from __future__ import annotations

from plugin.translation import _

UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(count: float) -> str:
    """ "740 B", "31 MB", "2.1 GB": powers of 1000, as disks are sold and downloads counted."""
    value, unit = float(count), UNITS[0]
    for unit in UNITS:
        if value < 999.5 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.1f} {unit}" if value < 9.95 and unit in UNITS[3:] else f"{value:.0f} {unit}"


def duration_text(seconds: float) -> str:
    """ "40 s", "5 min", "3 h 12 min"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("{hours} h {minutes} min").format(hours=hours, minutes=minutes)
    return (
        _("{minutes} min").format(minutes=minutes) if minutes else _("{rest} s").format(rest=rest)
    )

"""Runs inside GIMP: each script that the tests hand over, and clears away what it leaves behind."""

import gc
import os
import sys
import time
import traceback
from pathlib import Path

from gi.repository import Gimp


def serve(order, done):
    """Until GIMP ends."""
    order, done, parent = Path(order), Path(done), os.getppid()
    while os.getppid() == parent:
        if order.exists():
            script = order.read_text(encoding="utf-8")
            order.unlink()
            error = run(script)
            clear_away()
            fresh = done.with_suffix(".fresh")
            fresh.write_text(error, encoding="utf-8")
            fresh.replace(done)
        time.sleep(0.02)


def run(script):
    """What went wrong, if anything."""
    places = list(sys.path)
    Gimp.context_push()
    names = {}
    try:
        exec(compile(script, "the test's script", "exec"), names)
    except BaseException:
        return traceback.format_exc()
    finally:
        Gimp.context_pop()
        sys.path[:] = places
        names.clear()
        gc.collect()
    return ""


def clear_away():
    last = getattr(Gimp, "last_display", 0)
    for number in range(1, last + 30):
        if Gimp.Display.id_is_valid(number):
            Gimp.last_display = max(number, last)
            Gimp.Display.get_by_id(number).delete()
    for image in Gimp.get_images():
        image.delete()

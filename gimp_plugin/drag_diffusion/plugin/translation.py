"""The plug-in's words in the user's language, from the catalogues in locale/. No GIMP in here.

    from plugin.translation import _, ngettext
    _("Layer “{name}” is locked.").format(name=name)        # never an f-string: it could not be looked up
    ngettext("{count} drag", "{count} drags", count).format(count=count)

Text that is made when a module is imported is in the right language too: the entry file chooses it before it imports the rest.
"""

from __future__ import annotations

import gettext
from pathlib import Path
from typing import Iterable

DOMAIN = "drag-diffusion"
FOLDER = Path(__file__).resolve().parent.parent / "locale"  # LANGUAGE/LC_MESSAGES/drag-diffusion.mo


_catalogue = gettext.NullTranslations()  # English, as the text is written


def use(languages: Iterable[str]) -> None:
    """Speak the first of these languages (as GLib.get_language_names() has them) that there is; English where none is."""
    global _catalogue
    _catalogue = gettext.NullTranslations()
    for language in languages:
        if language == "C" or language.split("_")[0] == "en":
            return
        file = FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.mo"
        if file.is_file():
            with file.open("rb") as opened:
                _catalogue = gettext.GNUTranslations(opened)
            return


def is_english() -> bool:
    return not isinstance(_catalogue, gettext.GNUTranslations)


def _(text: str) -> str:
    """The text in the user's language."""
    return _catalogue.gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    """The form of the text that this number takes, in the user's language."""
    return _catalogue.ngettext(one, many, count)

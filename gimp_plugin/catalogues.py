"""Brings the translations up to date with the plug-in's text: drag-diffusion.pot, and the .po of every language.

python gimp_plugin/catalogues.py            after text was changed
python gimp_plugin/catalogues.py fr         begins another language

What is new has an empty msgstr then: fill it in, in each language.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "drag_diffusion"
TEMPLATE = HERE / "drag-diffusion.pot"
METHODS = [("drag_diffusion.py", "python"), ("plugin/**.py", "python")]
UNWANTED = tuple(
    f'"{name}'
    for name in ("POT-", "PO-", "Generated-", "Report-", "Last-", "Language-Team", "Project-Id")
)
HEADER = "# DragDiffusion for GIMP: what it says. GPL-3.0-or-later"


def catalogue_files() -> list[Path]:
    return sorted(PLUGIN.glob("locale/*/LC_MESSAGES/drag-diffusion.po"))


def language_of(file: Path) -> str:
    return file.parents[1].name


def extract() -> Catalog:
    """Every text in the plug-in that goes through _ or ngettext."""
    found = Catalog(header_comment=HEADER, fuzzy=False)
    for file, _line, message, comments, context in extract_from_dir(
        PLUGIN, METHODS, comment_tags=["Translators:"], strip_comment_tags=False
    ):
        found.add(message, locations=[(file, 0)], auto_comments=comments, context=context)
    return found


def read(file: Path) -> Catalog:
    with file.open("rb") as opened:
        return read_po(opened, locale=language_of(file) if file.suffix == ".po" else None)


def write(file: Path, catalogue: Catalog) -> None:
    """Without dates and line numbers, which change when the text does not."""
    written = io.BytesIO()
    write_po(written, catalogue, width=110, include_lineno=False, ignore_obsolete=True)
    lines = written.getvalue().decode("utf-8").split("\n")
    kept = [line for line in lines if not line.startswith(UNWANTED)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(kept).rstrip("\n") + "\n", encoding="utf-8")


def update(languages: list[str]) -> None:
    """Write the template, and take what is new into each language."""
    template = extract()
    write(TEMPLATE, template)
    new = [PLUGIN / "locale" / name / "LC_MESSAGES" / "drag-diffusion.po" for name in languages]
    for file in catalogue_files() + new:
        known = read(file) if file.exists() else Catalog(locale=language_of(file), fuzzy=False)
        known.header_comment = HEADER
        known.update(template, no_fuzzy_matching=True, update_header_comment=False)
        write(file, known)


if __name__ == "__main__":
    update(sys.argv[1:])

"""Makes the help that GIMP opens (F1, the windows' Help button) from the user guide, so that it needs no network.

GIMP's help system reads `gimp-help.xml` of the folder "en" (and of the user's language, if there is one): it maps the help
identities of the menu entries, and of our windows, to places in the pages.
"""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {"user-guide": "index.html", "cli": "cli.html", "scripting": "scripting.html"}
INDEX = """<?xml version="1.0" encoding="UTF-8"?>
<gimp-help>
  <help-item id="plug-in-drag-diffusion" ref="index.html"/>
  <help-item id="plug-in-drag-diffusion-re-edit" ref="index.html#changing-a-drag-later"/>
  <help-item id="plug-in-drag-diffusion-generate" ref="index.html#making-a-picture-to-drag-in"/>
  <help-item id="plug-in-drag-diffusion-daemon" ref="index.html#about-the-daemon"/>
  <help-item id="plug-in-drag-diffusion-models" ref="index.html#models"/>
  <help-missing ref="index.html"/>
</gimp-help>
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif }}
img {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse }}
td, th {{ border: 1px solid #8888; padding: .3rem .6rem; text-align: left; vertical-align: top }}
pre {{ overflow-x: auto }}
</style>
{body}
</html>
"""


def write_help(folder: Path) -> None:
    """The pages, their pictures, and what GIMP needs to find them, in `folder`/en."""
    language = folder / "en"
    language.mkdir(parents=True)
    (language / "gimp-help.xml").write_text(INDEX, encoding="utf-8")
    for name, page in PAGES.items():
        text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        (language / page).write_text(_to_html(text, language), encoding="utf-8")


def _to_html(text: str, folder: Path) -> str:
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(text)
    title = ""
    for token, inner in pairwise(tokens):
        if token.type == "heading_open":
            title = title or inner.content
            token.attrSet("id", _anchor(inner.content))
        if token.type == "inline":
            token.children = _with_targets(token.children or [], folder)
    body = markdown.renderer.render(tokens, markdown.options, {})
    return PAGE.format(title=title, body=body)


def _anchor(heading: str) -> str:
    """As GitHub names the place of a heading, so that links work in both."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _with_targets(tokens: list[Token], folder: Path) -> list[Token]:
    """Links lead to pages and files that are installed too; other ones of the checkout are text only."""
    kept = []
    is_dropped = False
    for token in tokens:
        if token.type == "image":
            _take_along(str(token.attrs["src"]), folder)
        if token.type == "link_open":
            target = _target(str(token.attrs["href"]), folder)
            is_dropped = target is None
            token.attrs["href"] = target or ""
        if not (is_dropped and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept


def _target(link: str, folder: Path) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or not parts.path:
        return link
    source = Path(parts.path)
    if source.suffix == ".md":
        page = PAGES.get(parts.path.removesuffix(".md"))
        return page and page + (f"#{parts.fragment}" if parts.fragment else "")
    if source.is_absolute() or ".." in source.parts:
        return None
    _take_along(parts.path, folder)
    return link


def _take_along(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(DOCS / name, folder / name)

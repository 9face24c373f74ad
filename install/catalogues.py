"""Compiles the plug-in's translations, so that no compiled file is kept in the repository. Standard library only.

python install/catalogues.py gimp_plugin/drag_diffusion/locale
"""

from __future__ import annotations

import ast
import re
import struct
import sys
from pathlib import Path

MAGIC = 0x950412DE
FIELD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?)? *(".*")')


def compile_all(folder: Path) -> list[Path]:
    """Writes the .mo beside each .po below `folder`; those that were written."""
    written = []
    for source in sorted(folder.rglob("*.po")):
        compiled = source.with_suffix(".mo")
        compiled.write_bytes(to_mo(read_po(source.read_text(encoding="utf-8"))))
        written.append(compiled)
    return written


def read_po(text: str) -> dict[str, str]:
    """Each translated message: its key as a .mo has it (forms of a plural are joined by NUL), and its translation."""
    messages: dict[str, str] = {}
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.split("\n")
        if "fuzzy" in "".join(line for line in lines if line.startswith("#,")):
            continue  # nobody has looked at it yet
        fields: dict[str, str] = {}
        name = ""
        for line in lines:
            match = None if line.startswith("#") else FIELD.fullmatch(line.strip())
            if match:
                name = match[1] or name
                fields[name] = fields.get(name, "") + ast.literal_eval(match[2])
        forms = [value for name, value in fields.items() if name.startswith("msgstr")]
        if forms and all(forms):
            messages[_key(fields)] = "\0".join(forms)
    return messages


def _key(fields: dict[str, str]) -> str:
    context = f"{fields['msgctxt']}\4" if "msgctxt" in fields else ""
    plural = f"\0{fields['msgid_plural']}" if "msgid_plural" in fields else ""
    return context + fields["msgid"] + plural


def to_mo(messages: dict[str, str]) -> bytes:
    """The messages in GNU gettext's binary format."""
    pairs = sorted((key.encode(), value.encode()) for key, value in messages.items())
    start = 28 + 16 * len(pairs)  # of the strings: after the header and a row for each of them
    rows: list[bytes] = []
    strings = b""
    for part in (0, 1):
        for pair in pairs:
            rows.append(struct.pack("<II", len(pair[part]), start + len(strings)))
            strings += pair[part] + b"\0"
    header = struct.pack("<7I", MAGIC, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    return header + b"".join(rows) + strings


if __name__ == "__main__":
    for path in compile_all(Path(sys.argv[1])):
        print(path)

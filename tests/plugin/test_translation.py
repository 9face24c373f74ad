"""Two languages are complete, and say what the program means: same placeholders, one access key where there is one."""

from __future__ import annotations

import ast
import asyncio
import gettext
import importlib.util
import string
from pathlib import Path
from types import ModuleType

import pytest

from plugin import client, translation
from plugin.edit_model import Drag, Edit, LayerState, PixelBuffer, Settings

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "gimp_plugin" / "drag_diffusion"
COMPLETE = ("de", "zh_CN")
ENGLISH = ""
UPDATE = "run: python gimp_plugin/catalogues.py"


def load(file: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"{file.parent.name}_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


catalogues = load(ROOT / "gimp_plugin" / "catalogues.py")
compiler = load(ROOT / "install" / "catalogues.py")


def texts(catalogue) -> set:
    return {message.id for message in catalogue if message.id}


def po_file(language: str) -> Path:
    return PLUGIN / "locale" / language / "LC_MESSAGES" / "drag-diffusion.po"


def translated(language: str) -> list[tuple[str, str]]:
    """Each text with its translation, each form of a plural for itself; of plurals, the form for many."""
    pairs = []
    for message in catalogues.read(po_file(language)):
        if message.id:
            said = message.string if isinstance(message.string, tuple) else (message.string,)
            meant = message.id[-1] if isinstance(message.id, tuple) else message.id
            pairs += [(meant, form) for form in said]
    return pairs


def placeholders(text: str) -> set[str]:
    """The fields with their format: {seconds:.0f}."""
    found = string.Formatter().parse(text)
    return {f"{name}!{conversion}:{spec}" for _, name, spec, conversion in found if name}


def test_the_template_has_every_text_of_the_plug_in():
    known, wanted = texts(catalogues.read(catalogues.TEMPLATE)), texts(catalogues.extract())
    assert known == wanted, f"{UPDATE}; new: {wanted - known}; gone: {known - wanted}"


@pytest.mark.parametrize("language", COMPLETE)
def test_the_language_is_complete(language):
    file = po_file(language)
    catalogue = catalogues.read(file)
    there, wanted = texts(catalogue), texts(catalogues.extract())
    assert there == wanted, f"{UPDATE}; new: {wanted - there}; gone: {there - wanted}"
    open_ones = [
        message.id
        for message in catalogue
        if message.id and (message.fuzzy or not message.string or not all(message.string))
    ]
    assert not open_ones, f"in {file}, fill in the msgstr of (and take “fuzzy” from): {open_ones}"
    count = catalogue.num_plurals
    short = [m.id for m in catalogue if m.pluralizable and len(m.string) != count]
    assert not short, f"in {file}, these need {count} forms, msgstr[0] and so on: {short}"


@pytest.mark.parametrize("language", COMPLETE)
def test_placeholders_and_access_keys_agree(language):
    wrong = [
        (text, said)
        for text, said in translated(language)
        if said and (placeholders(text) != placeholders(said) or text.count("_") != said.count("_"))
    ]
    assert not wrong, f"in {po_file(language)}, the same {{…}} and _ must be in both: {wrong}"


def test_what_the_installer_compiles_is_what_the_catalogues_say(tmp_path):
    for language in COMPLETE:
        text = po_file(language).read_text(encoding="utf-8")
        compiled = tmp_path / f"{language}.mo"
        compiled.write_bytes(compiler.to_mo(compiler.read_po(text)))
        with compiled.open("rb") as file:
            words = gettext.GNUTranslations(file)
        for message in catalogues.read(po_file(language)):
            if not message.id:
                continue
            if message.pluralizable:
                forms = {words.ngettext(*message.id, count) for count in range(200)}
                assert forms == set(message.string)
            elif message.string:
                assert words.gettext(message.id) == message.string


def test_what_nobody_has_looked_at_is_left_out():
    text = '#, fuzzy\nmsgid "a"\nmsgstr "b"\n\nmsgid "c"\nmsgstr ""\n\nmsgid "d"\nmsgstr ""\n"e"\n'
    assert compiler.read_po(text) == {"d": "e"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The catalogues, compiled; English again afterwards."""
    for language in COMPLETE:
        folder = tmp_path / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "drag-diffusion.po").write_bytes(po_file(language).read_bytes())
    compiler.compile_all(tmp_path)
    monkeypatch.setattr(translation, "FOLDER", tmp_path)
    yield
    translation.use([])


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        (["de_AT.UTF-8", "de_AT", "de", "C"], "de"),
        (["zh_CN.UTF-8", "zh_CN", "zh", "C"], "zh_CN"),
        (["fr", "de", "C"], "de"),
        (["en_US", "en", "de", "C"], ENGLISH),
        (["zh_TW", "zh", "C"], ENGLISH),
        (["C"], ENGLISH),
        ([], ENGLISH),
    ],
)
def test_the_first_language_that_is_there_is_spoken(installed, languages, expected):
    del installed
    translation.use(languages)
    one = "{count} drag; only the selection may change."
    many = "{count} drags; only the selection may change."
    said = {translation.ngettext(one, many, count) for count in (1, 2)}
    if expected == ENGLISH:
        assert said == {one, many}
    else:
        assert said == {form for text, form in translated(expected) if text == many}


def test_what_the_daemon_says_in_english_comes_after_a_sentence_in_the_language(
    installed, fake_daemon
):
    del installed
    endpoint = client.Endpoint(fake_daemon.endpoint["address"], fake_daemon.endpoint["token"])

    def said(code: str) -> str:
        state = LayerState("Photo", "layer", 2, 2)
        drags = (Drag("Arrow 1", ((0, 0), (1, 1))),)
        settings = Settings(prompt=f"fail {code} Select less.")
        edit = Edit(state, PixelBuffer(2, 2, 4, bytes(16)), None, drags, settings)

        async def drag() -> None:
            async for _event in client.drag(endpoint, edit):
                pass

        with pytest.raises(client.DaemonError) as caught:
            asyncio.run(drag())
        return str(caught.value)

    translation.use(["de"])
    short = "Der Speicher reicht nicht, oder zu viele Bearbeitungen warten."
    assert said("RESOURCE_EXHAUSTED") == f"{short} (Select less.)"
    assert said("NOT_FOUND@model") == "Dieses Modell gibt es nicht. (Select less.)"
    for field in ("image", "mask"):
        gone = "Der Dienst hat das Bild nicht mehr: Versuchen Sie es noch einmal."
        assert said(f"NOT_FOUND@{field}") == f"{gone} (Select less.)"
    assert said("DATA_LOSS") == "Select less."
    translation.use(["zh_CN"])
    assert said("RESOURCE_EXHAUSTED") == "内存不足，或等待的编辑过多。（Select less.）"
    translation.use([])
    assert said("RESOURCE_EXHAUSTED") == "Select less."


@pytest.mark.parametrize("file", sorted(PLUGIN.glob("plugin/*.py")), ids=lambda file: file.name)
def test_nobody_hides_the_function_that_translates(file):
    """A local variable named _ would: Python would call that."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "plugin.translation"
        for name in node.names
    }
    if "_" in imported:
        bound = [
            node.lineno
            for node in ast.walk(tree)
            if (isinstance(node, ast.Name) and node.id == "_" and isinstance(node.ctx, ast.Store))
            or (isinstance(node, ast.arg) and node.arg == "_")
        ]
        assert not bound, f"{file}, lines {bound}: give the variable another name than _"
        formatted = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("_", "ngettext")
            and any(isinstance(part, ast.JoinedStr) for part in node.args)
        ]
        assert not formatted, f"{file}, lines {formatted}: no f-string in _(); use .format(name=…)"

"""How a picture was generated, kept in its file: a GenerateRequest as JSON in a text of the PNG."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import json_format
from PIL import Image, PngImagePlugin

from dragdiffusion_rpc import drag_pb2 as rpc

_KEYWORD = "dragdiffusion"


def png_text(made: rpc.GenerateRequest) -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text(_KEYWORD, json_format.MessageToJson(made, indent=None))
    return text


def read_generation(path: Path) -> rpc.GenerateRequest | None:
    """How the picture in the file was generated, where it says so."""
    with Image.open(path) as picture:
        text = picture.info.get(_KEYWORD)
    try:
        return json_format.Parse(text, rpc.GenerateRequest()) if isinstance(text, str) else None
    except json_format.ParseError:
        return None

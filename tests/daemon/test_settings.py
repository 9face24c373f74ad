"""Defaults < settings file < environment < flags; what cannot be used is refused in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from pydantic import ValidationError

from dragdiffusion import cli
from dragdiffusion.commands.errors import BadInput
from dragdiffusion.commands.serve import read_settings
from dragdiffusion.settings import Settings
from fakes.running import daemon_environment

PROGRAM = "from dragdiffusion.settings import Settings; s = Settings(**{flags}); print(s.dtype, s.session_bytes)"


@pytest.mark.skipif(sys.platform != "linux", reason="where the file lies differs")
@pytest.mark.parametrize(
    ("variables", "flags", "expected"),
    [
        ({}, {}, "bfloat16 77"),
        ({"session_bytes": 88}, {}, "bfloat16 88"),
        ({"session_bytes": 88}, {"dtype": "float16"}, "float16 88"),
    ],
)
def test_the_order(
    variables: dict[str, int], flags: dict[str, str], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "config" / "dragdiffusion" / "settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text('dtype = "bfloat16"\nsession_bytes = 77\n')
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(flags=flags)],
        env=daemon_environment(tmp_path, **variables),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == expected


def test_the_help_of_serve_names_every_number_format() -> None:
    option = get_type_hints(cli.serve, include_extras=True)["dtype"].__metadata__[0]
    formats = get_args(Settings.model_fields["dtype"].annotation)
    assert option.help == f"{', '.join(formats)}."


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().dtype = "float16"  # type: ignore[misc]


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(BadInput, match="dtype"):
        read_settings({"dtype": "float8"})

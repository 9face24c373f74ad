"""What the user may set. Read once, then frozen: defaults < settings file < environment < flags.

The file is `settings.toml` in the user's configuration folder (Linux: ~/.config/dragdiffusion); an environment variable
is the field's name with the prefix DRAGDIFFUSION_, for instance DRAGDIFFUSION_DTYPE=bfloat16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def default_store_folder() -> Path:
    """In the user's cache folder (Linux: ~/.cache/dragdiffusion)."""
    return platformdirs.user_cache_path("dragdiffusion", appauthor=False) / "prepared"


class Settings(BaseSettings):
    """The daemon's settings."""

    model_config = SettingsConfigDict(
        env_prefix="DRAGDIFFUSION_",
        toml_file=platformdirs.user_config_path("dragdiffusion", appauthor=False) / "settings.toml",
        frozen=True,
        extra="ignore",
    )

    device: str = "auto"  # "auto", or torch's name: "cuda", "cuda:1", "xpu", "mps", "cpu"
    dtype: Literal["auto", "speed", "float32", "float16", "bfloat16"] = "auto"  # models/load.py
    cuda_graphs: bool = True  # of the UNet's passes, on a card with memory to spare
    compile: bool = False  # the model's blocks, by torch.compile: see `bench speed --compile`
    memory: Literal["auto", "low", "high"] = "auto"  # low: always as little as can be; high: all
    default_model: str = ""  # "": sd15 where its files are here, else embedded
    socket: Path | None = None  # unix socket; None: a free port of 127.0.0.1
    idle_exit_minutes: float = Field(default=30.0, ge=0)  # without any call; 0: never
    release_minutes: float = Field(default=10.0, ge=0)  # without an edit: frees the model; 0: never
    max_image_bytes: int = Field(default=512 * MIB, ge=KIB)  # of one uploaded buffer
    buffer_bytes: int = Field(default=GIB, ge=KIB)  # uploaded pixels kept in memory
    session_bytes: int = Field(default=4 * GIB, ge=0)  # prepared images kept in memory
    store_bytes: int = Field(default=4 * GIB, ge=0)  # prepared images kept on disk; 0: none
    store_folder: Path = Field(default_factory=default_store_folder)
    max_waiting_edits: int = Field(default=16, ge=1)
    log_bytes: int = Field(default=2 * MIB, ge=KIB)  # of one log file
    log_files: int = Field(default=3, ge=1)  # old ones that are kept

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

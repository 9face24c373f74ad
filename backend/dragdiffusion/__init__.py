"""Drag editing with diffusion models: the engine, its daemon and the command line."""

__version__ = "0.1.0"

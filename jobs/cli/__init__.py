"""The command `citylake`. Commands import what they need when they run, so that `--help` costs nothing."""

from jobs.cli.command import app, call, main

__all__ = ["app", "call", "main"]

"""How Citylake logs: one plain line an event to standard error, tracebacks without the values of variables."""

import logging
import os
import sys

import structlog


def configure() -> None:
    """Set structlog up, unless Airflow's worker has. `CITYLAKE_LOG_LEVEL` (default WARNING) says what is worth a line."""
    if structlog.is_configured():
        return
    level = logging.getLevelNamesMapping().get(os.environ.get("CITYLAKE_LOG_LEVEL", "WARNING").upper(), logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # the one of the moment: it may be replaced
        cache_logger_on_first_use=False,
    )

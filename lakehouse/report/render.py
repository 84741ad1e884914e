"""Turns page records into HTML and JSON. Pages carry their own style and script; their policy allows nothing else."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lakehouse.report.records import ChecksPage, CityPage, DepartmentPage, published
from lakehouse.settings import ZONE

_FOLDER = Path(__file__).parent
NO_SCORE = "—"


def city_html(page: CityPage) -> str:
    """The city page as one self-contained HTML document."""
    return _templates().get_template("city.html.j2").render(page=page)


def department_html(page: DepartmentPage) -> str:
    """A department's page as one self-contained HTML document."""
    return _templates().get_template("department.html.j2").render(page=page)


def checks_html(page: ChecksPage) -> str:
    """The page of every check of a department as one self-contained HTML document."""
    return _templates().get_template("checks.html.j2").render(page=page)


def map_html(box: list[int], background: Mapping[str, Any], drawn: Sequence[Any], key: Any, says: str) -> str:
    """A map (`lakehouse.report.map`) as one self-contained HTML document: its view box in metres, what lies behind, what is
    drawn, the legend, and what that is in words."""
    template = _templates().get_template("map.html.j2")
    return template.render(box=box, background=background, drawn=drawn, key=key, says=says)


def page_json(page: CityPage | DepartmentPage) -> str:
    """The record of a page as JSON: dates and instants in ISO 8601, scores 0 to 100, null for no score."""
    return json.dumps(asdict(page), ensure_ascii=False, indent=1, default=_iso) + "\n"


def _iso(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(**_own("page"), **{f"map_{name}": of for name, of in _own("map").items()})
    environment.filters.update(points=_points, gain=_gain, percent=_percent, count=_count, clock=_clock, day=_day)
    return environment


def _own(name: str) -> dict[str, str]:
    """Style and script of a kind of page, and the policy that allows nothing else. Our own files, not anyone's values: the
    only markup that isn't escaped."""
    style, script = ((_FOLDER / f"{name}.{kind}").read_text("utf-8") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _points(score: float | None, digits: int = 1) -> str:
    return NO_SCORE if score is None else f"{published(score, digits):.{digits}f}"


def _gain(points: float) -> str:
    return "< 0.1" if points < 0.05 else f"+{points:.1f}"


def _percent(share: float) -> str:
    """A share as whole percent; a little short of all is never shown as all, a little as nothing."""
    percent = round(100 * share)
    if percent == 100 and share < 1:
        return "> 99 %"
    return "< 1 %" if percent == 0 and share > 0 else f"{percent} %"


def _count(number: int) -> str:
    return f"{number:,}"


def _clock(instant: datetime) -> str:
    return f"{instant.astimezone(ZONE):%m-%d %H:%M}"


def _day(value: date) -> str:
    return f"{value:%m-%d}"

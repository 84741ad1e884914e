"""A dataset made again from bronze: after a breaking change of its contract, and in the face of readers of old releases."""

from datetime import timedelta

import pytest

from jobs.cli import call
from jobs.department import DatasetsFailed
from tests.jobs.small_city import DAY, City

NEXT = DAY + timedelta(days=1)


def test_a_column_of_another_type_is_refused_until_the_dataset_is_rebuilt(city: City) -> None:
    city.declare("things", {"id": {"type": "string"}, "size": {"type": "string"}}, key=["id"])
    city.deliver("things", "id,size\na,1\nb,many\n")
    city.night()
    before = city.table("silver", "things").version()
    city.declare("things", {"id": {"type": "string"}, "size": {"type": "integer", "level": "error"}}, key=["id"])
    city.deliver("things", "id,size\nc,3\n", day=NEXT)
    with pytest.raises(
        DatasetsFailed, match=r"other types than the table has \(size\); run `citylake rebuild town.things`"
    ):
        city.night(NEXT)
    assert call(["rebuild", "town.things"]) == 0
    assert city.silver("things", "id", "size", day=None) == [("a", 1), ("c", 3)]
    assert city.quarantine("things", "id", "size", day=None) == [("b", "many")]
    assert city.table("silver", "things").read(version=before).column("size").to_pylist() == ["1", "many"]


def test_a_dataset_changes_from_appends_to_upserts(city: City) -> None:
    columns = {"id": {"type": "string"}, "at": {"type": "date"}}
    city.declare("things", columns, key=["id"])
    city.deliver("things", "id,at\na,2026-03-01\n")
    city.night()
    city.deliver("things", "id,at\na,2026-03-02\n", day=NEXT)
    city.night(NEXT)
    assert len(city.silver("things", "id", day=None)) == 2
    city.declare("things", columns, key=["id"], load="upsert", order="at")
    assert call(["rebuild", "town.things"]) == 0
    assert [str(at) for at in city.silver("things", "at", day=None)] == ["2026-03-02"]
    assert call(["rebuild", "town.things"]) == 0
    assert len(city.silver("things", "id", day=None)) == 1


def test_what_cannot_be_rebuilt_is_said(city: City, capsys: pytest.CaptureFixture[str]) -> None:
    city.declare("things", {"id": {"type": "string"}}, engine="embedded")
    city.point()
    assert call(["rebuild", "town.things"]) == 3
    assert "nothing has been loaded yet" in capsys.readouterr().err
    assert call(["rebuild", "town.thing"]) == 2
    assert call(["rebuild", "town.things", "--engine", "spark"]) == 2
    assert "the contract says 'engine: embedded'" in capsys.readouterr().err

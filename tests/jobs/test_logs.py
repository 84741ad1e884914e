"""What is said while a night runs: for programs and people, with the ids of the run, without the words of strangers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from jobs.department import DatasetsFailed
from jobs.run import StepBroke
from lakehouse import logs
from tests.jobs.small_city import DAY, TOWN, City

COLUMNS = {"id": {"type": "string"}}
PLATE = "苏" + "F12345"


@pytest.fixture(autouse=True)
def without_airflow() -> Iterator[None]:
    """Airflow, where an earlier test has loaded it in this process, has set structlog up in its own way."""
    earlier = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**earlier)


def told(city: City, event: str) -> list[dict[str, Any]]:
    return [said for said in logs.read(city.home, DAY) if said["event"] == event]


def test_every_line_carries_the_ids_of_its_run_in_threads_too(city: City, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        city.declare(name, COLUMNS)
        city.deliver(name, "id\na\n")
    with logs.bound(night="tonight"):
        city.night()
    runs = {(run["step"], run["dataset"]): run for run in city.book("runs")}
    done = told(city, "dataset done")
    assert {(d["step"], d["dataset"]) for d in done} == {
        (s, f"town.{n}") for s in ("bring", "clean") for n in ("one", "two")
    }
    for said in done:
        assert said["run_id"] == runs[said["step"], said["dataset"].rpartition(".")[2]]["run_id"]
        assert (said["night"], said["day"], said["department"], said["level"]) == ("tonight", str(DAY), TOWN, "info")
        assert said["status"] == "succeeded" and said["seconds"] >= 0
    assert capfd.readouterr().err == ""  # people are told what goes wrong


def test_lines_say_which_task_of_airflow_they_belong_to(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "scheduled__2026-03-02")
    monkeypatch.setenv("AIRFLOW_CTX_TRY_NUMBER", "2")
    city.declare("one", COLUMNS)
    city.night()
    (said, _) = told(city, "dataset done")
    assert (said["night"], said["attempt"]) == ("scheduled__2026-03-02", "2")


def test_what_airflow_says_around_a_run_stays_airflows(city: City) -> None:
    logs.configure(city.home)
    with logs.bound(run_id="scheduled__2026-03-02", task_id="relate"):
        structlog.get_logger().info("said by Airflow")
    assert list(logs.read(city.home)) == []


def test_the_words_of_strange_errors_are_told_nowhere(
    city: City, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        try:
            int(PLATE)
        except ValueError as error:
            raise LookupError(PLATE) from error

    city.declare("one", COLUMNS)
    city.deliver("one", "id\na\n")
    monkeypatch.setattr("jobs.pull.load", broken)
    with pytest.raises(DatasetsFailed) as failed:
        city.step("bring", DAY, TOWN)
    monkeypatch.setattr("jobs.release.release", broken)
    with pytest.raises(StepBroke) as broke:
        city.step("release")
    (dataset,), (step,) = told(city, "dataset failed"), told(city, "step broke")
    for said in (dataset, step):
        assert "int(" in said["exception"] and said["exception"].endswith("LookupError")
        assert "ValueError\nthen" in said["exception"] and said["run_id"]
    assert broke.value.transient and broke.value.__suppress_context__
    shown = capfd.readouterr().err
    assert "LookupError" in shown and dataset["run_id"] in shown
    everything = shown + str(failed.value) + str(broke.value) + str(city.book("runs"))
    everything += "".join(path.read_text() for path in (city.home / "logs").iterdir())
    assert PLATE not in everything


def test_files_and_our_own_errors_are_named() -> None:
    assert logs.traced(FileNotFoundError(2, "No such file", "x.csv")).endswith("x.csv'")
    assert logs.traced(StepBroke("why", where="release")) == "StepBroke: release: why"


def test_a_full_disk_stops_no_night_and_a_cut_line_no_reader(city: City) -> None:
    city.declare("one", COLUMNS)
    (city.home / "logs").parent.mkdir(parents=True, exist_ok=True)
    (city.home / "logs").write_text("in the way")
    with pytest.raises(Exception, match="logs"):
        city.night()
    (city.home / "logs").unlink()
    city.night()
    (path,) = (city.home / "logs").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-9] + b"\n" + json.dumps({"event": "last"}).encode())
    assert [said["event"] for said in logs.read(city.home, DAY)] == ["dataset done", "last"]

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException

from lakehouse.engine import server
from lakehouse.engine import spark as engine
from lakehouse.engine.spark import each, read, replace_slice, session
from lakehouse.errors import CitylakeError, LakeError, WrongEngine
from lakehouse.logs import bound
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table

DAY, NEXT = date(2024, 5, 1), date(2024, 5, 2)
SCHEMA = "id long, _day date"


def settings(home: Path) -> Settings:
    return Settings(home=home, catalog=home, inbox=home)


def square(item: int) -> int:
    return item * item


def refuse(item: int) -> int:
    raise WrongEngine("refused", where=f"item {item}", hint="leave it")


def rows(table: Table, version: int | None = None) -> list[tuple[int, date]]:
    found = table.read(version=version).to_pylist()
    return sorted((row["id"], row["_day"]) for row in found)


def test_a_slice_is_replaced_and_the_other_days_stay(spark, tmp_path):
    table = Table(tmp_path / "gold" / "things")
    replace_slice(spark.createDataFrame([(1, DAY), (2, DAY)], SCHEMA), table, DAY, Commit("first"))
    replace_slice(spark.createDataFrame([(3, NEXT)], SCHEMA), table, NEXT, Commit("second"))
    version = replace_slice(spark.createDataFrame([(4, DAY)], SCHEMA), table, DAY, Commit("third", (("rows", "1"),)))
    assert rows(table) == [(3, NEXT), (4, DAY)]
    assert rows(table, version - 1) == [(1, DAY), (2, DAY), (3, NEXT)]
    assert read(spark, table, version - 1).count() == 3
    assert version == table.version()
    assert json.loads(table.history()[0]["userMetadata"]) == {"run_id": "third", "rows": "1"}


def test_what_a_killed_client_had_begun_may_end_first(spark, tmp_path, monkeypatch):
    table, save = Table(tmp_path / "gold" / "things"), engine._save_slice
    replace_slice(spark.createDataFrame([(1, DAY)], SCHEMA), table, DAY, Commit("first"))

    def overtaken(frame, *where):
        monkeypatch.setattr(engine, "_save_slice", save)
        save(spark.createDataFrame([(2, DAY)], SCHEMA), table, DAY, Commit("of a killed client"))
        raise PySparkException("[DELTA_CONCURRENT_TRANSACTION] ConcurrentTransactionException: ...")

    monkeypatch.setattr(engine, "_save_slice", overtaken)
    assert replace_slice(spark.createDataFrame([(3, DAY)], SCHEMA), table, DAY, Commit("next")) == table.version()
    assert rows(table) == [(3, DAY)]


def test_an_empty_frame_empties_the_slice(spark, tmp_path):
    table = Table(tmp_path / "gold" / "things")
    replace_slice(spark.createDataFrame([(1, DAY)], SCHEMA), table, DAY, Commit("first"))
    replace_slice(spark.createDataFrame([], SCHEMA), table, DAY, Commit("second"))
    assert rows(table) == [] and table.days() == set()


def test_the_table_is_sparks_and_only_plain_delta(spark, tmp_path):
    table = Table(tmp_path / "gold" / "things")
    replace_slice(spark.createDataFrame([(1, DAY)], SCHEMA), table, DAY, Commit("first"))
    assert table.engine() == "spark"
    empty = pa.schema([("id", pa.int64()), ("_day", pa.date32())])
    with pytest.raises(WrongEngine):
        table.replace_slice(DAY, empty, [], Commit("embedded"))
    protocol = table.open().protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert table.open().metadata().configuration["delta.deletedFileRetentionDuration"] == "interval 35 days"


def test_an_embedded_table_is_refused(spark, tmp_path):
    table = Table(tmp_path / "silver" / "things")
    day = pa.array([DAY], pa.date32())
    table.append_once(
        pa.schema([("id", pa.int64()), ("_day", pa.date32())]),
        [pa.record_batch({"id": pa.array([1]), "_day": day})],
        Commit("embedded"),
    )
    with pytest.raises(WrongEngine):
        replace_slice(spark.createDataFrame([(1, DAY)], SCHEMA), table, DAY, Commit("late"))
    assert read(spark, table, 0).collect()[0]["id"] == 1


def test_a_write_that_comes_late_is_refused(spark, tmp_path, monkeypatch):
    table = Table(tmp_path / "gold" / "things")
    replace_slice(spark.createDataFrame([(1, DAY)], SCHEMA), table, DAY, Commit("first"))
    before = table.open()
    replace_slice(spark.createDataFrame([(2, DAY)], SCHEMA), table, DAY, Commit("second"))
    with monkeypatch.context() as patch:
        patch.setattr(table, "open", lambda version=None: before)  # what a run sees that was held up since then
        patch.setattr(table, "history", lambda: Table(table.path).history())
        with pytest.raises(LakeError, match="another run"):
            replace_slice(spark.createDataFrame([(1, DAY)], SCHEMA), table, DAY, Commit("late"))
    assert rows(table) == [(2, DAY)]


def test_sql_knows_sedona_and_times_are_utc(spark):
    found = spark.sql(
        "SELECT ST_Intersects(ST_GeomFromText('POLYGON ((0 0, 1 0, 1 1, 0 0))'), ST_Point(0.5, 0.5)) AS on_border, "
        "CAST(TIMESTAMP'2024-05-01 08:00:00+08:00' AS STRING) AS instant"
    ).collect()[0]
    assert found["on_border"] and found["instant"] == "2024-05-01 00:00:00"


def test_a_session_inside_another_is_that_one(spark, tmp_path):
    with session(settings(tmp_path)) as inner:
        assert inner is spark
    assert spark.range(3).count() == 3


def test_threads_have_sessions_of_their_own_with_the_same_engine(spark, tmp_path):
    def named(name: str) -> tuple[str, int]:
        with session(settings(tmp_path)) as own:
            own.conf.set("spark.databricks.delta.commitInfo.userMetadata", name)
            return own.conf.get("spark.databricks.delta.commitInfo.userMetadata"), own.range(3).count()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(named, "ab")) == [("a", 3), ("b", 3)]
    assert not server.found(tmp_path)
    assert spark.conf.get("spark.databricks.delta.commitInfo.userMetadata", None) is None


def test_work_is_done_for_each_item_in_their_order(spark, tmp_path):
    assert list(each(settings(tmp_path), square, [3, 1, 2, 5, 4])) == [9, 1, 4, 25, 16]
    assert list(each(settings(tmp_path), square, [])) == []


def test_an_error_of_ours_comes_back_as_itself(spark, tmp_path):
    with pytest.raises(WrongEngine) as caught:
        list(each(settings(tmp_path), refuse, [1, 2]))
    assert (caught.value.what, caught.value.where, caught.value.hint) == ("refused", "item 1", "leave it")


def test_nothing_listens_beyond_this_machine(spark, engine):
    pid = server.found(engine.home).pid
    sockets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if "socket" in os.readlink(link)}
    inodes = {name.removeprefix("socket:[").removesuffix("]") for name in sockets}
    listening = []
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert listening and set(listening) <= loopback


def _break(item: int) -> int:
    raise ValueError(item)


def test_an_error_of_strangers_keeps_its_words_to_itself(spark, engine):
    with pytest.raises(CitylakeError, match=r"^ValueError on a worker of Spark; see `citylake engine logs`$"):
        list(each(engine, _break, [13912345678]))
    log = (engine.home / "logs" / "spark.log").read_text("utf-8")
    assert "13912345678" not in log
    assert "_break" in log


def test_sparks_log_says_which_run_its_lines_belong_to(engine):
    with bound(run_id="20240501-geo"), ThreadPoolExecutor(1) as thread:
        thread.submit(copy_context().run, list, each(engine, square, [2])).result()
    lines = (engine.home / "logs" / "spark.log").read_text("utf-8").splitlines()
    assert [line.partition("citylake ")[2] for line in lines if "20240501-geo" in line] == [
        "run 20240501-geo begins",
        "run 20240501-geo ends",
    ]

import duckdb
import numpy as np

from lakehouse.geo.cells import NONE, PER_DEGREE, ROW, cell_sql, cells


def test_a_cell_is_row_and_column_of_the_grid():
    found = cells(np.array([-180.0, 0.0, 120.5, 120.5]), np.array([-90.0, 0.0, 32.0, 32.0 + 1 / PER_DEGREE]))
    assert found.tolist() == [
        0,
        90 * PER_DEGREE * ROW + 180 * PER_DEGREE,
        122 * PER_DEGREE * ROW + 300 * PER_DEGREE + PER_DEGREE // 2,
        (122 * PER_DEGREE + 1) * ROW + 300 * PER_DEGREE + PER_DEGREE // 2,
    ]


def test_poles_and_the_date_line_have_cells_of_their_own():
    found = cells(np.array([180.0, -180.0, 180.0]), np.array([90.0, 90.0, -90.0]))
    assert NONE not in found and len(set(found)) == 3


def test_what_is_not_on_the_globe_has_no_cell():
    lon = np.array([np.nan, 120.0, 180.1, -181.0, 120.0, np.inf])
    lat = np.array([32.0, np.nan, 32.0, 32.0, 90.0001, 32.0])
    assert (cells(lon, lat) == NONE).all()


def test_sql_gives_the_same_cells():
    random = np.random.default_rng(2)
    edges = np.arange(-2, 3) / PER_DEGREE
    lon = np.concatenate(
        [random.uniform(-180, 180, 5_000), 120 + edges, np.nextafter(120 + edges, 0), [np.nan, 200, -180]]
    )
    lat = np.concatenate([random.uniform(-90, 90, 5_000), 32 + edges, np.nextafter(32 + edges, 0), [1, 1, 90]])
    places = {"lon": lon, "lat": lat}
    found = duckdb.sql(f"SELECT {cell_sql('lon', 'lat')} AS cell FROM places").fetchnumpy()["cell"]
    assert np.ma.filled(found, NONE).tolist() == cells(lon, lat).tolist()
    assert duckdb.sql(f"SELECT {cell_sql('CAST(NULL AS DOUBLE)', '1.0')}").fetchall() == [(None,)]
    assert len(places) == 2

import numpy as np

from lakehouse.geo.cells import NONE, PER_DEGREE, ROW, cells


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

"""Hourly values of three stations, `NA` where there is none."""

from datetime import datetime

from tests.real.deliveries import SHARED, Lake, column

NAMES = {
    "pm25": "PM2.5", "pm10": "PM10", "so2": "SO2", "no2": "NO2", "co": "CO", "o3": "O3", "temperature": "TEMP",
    "pressure": "PRES", "dew_point": "DEWP", "rain": "RAIN", "wind": "wd", "wind_speed": "WSPM",
}  # fmt: skip


def test_values_that_are_not_there(lake: Lake) -> None:
    empty = {n: sum(cell.strip() in ("", "NA") for cell in _sent(sent)) for n, sent in NAMES.items()}
    coarse = list(zip(_sent("PM2.5"), _sent("PM10"), strict=True))
    finer = sum("NA" not in pair and float(pair[0]) > float(pair[1]) for pair in coarse)
    found = lake.found("air.stations")
    assert found == {f"filled({n})": count for n, count in empty.items()} | {"compare(pm25,pm10)": finer}
    assert found["filled(so2)"] == _sent("SO2").count("NA") + 1  # one cell holds a blank


def test_every_hour_of_every_station_is_there_once(lake: Lake) -> None:
    hours = 3 * (datetime(2017, 3, 1) - datetime(2013, 3, 1)).days * 24
    assert lake.results("air.stations")["key.unique"] == ("passed", hours, 0)


def _sent(name: str) -> list[str]:
    return [cell for path in sorted((SHARED / "air").glob("*.csv")) for cell in column(f"air/{path.name}", name)]

"""One function per dataset: the clean rows a department has to deliver on a day, under the contract's column names."""

from collections.abc import Callable
from datetime import date

import pyarrow as pa

from samples.city import City
from samples.tables import civil_affairs, ecology, hotline_12345, market_supervision, transport

TABLES: dict[str, Callable[[City, date], pa.Table]] = {
    "civil_affairs.addresses": civil_affairs.addresses,
    "ecology.air_hourly": ecology.air_hourly,
    "hotline_12345.tickets": hotline_12345.tickets,
    "market_supervision.firms": market_supervision.firms,
    "market_supervision.inspections": market_supervision.inspections,
    "transport.hazmat_gps": transport.hazmat_gps,
    "transport.hazmat_vehicles": transport.hazmat_vehicles,
    "transport.waybills": transport.waybills,
}
"""Every dataset of the sample city."""

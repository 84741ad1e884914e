"""One function per dataset: the clean rows a department has to deliver on a day, under the contract's column names."""

from collections.abc import Callable
from datetime import date

import pyarrow as pa

from samples.city import City
from samples.tables import (
    civil_affairs,
    ecology,
    emergency,
    health,
    hotline_12345,
    housing,
    market_supervision,
    meteorology,
    public_security,
    transport,
    urban_management,
    water,
)

TABLES: dict[str, Callable[[City, date], pa.Table]] = {
    "civil_affairs.addresses": civil_affairs.addresses,
    "civil_affairs.elder_care": civil_affairs.elder_care,
    "civil_affairs.welfare_payments": civil_affairs.welfare_payments,
    "ecology.air_hourly": ecology.air_hourly,
    "ecology.pollution_permits": ecology.pollution_permits,
    "ecology.waste_transfers": ecology.waste_transfers,
    "ecology.water_quality": ecology.water_quality,
    "emergency.alarms": emergency.alarms,
    "emergency.hazmat_permits": emergency.hazmat_permits,
    "emergency.hidden_dangers": emergency.hidden_dangers,
    "health.clinics": health.clinics,
    "health.emergency_calls_120": health.emergency_calls_120,
    "health.outpatient_counts": health.outpatient_counts,
    "hotline_12345.online_posts": hotline_12345.online_posts,
    "hotline_12345.tickets": hotline_12345.tickets,
    "housing.construction_sites": housing.construction_sites,
    "housing.rental_contracts": housing.rental_contracts,
    "housing.rental_listings": housing.rental_listings,
    "market_supervision.firms": market_supervision.firms,
    "market_supervision.food_licences": market_supervision.food_licences,
    "market_supervision.inspections": market_supervision.inspections,
    "market_supervision.online_shops": market_supervision.online_shops,
    "meteorology.station_hourly": meteorology.station_hourly,
    "meteorology.warnings": meteorology.warnings,
    "public_security.checkpoint_passes": public_security.checkpoint_passes,
    "public_security.police_calls_110": public_security.police_calls_110,
    "public_security.residents": public_security.residents,
    "public_security.vehicles": public_security.vehicles,
    "transport.bus_arrivals": transport.bus_arrivals,
    "transport.hazmat_gps": transport.hazmat_gps,
    "transport.hazmat_vehicles": transport.hazmat_vehicles,
    "transport.ride_orders": transport.ride_orders,
    "transport.waybills": transport.waybills,
    "urban_management.cases": urban_management.cases,
    "urban_management.muck_trucks": urban_management.muck_trucks,
    "urban_management.shared_bikes": urban_management.shared_bikes,
    "urban_management.street_lights": urban_management.street_lights,
    "water.pipe_pressure": water.pipe_pressure,
    "water.pump_stations": water.pump_stations,
    "water.river_levels": water.river_levels,
}
"""Every dataset of the sample city."""

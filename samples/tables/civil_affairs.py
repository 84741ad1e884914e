"""What civil affairs delivers."""

from datetime import date

import pyarrow as pa

from samples.city import City


def addresses(city: City, day: date) -> pa.Table:
    """The standard addresses of the week."""
    places = city.places
    return pa.table({
        "address_id": [f"DZ{k:06d}" for k in range(1, len(places.lon) + 1)],
        "address": places.address,
        "street": places.street,
        "community": places.community,
        "division": places.division,
        "postcode": places.postcode,
        "x": places.lon,
        "y": places.lat,
    }).slice(0, 5_900 + day.day)  # fmt: skip

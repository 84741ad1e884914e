"""Identifiers of firms, people and vehicles with valid check digits. None of them was ever issued."""

import numpy as np

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100-2015, 4.2: digits and capitals without I, O, S, V, Z."""
_USCC_WEIGHTS = np.array([pow(3, i, 31) for i in range(17)])
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])  # GB 11714-1997
_RESIDENT_WEIGHTS = np.array([pow(2, 17 - i, 11) for i in range(17)])  # ISO 7064 MOD 11-2
_PLATE_ALPHABET = np.array(list("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"))  # GA 36-2018: no I, no O


def uscc_check(body: str) -> str:
    """The 18th character of a unified social credit code, from its first 17 (GB 32100-2015, annex A)."""
    values = np.array([USCC_ALPHABET.index(c) for c in body])
    return USCC_ALPHABET[(31 - int(values @ _USCC_WEIGHTS) % 31) % 31]


def organisation_check(body: str) -> str:
    """The 9th character of an organisation code, from its first 8 (GB 11714-1997)."""
    values = np.array([int(c, 36) for c in body])
    return "0123456789X0"[(11 - int(values @ _ORGANISATION_WEIGHTS) % 11)]


def resident_check(body: str) -> str:
    """The 18th character of a resident id, from its first 17 digits (GB 11643-1999)."""
    values = np.array([int(c) for c in body])
    return "10X98765432"[int(values @ _RESIDENT_WEIGHTS) % 11]


def usccs(rng: np.random.Generator, divisions: np.ndarray) -> np.ndarray:
    """One distinct code per division: firms registered by market supervision (`91`), organisation code `MA...`."""
    serials = rng.choice(31**5, size=len(divisions), replace=False)
    return np.array([_uscc(division, int(serial)) for division, serial in zip(divisions, serials, strict=True)])


def _uscc(division: str, serial: int) -> str:
    letters = ""
    for _ in range(5):
        serial, rest = divmod(serial, 31)
        letters += USCC_ALPHABET[rest]
    organisation = f"MA1{letters}"
    body = f"91{division}{organisation}{organisation_check(organisation)}"
    return body + uscc_check(body)


def resident_ids(rng: np.random.Generator, n: int, regions: np.ndarray) -> np.ndarray:
    """`n` distinct ids of people born 1940-2005.

    Their order codes are 996-999, which are kept for people over a hundred: nobody alive can own one of these ids.
    """
    days = np.arange("1940-01-01", "2006-01-01", dtype="datetime64[D]")
    shape = (len(regions), len(days), 4)
    region, day, order = np.unravel_index(rng.choice(np.prod(shape), size=n, replace=False), shape)
    bodies = [
        f"{regions[r]}{str(days[d]).replace('-', '')}{996 + o}" for r, d, o in zip(region, day, order, strict=True)
    ]
    return np.array([body + resident_check(body) for body in bodies])


def plates(rng: np.random.Generator, n: int, *, prefix: str = "苏F", electric: float = 0.0) -> np.ndarray:
    """`n` distinct plates (GA 36-2018); a share of `electric` has the eight characters of new-energy cars."""
    found: dict[str, None] = {}
    while len(found) < n:
        tail = "".join(rng.choice(_PLATE_ALPHABET[:24], 1)) + "".join(rng.choice(_PLATE_ALPHABET[-10:], 4))
        plate = f"{prefix}D{tail}" if rng.random() < electric else f"{prefix}{tail}"
        found[plate] = None
    return np.array(list(found))


def phones(rng: np.random.Generator, n: int) -> np.ndarray:
    """`n` mobile numbers in the range 170-0000, which no operator has opened."""
    return np.array([f"1700000{number:04d}" for number in rng.integers(0, 10_000, n)])

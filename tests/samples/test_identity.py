"""Identifiers: check digits against the examples in the standards."""

import numpy as np

from samples import identity


def test_check_digits_of_published_examples() -> None:
    assert identity.uscc_check("91350100M000100Y4") == "3"
    assert identity.organisation_check("D2143569") == "X"
    assert identity.resident_check("11010519491231002") == "X"
    assert identity.resident_check("44052418800101001") == "4"


def test_codes_are_distinct_and_belong_to_nobody() -> None:
    rng = np.random.default_rng(1)
    ids = identity.resident_ids(rng, 500, np.array(["320602"]))
    assert len(set(ids)) == 500
    assert {int(number[14:17]) for number in ids} <= {996, 997, 998, 999}
    codes = identity.usccs(rng, np.full(300, "320613"))
    assert len(set(codes)) == 300
    assert all(identity.uscc_check(code[:17]) == code[17] for code in codes)


def test_new_energy_plates_have_eight_characters() -> None:
    plates = identity.plates(np.random.default_rng(1), 200, electric=0.5)
    assert {len(plate) for plate in plates} == {7, 8}
    assert len(set(plates)) == 200

"""Services far away from where the patient lives."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.codes import code36
from engine.columns import Batch, Bools, Ints, rows_where
from engine.policy import Params
from engine.reference import Reference
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    example,
    line,
    rule,
)
from engine.tables.keys import ZIP_REGION_FIRST
from engine.tables.listing import Listing

_EARTH_KM: Final = 6371.0088
_E4: Final = 10_000
_TAXONOMY_LENGTH: Final = 10

_CHICAGO, _ROCKFORD = "60601", "61101"
_LIMIT: Final = {"km_max": 300}


@rule(
    id="GEOGRAPHIC_DISTANCE_OUTLIER",
    category=Category.FWA,
    scope=Scope.CLAIM,
    severity=Severity.MEDIUM,
    weight=0.10,
    action=Action.PEND,
    certainty=Certainty.ADVISE,
    cites="Tenant policy of the special investigations unit",
    datasets=("zip_centroids",),
    params={
        "km_max": 0,
        "places_excluded": ("02", "10", "12", "41", "42", "81"),
        "taxonomies_excluded": ("332", "333", "335", "291"),
    },
    evidence={"km": Kind.COUNT, "km_max": Kind.COUNT},
    caveat="Off until a tenant gives `km_max`. Telehealth, homes, ambulances, laboratories and mail"
    " order of equipment and drugs are left out. The distance is between the middle points of two "
    "ZIP codes, of their first three digits where the five are not in the table.",
    examples=[
        example(
            "an office visit some 950 km from home",
            line("99213"),
            patient_zip=_CHICAGO,
            params=_LIMIT,
            hit=True,
            hit_lines=(),
        ),
        example(
            "in the patient's own region",
            line("99213"),
            patient_zip=_CHICAGO,
            facility_provider={"zip": _ROCKFORD},
            params=_LIMIT,
        ),
        example("telehealth at home", line("99213", pos="10"), patient_zip=_CHICAGO, params=_LIMIT),
        example("a laboratory", line("85025", pos="81"), patient_zip=_CHICAGO, params=_LIMIT),
        example(
            "equipment by mail",
            line("E0601"),
            patient_zip=_CHICAGO,
            billing_provider={"taxonomy": "332B00000X"},
            params=_LIMIT,
        ),
        example("no limit is set", line("99213"), patient_zip=_CHICAGO),
        example("where the patient lives is not known", line("99213"), params=_LIMIT),
        example(
            "a ZIP that only its first three digits place",
            line("99213"),
            patient_zip="60699",
            params=_LIMIT,
            hit=True,
        ),
        example(
            "00606, of Puerto Rico, is no place in the region 606",
            line("99213"),
            patient_zip="00606",
            params=_LIMIT,
        ),
    ],
)
def find(batch: Batch, reference: Reference, params: Params) -> Hits:
    """A service is farther from the patient's home than the tenant's limit."""
    limit, claims, lines = params["km_max"], batch.claims, batch.lines
    if not limit.any():
        return Hits.none()
    centroids = reference.listing("zip_centroids")
    if not centroids.loaded:
        return Hits.none(NotEvaluated("no_dataset", claims=limit > 0))
    asked = batch.of_line((limit > 0) & (claims.patient_zip5 > 0)) & ~_exempt(batch, params)
    line_of = rows_where(asked & (lines.zip5 > 0))
    home, here = claims.patient_zip5[lines.claim[line_of]], lines.zip5[line_of]
    km, known = _km(centroids, batch, line_of, home, here)
    farthest = np.zeros(len(claims), np.int64)
    np.maximum.at(farthest, lines.claim[line_of], km)
    unknown = np.zeros(len(lines), np.bool_)
    unknown[line_of[~known]] = True
    return Hits.on_claims(
        (farthest > limit) & (limit > 0),
        evidence={"km": farthest, "km_max": limit},
        not_evaluated=(NotEvaluated("no_centroid", lines=unknown),),
    )


def _exempt(batch: Batch, params: Params) -> Bools:
    places = np.array([int(place) for place in params.words("places_excluded")])
    exempt = np.isin(batch.lines.place_of_service, places)
    for prefix in params.words("taxonomies_excluded"):
        first, last = (code36(prefix.ljust(_TAXONOMY_LENGTH, filler)) for filler in "0Z")
        taxonomy = batch.of_line(batch.claims.billing_taxonomy)
        exempt |= (first <= taxonomy) & (taxonomy <= last)
    return exempt


def _km(centroids: Listing, batch: Batch, line: Ints, home: Ints, here: Ints) -> tuple[Ints, Bools]:
    """Whole kilometres between two ZIP codes on the day of each line, and where both are known."""
    day = batch.lines.service_from[line]
    points = [_radians(centroids, each, day) for each in (home, here)]
    (north1, east1, known1), (north2, east2, known2) = points
    half = (
        np.sin((north2 - north1) / 2) ** 2
        + np.cos(north1) * np.cos(north2) * np.sin((east2 - east1) / 2) ** 2
    )
    known = known1 & known2
    km = 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))
    return np.where(known, km, 0).astype(np.int64), known


def _radians(
    centroids: Listing, zip5: Ints, day: NDArray[np.datetime64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Bools]:
    row = centroids.match(zip5, day).first(len(zip5))
    region = centroids.match(ZIP_REGION_FIRST + zip5 // 100, day).first(len(zip5))
    row = np.where(row < 0, region, row)
    at = np.where(row < 0, 0, row)
    north, east = (
        np.radians(centroids.columns[name][at] / _E4) for name in ("latitude", "longitude")
    )
    return north, east, row >= 0

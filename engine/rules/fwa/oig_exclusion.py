"""Providers whom the Office of Inspector General has excluded from federal programs."""

from typing import Final

import numpy as np

from engine.columns import (
    LOB_MEDICAID,
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    Batch,
    Bools,
    Ints,
    one_of,
)
from engine.reference import (
    EXCLUDED,
    LISTED_WITHOUT_DATE,
    WAIVED,
    WAIVED_ELSEWHERE,
    Reference,
)
from engine.rules.fwa.roles import CLAIM_ROLES, LINE_ROLES
from engine.rules.listed import gap_of
from engine.rules.rule import (
    Action,
    Category,
    Certainty,
    Hits,
    Kind,
    NotEvaluated,
    Scope,
    Severity,
    Variant,
    example,
    line,
    rule,
)

_NPI, _UNDATED, _OTHER_PAYER, _EMERGENCY, _WAIVER, _NAME = range(6)
# How a provider is listed, the strongest first.
_DATED_LIST, _WAIVER_UNCLEAR, _UNDATED_LIST, _NAMED_LIST, _UNLISTED = range(5)
_FEDERAL: Final = (LOB_MEDICARE_FFS, LOB_MEDICARE_ADVANTAGE, LOB_MEDICAID)

_ROLES: Final = (*CLAIM_ROLES, *(f"{role} of a line" for role in LINE_ROLES))

_NAMESAKE: Final = {
    "npi": "1003000126",
    "last_or_org_name": "Invented",
    "first_name": "Nobody",
    "state": "AL",
    "taxonomy": "164W00000X",
}


@rule(
    id="OIG_EXCLUSION",
    category=Category.FWA,
    scope=Scope.CLAIM,
    severity=Severity.CRITICAL,
    weight=0.25,
    action=Action.DENY_CLAIM,
    certainty=Certainty.APPLY,
    variants={
        "npi": Variant(),
        "undated_list": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
        "not_federal": Variant(action=Action.PEND),
        "emergency": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
        "waiver_unclear": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
        "name": Variant(action=Action.PEND, certainty=Certainty.ADVISE),
    },
    carc="B7",
    cites="Social Security Act s. 1128; 42 USC 1320a-7; 42 CFR 1001.1801, 1001.1901",
    datasets=("leie", "exclusion_specialties"),
    evidence={"role": Kind.NAME, "list": Kind.NAME, "basis": Kind.NAME, "service_date": Kind.DATE},
    names={
        "role": _ROLES,
        "list": ("OIG LEIE", "OIG LEIE, without dates of exclusion"),
        "basis": ("NPI", "name, state and specialty"),
    },
    caveat=(
        "Who is listed without an NPI is found by name, state and specialty among billers and "
        "renderers, and a person decides; dates of birth are not on claims, so they are not "
        "compared. A waiver counts in the state that it is for, from its day on; the "
        "state of service is that of the service ZIP, and where it is not known a person decides. "
        "A claim whose lines are all emergencies is left to a person (42 CFR 1001.1901(c)(5))."
    ),
    examples=[
        example(
            "the biller is excluded",
            line("99213"),
            npi="2000001372",
            hit=True,
            hit_lines=(),
            variant="npi",
        ),
        example(
            "the renderer of one line is excluded",
            line("99213"),
            line("85025", npi="2000005076"),
            hit=True,
            variant="npi",
        ),
        example(
            "who ordered is excluded",
            line("85025", ordering_provider={"npi": "2000005076"}),
            hit=True,
            variant="npi",
        ),
        example(
            "who referred is excluded",
            line("99213"),
            referring_provider={"npi": "2000005076"},
            hit=True,
            variant="npi",
        ),
        example(
            "on the day of exclusion", line("99213"), npi="2000001372", day="2022-04-20", hit=True
        ),
        example("the day before", line("99213"), npi="2000001372", day="2022-04-19"),
        example(
            "excluded between two lines",
            line("99213", day="2022-04-19"),
            line("99213", day="2022-04-20"),
            npi="2000001372",
            hit=True,
        ),
        example("reinstated since", line("99213"), npi="2000090029"),
        example(
            "before the reinstatement", line("99213"), npi="2000090029", day="2022-05-15", hit=True
        ),
        example("on the day of reinstatement", line("99213"), npi="2000090029", day="2022-05-16"),
        example(
            "reinstated on the day of exclusion", line("99213"), npi="2000090037", day="2023-07-20"
        ),
        example("excluded again after a reinstatement", line("99213"), npi="2000090011", hit=True),
        example(
            "listed without a date",
            line("99213"),
            npi="2000090201",
            hit=True,
            variant="undated_list",
        ),
        example(
            "a commercial payer",
            line("99213"),
            npi="2000001372",
            line_of_business=4,
            hit=True,
            variant="not_federal",
        ),
        example(
            "an emergency",
            line("99283", pos="23", emergency_indicator=True),
            npi="2000001372",
            hit=True,
            variant="emergency",
        ),
        example(
            "waived in the state of service",
            line("99213", day="2019-06-03"),
            npi="2000090052",
            day="2019-06-03",
        ),
        example(
            "before the waiver",
            line("99213", day="2018-02-28"),
            npi="2000090052",
            day="2018-02-28",
            hit=True,
            variant="npi",
        ),
        example(
            "listed without an NPI: name, state and specialty are the same",
            line("99213"),
            rendering_provider=_NAMESAKE,
            hit=True,
            variant="name",
        ),
        example(
            "the same surname only",
            line("99213"),
            rendering_provider={**_NAMESAKE, "first_name": "OTHER"},
        ),
        example(
            "the same name in another state",
            line("99213"),
            rendering_provider={**_NAMESAKE, "state": "TX"},
        ),
        example(
            "the same name in another specialty",
            line("99213"),
            rendering_provider={**_NAMESAKE, "taxonomy": "207R00000X"},
        ),
        example(
            "the same name before the exclusion",
            line("99213"),
            rendering_provider=_NAMESAKE,
            day="2021-03-19",
            received="2021-04-01",
        ),
        example("a provider who is on no list", line("99213")),
    ],
)
def find(batch: Batch, reference: Reference) -> Hits:
    """A provider in any role of the claim is excluded on a day of service."""
    claims, lines, leie = batch.claims, batch.lines, reference.leie
    unreleased = leie.release_at(lines.service_from) < 0
    first, role, line_row, listed = _matches(batch, reference)
    dated, named = listed != _UNDATED_LIST, listed == _NAMED_LIST
    unclear = listed == _WAIVER_UNCLEAR
    federal = one_of(claims.line_of_business[first], _FEDERAL)
    emergency = batch.all_lines(lines.emergency)[first]
    variant = np.select(
        [~dated, named, unclear, ~federal, emergency],
        [_UNDATED, _NAME, _WAIVER, _OTHER_PAYER, _EMERGENCY],
        _NPI,
    )
    return Hits(
        claim=first,
        variant=variant,
        evidence={
            "role": role,
            "list": (~dated).astype(np.int64),
            "basis": named.astype(np.int64),
            "service_date": lines.service_from[line_row],
        },
        not_evaluated=(
            NotEvaluated("no_release" if leie.loaded else "no_dataset", lines=unreleased),
            *gap_of(reference.listing("exclusion_specialties"), reason="names_not_compared"),
        ),
    )


def _matches(batch: Batch, reference: Reference) -> tuple[Ints, Ints, Ints, Ints]:
    """Claims with a listed provider, and the strongest match of each: role, line, how listed."""
    row, role, npi = _probes(batch)
    state = reference.leie.excluded(npi, batch.lines.service_from[row])
    found = np.flatnonzero(state != 0)
    row, role = row[found], role[found]
    listed = _listed(batch, reference, row, npi[found], state[found])
    kept = np.flatnonzero(listed != _UNLISTED)
    names, name_role = _names(batch, reference)
    row, role = np.append(row[kept], names), np.append(role[kept], name_role)
    listed = np.append(listed[kept], np.full(len(names), _NAMED_LIST))
    claim = batch.lines.claim[row]
    order = np.lexsort((row, role, listed, claim))
    claims, first = np.unique(claim[order], return_index=True)
    best = order[first]
    return claims, role[best], row[best], listed[best]


def _listed(batch: Batch, reference: Reference, row: Ints, npi: Ints, state: Ints) -> Ints:
    """How each provider is listed once waivers are counted; few rows get here."""
    day = batch.lines.service_from[row]
    service_state = reference.localities.state(batch.lines.zip5[row])
    waiver = reference.leie.waiver(npi, service_state, day)
    dated = state == EXCLUDED
    return np.select(
        [
            state == LISTED_WITHOUT_DATE,
            dated & (waiver == WAIVED),
            dated & (waiver == WAIVED_ELSEWHERE) & (service_state == 0),
        ],
        [_UNDATED_LIST, _UNLISTED, _WAIVER_UNCLEAR],
        _DATED_LIST,
    )


def _names(batch: Batch, reference: Reference) -> tuple[Ints, Ints]:
    """First lines of claims whose biller or renderer bears the name of one listed without an NPI.

    State and specialty are the same too, the latter by the tenant's list of what corresponds.
    """
    claims, listing = batch.claims, reference.listing("exclusion_specialties")
    if not listing.loaded:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    found = []
    for role, name, state, taxonomy in (
        ("billing", claims.billing_name, claims.billing_state, claims.billing_taxonomy),
        ("rendering", claims.rendering_name, claims.rendering_state, claims.rendering_taxonomy),
    ):
        claim, specialty = reference.leie.of_name(name, state, claims.service_from)
        same = listing.match(taxonomy[claim], claims.service_from[claim])
        named = np.unique(claim[same.place[same["specialty"] == specialty[same.place]]])
        found.append((claims.line_start[named], np.full(len(named), CLAIM_ROLES.index(role))))
    rows, roles = (np.concatenate(each) for each in zip(*found, strict=True))
    return rows, roles


def _probes(batch: Batch) -> tuple[Ints, Ints, Ints]:
    """Every provider with a day of service: row of a line, role, NPI.

    The claim's own roles are asked once for each run of lines of one day, not once for each line.
    """
    lines, claims = batch.lines, batch.claims
    new_day = np.flatnonzero(_first_of_day(batch))
    every = np.arange(len(lines))
    inherited = (lines.rendering_npi == batch.of_line(claims.rendering_npi)) | (
        lines.rendering_npi == batch.of_line(claims.billing_npi)
    )
    columns = [
        *((new_day, getattr(claims, f"{role}_npi")[lines.claim[new_day]]) for role in CLAIM_ROLES),
        (every, np.where(inherited, 0, lines.rendering_npi)),
        *((every, getattr(lines, f"{role}_npi")) for role in LINE_ROLES[1:]),
    ]
    given = [np.flatnonzero(npi > 0) for _, npi in columns]
    rows = [row[at] for (row, _), at in zip(columns, given, strict=True)]
    npis = [npi[at] for (_, npi), at in zip(columns, given, strict=True)]
    roles = np.repeat(np.arange(len(columns)), [len(at) for at in given])
    return np.concatenate(rows), roles, np.concatenate(npis)


def _first_of_day(batch: Batch) -> Bools:
    """Lines whose claim or day is not that of the line before."""
    lines = batch.lines
    first = np.ones(len(lines), np.bool_)
    first[1:] = (lines.claim[1:] != lines.claim[:-1]) | (
        lines.service_from[1:] != lines.service_from[:-1]
    )
    return first

"""docs/listings.md: every listing with its columns, from the fields that read it."""

from collections.abc import Iterable
from typing import Final

from engine.tables.listing import RANGES, Form, ListingField, ListingSpec

_HEAD: Final = """# Listings

Tables of your own that rules and prices read: benefits, contracts, policies, revenue codes and more.
Each is a CSV file named after it, in the folder `claimgate` beside the published tables, or in the folder that `claimgate reference build --listings DIR` names.
A listing that is not there is not loaded: rules that rest on it are named under `not_evaluated` in the provenance of every answer.

Every row begins with `tenant_id` (blank: for all tenants) and ends with `effective_from` and `effective_to` (ISO dates, both included, blank for open).
Columns `<name>_from` and `<name>_to` are a range; a blank `_to` means one code. A field marked with * may be blank; what that means stands beside it.
Two rows may not speak of the same codes and days unless they differ in tenant or in a field marked *key*.
A file with a fault is refused whole, with the row and what was expected; the snapshot in use stays.

This page is written by `make docs`.
"""
_FORMS: Final = {
    Form.WORD: "id, letter case does not count",
    Form.UNITS: "number, up to 3 decimals",
    Form.CENTS: "dollars, up to 2 decimals",
    Form.RATIO_E4: "number, up to 4 decimals",
    Form.DEGREES_E4: "degrees, up to 4 decimals, with a sign",
    Form.TEXT: "text, up to 60 characters",
    Form.LABEL: "text, up to 60 characters",
    Form.LINE_OF_BUSINESS: "medicare_ffs, medicare_advantage, medicaid, commercial, other",
    Form.SEX: "F, M",
    Form.TAXONOMIES: "the beginning of a taxonomy code",
    Form.DIAGNOSES: "beginnings of ICD-10-CM codes",
    Form.ICD_PROCEDURES: "beginnings of ICD-10-PCS codes",
}


def document(listings: Iterable[ListingSpec]) -> str:
    """Return the page."""
    return "\n".join([_HEAD, *map(_section, listings)])


def _section(spec: ListingSpec) -> str:
    rows = "\n".join(map(_row, spec.fields))
    return (
        f"## {spec.name}\n\n{spec.about}\n\n| column | form | what |\n| --- | --- | --- |\n{rows}\n"
    )


def _row(field: ListingField) -> str:
    names = ", ".join(f"`{header}`" for header in field.headers)
    form = ", ".join(field.choices) or _FORMS.get(field.form, field.form.value)
    key = " *key*" if field.key else ""
    axis = " (range)" if field.form in RANGES and len(field.headers) > 1 else ""
    return f"| {names}{' *' if field.optional else ''} | {form}{axis} | {field.about}{key} |"

"""What a rate is for, in words; ids are kept as numbers and never shown."""

from typing import Final

import numpy as np

from engine.codes import text36
from engine.tables.listing import ANY, Listing

_PARTIES: Final = {
    "contract": "the contract",
    "billing_npi": "the biller's NPI",
    "billing_tin": "the biller's tax id",
    "plan": "the plan",
}
_SETTINGS: Final = ("", "facility", "non-facility")


def terms_of(rates: Listing, row: int, source: str) -> str:
    """Return source, codes, parties, modifier, setting and days of a row of the rates."""
    columns = rates.columns
    first, last = (text36(int(columns[f"code_{end}"][row])) for end in ("first", "last"))
    words = [first if first == last else f"{first} to {last}"]
    words += [party for name, party in _PARTIES.items() if columns[name][row] != ANY]
    if columns["modifier"][row] != ANY:
        words.append(f"modifier {text36(int(columns['modifier'][row]))}")
    words.append(_SETTINGS[int(columns["setting"][row])])
    for word, name in (("from", "effective"), ("to", "deletion")):
        if not np.isnat(columns[name][row]):
            words.append(f"{word} {columns[name][row]}")
    words.append("net" if columns["net"][row] else "")
    return f"{source} for {', '.join(filter(None, words))}"

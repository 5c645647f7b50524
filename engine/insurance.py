"""Kinds of insurance.

X12 claim filing indicators and plain names to model inputs and lines of business.
"""

from typing import Final

from engine.columns import (
    LOB_COMMERCIAL,
    LOB_MEDICAID,
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICARE_FFS,
    LOB_OTHER,
    LOB_UNKNOWN,
)

_BY_KIND: Final = {
    1: ("MA", "MB", "MEDICARE", "MEDICARE FFS"),
    2: ("16", "MEDICARE ADVANTAGE"),
    3: ("MC", "MEDICAID"),
    4: ("CI", "BL", "12", "13", "14", "15", "HM", "FI", "COMMERCIAL", "PPO", "HMO", "POS", "BCBS"),
    5: ("CH", "VA", "TRICARE", "CHAMPVA"),
    6: ("WC", "WORKERS COMPENSATION"),
    7: ("AM", "LM", "AUTO", "LIABILITY"),
    8: ("09", "SELF-PAY", "SELF PAY"),
    9: ("11", "17", "DS", "OF", "TV", "ZZ", "OTHER"),
}
INSURANCE: Final = {name: kind for kind, names in _BY_KIND.items() for name in names}
"""Model input (domain table F.4) by claim filing indicator or name; absent means 0."""

HMO: Final = "HM"
"""Commercial, unless the claim says that it is a Medicare Advantage plan."""

MEDICARE_ADVANTAGE_KIND: Final = 2

LINE_OF_BUSINESS: Final = (
    LOB_UNKNOWN,
    LOB_MEDICARE_FFS,
    LOB_MEDICARE_ADVANTAGE,
    LOB_MEDICAID,
    LOB_COMMERCIAL,
    LOB_OTHER,
    LOB_OTHER,
    LOB_OTHER,
    LOB_OTHER,
    LOB_OTHER,
)
"""Line of business by model input, where the claim states none."""

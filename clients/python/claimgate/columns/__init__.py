"""Claims as columns: `pack`, `unpack`, and `Columns` for callers that hold columns themselves."""

from claimgate.columns.builder import Columns
from claimgate.columns.layout import ColumnError
from claimgate.columns.packing import pack
from claimgate.columns.unpacking import unpack

__all__ = ["ColumnError", "Columns", "pack", "unpack"]

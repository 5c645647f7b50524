"""Fields, dates, codes and sums of the claim itself."""

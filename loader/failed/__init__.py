"""Failed claims: kept with every reason, retried, repaired, worked on by people, and resolved."""

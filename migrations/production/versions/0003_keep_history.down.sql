-- Back to 0002. History is lost; it is made of claims, which stay.
ALTER TABLE provenances DROP COLUMN not_evaluated;
ALTER TABLE batches DROP COLUMN content;
DROP TABLE peer_rates, provider_months, claim_history;

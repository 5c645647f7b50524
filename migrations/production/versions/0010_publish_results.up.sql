-- Committed results, told to others: by commit number (an index that finds a batch's results) or by logical replication.
-- Runs before the code that uses it.

-- A batch's results lie side by side: a block range index finds them, and costs a load next to nothing.
CREATE INDEX claim_results_batch ON claim_results USING brin (tenant_id, batch_id);
COMMENT ON INDEX claim_results_batch IS 'The results of a commit: `claimgate changes`.';

-- New rows only: a month that is archived or restored is no news. Of the columns, what is told of a result.
CREATE PUBLICATION claimgate_results FOR TABLE claim_results (
    tenant_id, service_from_date, claim_id, claim_version, result_no, decision, risk_category, exposure_cents,
    allowed_cents, provenance_id, batch_id, created_at
) WITH (publish = 'insert', publish_via_partition_root = true);
COMMENT ON PUBLICATION claimgate_results IS 'Results as they are committed, of all tenants: `claimgate changes --slot`.';

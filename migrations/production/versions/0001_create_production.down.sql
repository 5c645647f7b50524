-- Takes production away. The role stays where another database of the server still uses it.

DROP FUNCTION make_partitions(date, date), close_partition(text);
DROP TABLE failed_claim_status_changes, failed_claims, rule_hits, claim_results, claim_lines, claims, claim_keys,
    provenances, outbox, batches;
DROP FUNCTION audit_failed_claim(), current_tenant();
REVOKE USAGE ON SCHEMA public FROM claimgate_app;

DO $$
BEGIN
    DROP ROLE claimgate_app;
EXCEPTION
    WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE NOTICE 'role claimgate_app is kept: %', SQLERRM;
END
$$;

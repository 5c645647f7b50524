-- Claims that were cancelled stay so, and are not leased; none can be cancelled any more.

CREATE OR REPLACE FUNCTION audit_new_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO claim_status_changes (tenant_id, staging_id, to_status, changed_by)
    SELECT tenant_id, staging_id, status, session_user FROM new_rows;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION audit_changed_states() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO claim_status_changes (tenant_id, staging_id, from_status, to_status, changed_by)
    SELECT n.tenant_id, n.staging_id, o.status, n.status, coalesce(n.lease_owner, o.lease_owner, session_user)
    FROM old_rows AS o
    JOIN new_rows AS n USING (tenant_id, staging_id)
    WHERE o.status <> n.status OR o.lease_owner IS DISTINCT FROM n.lease_owner;
    RETURN NULL;
END
$$;

DROP TABLE batch_cancellations;
DROP INDEX claims_batch;
ALTER TABLE claim_states DROP CONSTRAINT claim_states_status_check;
ALTER TABLE claim_states ADD CONSTRAINT claim_states_status_check
    CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'needs_review')) NOT VALID;

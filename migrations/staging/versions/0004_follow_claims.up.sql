-- Claims after submission: a batch is found by the submitter's id, its waiting claims can be cancelled, and the audit
-- names who did it. Runs before the code that uses it.

ALTER TABLE claim_states DROP CONSTRAINT claim_states_status_check;
ALTER TABLE claim_states ADD CONSTRAINT claim_states_status_check
    CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'needs_review', 'cancelled'));

-- Claims without a batch are not in it.
CREATE INDEX claims_batch ON claims (tenant_id, batch_id, staging_id) WHERE batch_id <> '';

CREATE TABLE batch_cancellations (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    cancellation_id bigint GENERATED ALWAYS AS IDENTITY,
    batch_id text NOT NULL,
    claims integer NOT NULL CHECK (claims > 0),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    cancelled_by text NOT NULL,
    cancelled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, cancellation_id)
);
COMMENT ON TABLE batch_cancellations IS
    'Who cancelled how many waiting claims of a batch, when and why; never changed. claim_status_changes has each claim.';
CREATE INDEX batch_cancellations_batch ON batch_cancellations (tenant_id, batch_id);
ALTER TABLE batch_cancellations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON batch_cancellations USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT ON batch_cancellations TO claimgate_app;
SELECT fence_table('batch_cancellations');

-- A transaction that says for whom it acts (`claimgate.principal`) is kept under that name.
CREATE OR REPLACE FUNCTION audit_new_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO claim_status_changes (tenant_id, staging_id, to_status, changed_by)
    SELECT tenant_id, staging_id, status, coalesce(nullif(current_setting('claimgate.principal', true), ''), session_user)
    FROM new_rows;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION audit_changed_states() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO claim_status_changes (tenant_id, staging_id, from_status, to_status, changed_by)
    SELECT n.tenant_id, n.staging_id, o.status, n.status, coalesce(n.lease_owner, o.lease_owner,
        nullif(current_setting('claimgate.principal', true), ''), session_user)
    FROM old_rows AS o
    JOIN new_rows AS n USING (tenant_id, staging_id)
    WHERE o.status <> n.status OR o.lease_owner IS DISTINCT FROM n.lease_owner;
    RETURN NULL;
END
$$;

-- Back to before. Notes, repairs, assignments and how claims were resolved are lost.
DROP TABLE claim_repairs, failed_claim_notes;

CREATE OR REPLACE FUNCTION audit_failed_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.status <> NEW.status THEN
        INSERT INTO failed_claim_status_changes
            (tenant_id, claim_id, claim_version, content_sha256, from_status, to_status, changed_by)
        VALUES (NEW.tenant_id, NEW.claim_id, NEW.claim_version, NEW.content_sha256,
            CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status, session_user);
    END IF;
    RETURN NULL;
END
$$;
DROP INDEX failed_claim_changes_claim;
ALTER TABLE failed_claim_status_changes DROP COLUMN assignee, DROP COLUMN resolution, DROP COLUMN database_role;
DROP FUNCTION current_principal();

DROP INDEX failed_claims_urgent, failed_claims_age, failed_claims_due, failed_claims_under_way, failed_claims_unsettled;
ALTER TABLE failed_claims
    DROP CONSTRAINT failed_claims_id,
    DROP CONSTRAINT failed_claims_category,
    DROP CONSTRAINT failed_claims_status,
    DROP CONSTRAINT failed_claims_resolved,
    DROP CONSTRAINT failed_claims_waits,
    DROP CONSTRAINT failed_claims_leased,
    DROP COLUMN urgency,
    DROP COLUMN failed_id,
    DROP COLUMN facility_id,
    DROP COLUMN charge_cents,
    DROP COLUMN retries,
    DROP COLUMN next_attempt_at,
    DROP COLUMN lease_owner,
    DROP COLUMN lease_until,
    DROP COLUMN resubmitted_sha256,
    DROP COLUMN steps_tried,
    DROP COLUMN assignee,
    DROP COLUMN resolution,
    DROP COLUMN resolved_at,
    DROP COLUMN resolved_by,
    DROP COLUMN resolved_batch_id;
ALTER TABLE failed_claims NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER failed_claims_audit;
UPDATE failed_claims SET
    status = CASE status WHEN 'dead' THEN 'open' ELSE status END,
    failure_category = CASE failure_category
        WHEN 'validation' THEN 'structure'
        WHEN 'policy_rejected' THEN 'structure'
        WHEN 'decode' THEN 'unreadable'
        WHEN 'sealed' THEN 'unreadable'
        WHEN 'service_fault' THEN 'service'
        WHEN 'attempts_exhausted' THEN 'attempts'
        WHEN 'conflict' THEN 'content_conflict'
        WHEN 'data_refused' THEN 'database'
        ELSE failure_category
    END;
ALTER TABLE failed_claims
    ADD CONSTRAINT failed_claims_status_check CHECK (status IN ('open', 'assigned', 'resolved', 'resubmitted'));
ALTER TABLE failed_claims FORCE ROW LEVEL SECURITY, ENABLE TRIGGER failed_claims_audit;
CREATE INDEX failed_claims_open ON failed_claims (tenant_id, status, failed_at);

-- Failed claims as a work queue: what each is worth, when it is tried again, who looks after it, how it ended.
-- Runs before the code that uses it; code of before must not run after it, since categories have other names.

-- The owner is bound by row-level security too: for the length of these changes it is not.
ALTER TABLE failed_claims NO FORCE ROW LEVEL SECURITY, DROP CONSTRAINT failed_claims_status_check;
UPDATE failed_claims SET failure_category = CASE failure_category
    WHEN 'structure' THEN 'validation'
    WHEN 'unreadable' THEN CASE WHEN reasons @> '[{"code": "PAYLOAD_SEALED"}]' THEN 'sealed' ELSE 'decode' END
    WHEN 'service' THEN 'service_fault'
    WHEN 'attempts' THEN 'attempts_exhausted'
    WHEN 'content_conflict' THEN 'conflict'
    WHEN 'database' THEN 'data_refused'
    ELSE failure_category
END;

ALTER TABLE failed_claims
    ADD COLUMN failed_id bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN facility_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN charge_cents bigint NOT NULL DEFAULT 0 CHECK (charge_cents BETWEEN 0 AND 999999999999999),
    ADD COLUMN retries integer NOT NULL DEFAULT 0,
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN lease_owner text COLLATE "C",
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN resubmitted_sha256 bytea,
    ADD COLUMN steps_tried text[] COLLATE "C" NOT NULL DEFAULT '{}',
    ADD COLUMN assignee text COLLATE "C" NOT NULL DEFAULT '' CHECK (length(assignee) <= 100),
    ADD COLUMN resolution text COLLATE "C"
        CHECK (resolution IN ('corrected', 'reloaded', 'superseded', 'returned', 'duplicate', 'accepted_as_lost')),
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolved_by text,
    ADD COLUMN resolved_batch_id uuid,
    -- Does not move with time: of two claims the same one goes first today and in a year.
    ADD COLUMN urgency double precision NOT NULL GENERATED ALWAYS AS (
        ln(1 + charge_cents::double precision) / ln(2::double precision)
        - date_part('epoch', failed_at AT TIME ZONE 'UTC') / 604800) STORED,
    ADD CONSTRAINT failed_claims_id UNIQUE (tenant_id, failed_id),
    ADD CONSTRAINT failed_claims_category CHECK (failure_category IN ('validation', 'policy_rejected', 'decode',
        'sealed', 'service_fault', 'attempts_exhausted', 'conflict', 'data_refused')),
    ADD CONSTRAINT failed_claims_status CHECK (status IN ('open', 'assigned', 'resubmitted', 'resolved', 'dead'));
UPDATE failed_claims SET resolution = 'corrected', resolved_at = updated_at, resolved_by = 'unknown'
    WHERE status = 'resolved';
ALTER TABLE failed_claims
    ADD CONSTRAINT failed_claims_resolved CHECK (
        (status = 'resolved') = (resolution IS NOT NULL)
        AND (status = 'resolved') = (resolved_at IS NOT NULL)),
    ADD CONSTRAINT failed_claims_waits CHECK (next_attempt_at IS NULL OR status IN ('open', 'assigned')),
    ADD CONSTRAINT failed_claims_leased CHECK (lease_owner IS NULL OR status = 'resubmitted');
ALTER TABLE failed_claims FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN failed_claims.failed_id IS 'Short name of the row, unique in the tenant.';
COMMENT ON COLUMN failed_claims.charge_cents IS 'Money at risk: the total charge, or the sum of the lines where the total is none.';
COMMENT ON COLUMN failed_claims.attempts IS 'How often the claim was leased from staging, over all retries.';
COMMENT ON COLUMN failed_claims.retries IS 'Resubmissions that failed again since the claim failed or was reopened.';
COMMENT ON COLUMN failed_claims.next_attempt_at IS 'From then on it is resubmitted; NULL: not by itself.';
COMMENT ON COLUMN failed_claims.lease_owner IS 'Who puts it back into staging; NULL once it is there.';
COMMENT ON COLUMN failed_claims.resubmitted_sha256 IS 'Content that was last put back into staging: that of the last repair, or the claim''s own.';
COMMENT ON COLUMN failed_claims.steps_tried IS 'Automatic repair steps that were tried, so that none is tried twice.';
COMMENT ON COLUMN failed_claims.resolved_batch_id IS 'The load that ended it; NULL where a person did.';
COMMENT ON COLUMN failed_claims.urgency IS
    'One more for each doubling of the money and for each week of age: log2 of the cents, less failed_at in weeks.';

DROP INDEX failed_claims_open;
CREATE INDEX failed_claims_urgent ON failed_claims (tenant_id, urgency DESC, failed_id);
CREATE INDEX failed_claims_age ON failed_claims (tenant_id, failed_at, failed_id);
CREATE INDEX failed_claims_due ON failed_claims (tenant_id, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX failed_claims_under_way ON failed_claims (tenant_id, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX failed_claims_unsettled ON failed_claims (tenant_id, claim_id, claim_version) WHERE status <> 'resolved';

-- Who does it: the principal of the transaction, else the role that is connected. ---------------------------------

CREATE FUNCTION current_principal() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(nullif(current_setting('claimgate.principal', true), ''), session_user);

ALTER TABLE failed_claim_status_changes
    ADD COLUMN assignee text NOT NULL DEFAULT '',
    ADD COLUMN resolution text,
    ADD COLUMN database_role text NOT NULL DEFAULT session_user;
COMMENT ON COLUMN failed_claim_status_changes.changed_by IS 'The principal; where none was named the database role.';
CREATE INDEX failed_claim_changes_claim ON failed_claim_status_changes (tenant_id, claim_id, claim_version);

CREATE OR REPLACE FUNCTION audit_failed_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.status <> NEW.status OR OLD.assignee <> NEW.assignee THEN
        INSERT INTO failed_claim_status_changes (tenant_id, claim_id, claim_version, content_sha256, from_status,
            to_status, changed_by, assignee, resolution)
        VALUES (NEW.tenant_id, NEW.claim_id, NEW.claim_version, NEW.content_sha256,
            CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status, current_principal(), NEW.assignee,
            NEW.resolution);
    END IF;
    RETURN NULL;
END
$$;

CREATE TABLE failed_claim_notes (
    tenant_id text COLLATE "C" NOT NULL,
    note_id bigint GENERATED ALWAYS AS IDENTITY,
    failed_id bigint NOT NULL,
    text text NOT NULL CHECK (length(text) BETWEEN 1 AND 4000),
    written_by text NOT NULL DEFAULT current_principal(),
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, note_id),
    FOREIGN KEY (tenant_id, failed_id) REFERENCES failed_claims (tenant_id, failed_id)
);
COMMENT ON TABLE failed_claim_notes IS 'What people write about a failed claim; never changed.';
CREATE INDEX failed_claim_notes_claim ON failed_claim_notes (tenant_id, failed_id, note_id);

CREATE TABLE claim_repairs (
    tenant_id text COLLATE "C" NOT NULL,
    repair_id bigint GENERATED ALWAYS AS IDENTITY,
    failed_id bigint NOT NULL,
    step text COLLATE "C" NOT NULL,
    fields text[] COLLATE "C" NOT NULL,
    before_sha256 bytea NOT NULL,
    after_sha256 bytea NOT NULL,
    values_encrypted bytea NOT NULL,
    payload_encrypted bytea NOT NULL,
    automatic boolean NOT NULL,
    repaired_by text NOT NULL DEFAULT current_principal(),
    repaired_at timestamptz NOT NULL DEFAULT now(),
    undone_by text,
    undone_at timestamptz,
    PRIMARY KEY (tenant_id, repair_id),
    FOREIGN KEY (tenant_id, failed_id) REFERENCES failed_claims (tenant_id, failed_id),
    CONSTRAINT undone_by_somebody CHECK ((undone_by IS NULL) = (undone_at IS NULL))
);
ALTER TABLE claim_repairs ALTER COLUMN payload_encrypted SET STORAGE EXTERNAL;
COMMENT ON TABLE claim_repairs IS 'Repairs of failed claims, one on the other; one that was undone no longer counts.';
COMMENT ON COLUMN claim_repairs.fields IS 'What was changed, by path; never a value.';
COMMENT ON COLUMN claim_repairs.values_encrypted IS 'JSON {field: [before, after]}, bound to `claim_repairs.values` and after_sha256.';
COMMENT ON COLUMN claim_repairs.payload_encrypted IS 'The claim after the step, sealed as in staging.';
CREATE INDEX claim_repairs_claim ON claim_repairs (tenant_id, failed_id, repair_id);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['failed_claim_notes', 'claim_repairs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO claimgate_app', name);
    END LOOP;
    -- A repair is undone, never changed otherwise or deleted.
    GRANT UPDATE (undone_by, undone_at) ON claim_repairs TO claimgate_app;
END
$$;

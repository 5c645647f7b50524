-- Staging: claims that wait to be scored, what became of them, and what intake could not read.
-- Runs before the code that uses it.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'claimgate_app') THEN
        CREATE ROLE claimgate_app NOLOGIN;
    END IF;
END
$$;

-- The tenant of the transaction. NULL outside one: then no row is seen and none can be written.
CREATE FUNCTION current_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('claimgate.tenant', true), '');

-- Ids and codes compare byte by byte (COLLATE "C"): they have no language, and no index has to compare by its rules.

CREATE TABLE claims (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    staging_id bigint GENERATED ALWAYS AS IDENTITY,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    content_sha256 bytea NOT NULL,
    payload_encrypted bytea NOT NULL,
    received_date date,
    service_from_date date,
    service_to_date date,
    total_charge_cents bigint NOT NULL,
    line_count integer NOT NULL,
    batch_id text NOT NULL DEFAULT '',
    source_file text NOT NULL DEFAULT '',
    source_segment integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, staging_id),
    -- Other content under the same claim id is kept as well: production refuses it, and says so.
    CONSTRAINT claims_content UNIQUE (tenant_id, claim_id, claim_version, content_sha256)
) WITH (toast_tuple_target = 8160);
-- Ciphertext does not compress, and is read whenever its row is: it stays in the row where it fits.
ALTER TABLE claims ALTER COLUMN payload_encrypted SET STORAGE EXTERNAL;
COMMENT ON TABLE claims IS 'Submitted claims, never changed; patient data only inside payload_encrypted.';
COMMENT ON COLUMN claims.payload_encrypted IS 'The serialized claimgate.v1.Claim, AES-256-GCM, bound to tenant, table and claim.';
COMMENT ON COLUMN claims.batch_id IS 'The batch that the claim belongs to at the submitter.';

-- What changes of a claim stands apart from its payload: each transition rewrites a small row.
CREATE TABLE claim_states (
    tenant_id text COLLATE "C" NOT NULL,
    staging_id bigint NOT NULL,
    status text COLLATE "C" NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'needs_review')),
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 9),
    attempts integer NOT NULL DEFAULT 0,
    member_key bytea NOT NULL,
    lease_owner text COLLATE "C",
    lease_until timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz,
    PRIMARY KEY (tenant_id, staging_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE claim_states IS 'Where each claim stands; there is one row for each claim.';
COMMENT ON COLUMN claim_states.member_key IS 'Keyed hash of the member id: a member''s claims travel in one message.';
COMMENT ON COLUMN claim_states.attempts IS 'How often the claim was leased without the lease being given back.';

-- Urgent claims first, then in the order of submission, which staging_id counts.
CREATE INDEX claim_states_queue ON claim_states (tenant_id, priority DESC, staging_id) WHERE status = 'pending';
-- Its condition is written apart from the queue's: a look-up by member fits this index only, see below.
CREATE INDEX claim_states_member ON claim_states (tenant_id, member_key) WHERE status IS NOT DISTINCT FROM 'pending';
CREATE INDEX claim_states_leased ON claim_states (tenant_id, lease_until) WHERE status = 'processing';

-- What the planner knows of tenants and states is old where it matters: of a tenant that has just come, or of claims
-- that were just staged, it expects one row, finds any index that starts with the tenant as good as the right one, and
-- reads all the tenant's rows for each claim (5 s for 6,000). Without statistics it expects a share, and goes by the key.
ALTER TABLE claims ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE claim_states ALTER COLUMN tenant_id SET STATISTICS 0, ALTER COLUMN status SET STATISTICS 0;

CREATE TABLE claim_status_changes (
    tenant_id text COLLATE "C" NOT NULL,
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    staging_id bigint NOT NULL,
    from_status text COLLATE "C",
    to_status text COLLATE "C" NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (tenant_id, change_id)
);
COMMENT ON TABLE claim_status_changes IS 'Every transition of every staged claim: written by triggers, never changed.';

CREATE FUNCTION audit_new_states() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO claim_status_changes (tenant_id, staging_id, to_status, changed_by)
    SELECT tenant_id, staging_id, status, session_user FROM new_rows;
    RETURN NULL;
END
$$;

-- Transition tables have no statistics: left to itself the planner may join them by nested loops (3.5 s for 5,000 rows).
CREATE FUNCTION audit_changed_states() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
BEGIN
    INSERT INTO claim_status_changes (tenant_id, staging_id, from_status, to_status, changed_by)
    SELECT n.tenant_id, n.staging_id, o.status, n.status, coalesce(n.lease_owner, o.lease_owner, session_user)
    FROM old_rows AS o
    JOIN new_rows AS n USING (tenant_id, staging_id)
    WHERE o.status <> n.status OR o.lease_owner IS DISTINCT FROM n.lease_owner;
    RETURN NULL;
END
$$;

CREATE TRIGGER claim_states_audit_insert AFTER INSERT ON claim_states
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_new_states();
CREATE TRIGGER claim_states_audit_update AFTER UPDATE ON claim_states
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_changed_states();

CREATE TABLE intake_problems (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    problem_id bigint GENERATED ALWAYS AS IDENTITY,
    source_file text NOT NULL,
    segment integer NOT NULL,
    level text NOT NULL CHECK (level IN ('error', 'warning')),
    code text NOT NULL,
    message text NOT NULL,
    claim_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, problem_id)
);
COMMENT ON TABLE intake_problems IS 'What intake could not read, with its place in the file; never the value itself.';

ALTER TABLE claims ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE claim_states ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE claim_status_changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE intake_problems ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- The sub-select is evaluated once a statement, not once a row.
CREATE POLICY tenant ON claims USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY tenant ON claim_states USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY tenant ON claim_status_changes USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY tenant ON intake_problems USING (tenant_id = (SELECT current_tenant()));

GRANT USAGE ON SCHEMA public TO claimgate_app;
GRANT SELECT, INSERT ON claims, claim_status_changes, intake_problems TO claimgate_app;
-- A claim's member stays what it was: only the columns of a transition can be changed.
GRANT SELECT, INSERT, UPDATE (status, attempts, lease_owner, lease_until, updated_at, processed_at)
    ON claim_states TO claimgate_app;

-- Policies by version with their changelog, and hits that only try a rule out.
-- Runs before the code that uses it: the loader of this version writes rule_hits.shadow.

CREATE TABLE policies (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    version integer NOT NULL CHECK (version > 0),
    policy_version text COLLATE "C" NOT NULL,
    document jsonb NOT NULL,
    author text NOT NULL CHECK (author <> ''),
    approver text NOT NULL CHECK (approver <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    valid_from timestamptz NOT NULL DEFAULT now(),
    valid_to timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version),
    CONSTRAINT approved_by_another CHECK (approver <> author),
    CONSTRAINT valid_interval CHECK (valid_to > valid_from)
);
COMMENT ON TABLE policies IS
    'Every version of a tenant''s policy, never changed: in force is the highest one whose interval holds the moment.';
COMMENT ON COLUMN policies.version IS 'From 1 without gaps; who writes the next one has to know the one before.';
COMMENT ON COLUMN policies.policy_version IS 'Name and content hash, as in the provenance of answers.';
COMMENT ON COLUMN policies.document IS 'What differs from the defaults: docs/scoring.md#policies.';
COMMENT ON COLUMN policies.valid_to IS 'From this moment on it no longer holds; NULL means open.';

CREATE TABLE policy_changes (
    tenant_id text COLLATE "C" NOT NULL,
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    version integer NOT NULL,
    changed jsonb NOT NULL,
    author text NOT NULL,
    approver text NOT NULL,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, change_id),
    FOREIGN KEY (tenant_id, version) REFERENCES policies
);
COMMENT ON TABLE policy_changes IS 'One row for each new version, written with it.';
COMMENT ON COLUMN policy_changes.changed IS
    'By field of the document: {"before": …, "after": …}, with null where the field is left out.';
COMMENT ON COLUMN policy_changes.changed_by IS 'The database role that wrote it.';
CREATE INDEX policy_changes_version ON policy_changes (tenant_id, version);

CREATE FUNCTION record_policy_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := coalesce(
        (SELECT document FROM policies WHERE tenant_id = NEW.tenant_id AND version = NEW.version - 1), '{}');
BEGIN
    IF NEW.version > 1 AND NOT EXISTS (
        SELECT FROM policies WHERE tenant_id = NEW.tenant_id AND version = NEW.version - 1) THEN
        RAISE EXCEPTION 'version % of the policy has no version % before it', NEW.version, NEW.version - 1
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    INSERT INTO policy_changes (tenant_id, version, changed, author, approver, reason, changed_by)
    SELECT NEW.tenant_id, NEW.version,
        coalesce(jsonb_object_agg(key, jsonb_build_object('before', before -> key, 'after', NEW.document -> key))
            FILTER (WHERE before -> key IS DISTINCT FROM NEW.document -> key), '{}'),
        NEW.author, NEW.approver, NEW.reason, session_user
    FROM (SELECT jsonb_object_keys(before || NEW.document) AS key) AS keys;
    RETURN NULL;
END
$$;
CREATE TRIGGER policies_audit AFTER INSERT ON policies FOR EACH ROW EXECUTE FUNCTION record_policy_change();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['policies', 'policy_changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', name);
    END LOOP;
END
$$;
-- Nobody changes or deletes a version: what an answer was decided under can be shown for as long as the answer.
GRANT SELECT, INSERT ON policies, policy_changes TO claimgate_app;

ALTER TABLE rule_hits ADD COLUMN shadow boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN rule_hits.shadow IS 'The policy only tries the rule out: the hit counted for nothing.';

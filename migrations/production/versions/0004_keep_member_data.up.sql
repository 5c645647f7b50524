-- What a payer keeps on file about members. A row holds from the load that brought it (valid_from_seq) until the one
-- that changed or removed it (valid_to_seq), both a commit_seq of batches: what was read at a watermark can be read again.
-- Ids of payers, plans, benefits, documents and authorizations are integers of engine.words, 0 for none or any; codes
-- integers of engine.codes.

CREATE TABLE member_tables (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    name text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE member_tables IS
    'Tables that a tenant has ever loaded, be it without rows: rules on the others are not evaluated.';

CREATE TABLE member_eligibility (
    tenant_id text COLLATE "C" NOT NULL,
    member_key bytea NOT NULL,
    payer bigint NOT NULL,
    plan bigint NOT NULL,
    effective date NOT NULL,
    termination date,
    valid_from_seq bigint NOT NULL,
    valid_to_seq bigint,
    PRIMARY KEY (tenant_id, member_key, payer, plan, effective, valid_from_seq)
);
COMMENT ON TABLE member_eligibility IS 'When a member is covered by a payer; both days are included.';

CREATE TABLE member_accumulators (
    tenant_id text COLLATE "C" NOT NULL,
    member_key bytea NOT NULL,
    benefit bigint NOT NULL,
    period_from date NOT NULL,
    period_to date,
    used_milli bigint NOT NULL,
    as_of date,
    valid_from_seq bigint NOT NULL,
    valid_to_seq bigint,
    PRIMARY KEY (tenant_id, member_key, benefit, period_from, valid_from_seq)
);
COMMENT ON TABLE member_accumulators IS 'How much of a benefit a member has used in a period.';
COMMENT ON COLUMN member_accumulators.period_from IS 'First day of the period; -infinity for a lifetime.';

CREATE TABLE member_authorizations (
    tenant_id text COLLATE "C" NOT NULL,
    member_key bytea NOT NULL,
    number bigint NOT NULL,
    code_first bigint NOT NULL,
    code_last bigint NOT NULL,
    npi bigint NOT NULL,
    effective date NOT NULL,
    termination date,
    approved boolean NOT NULL,
    units_milli bigint NOT NULL,
    used_milli bigint NOT NULL,
    decided date,
    valid_from_seq bigint NOT NULL,
    valid_to_seq bigint,
    PRIMARY KEY (tenant_id, member_key, number, code_first, code_last, npi, effective, valid_from_seq)
);
COMMENT ON TABLE member_authorizations IS 'What was authorized for a member beforehand.';
COMMENT ON COLUMN member_authorizations.units_milli IS 'Units approved, in thousandths; -1 without limit.';

CREATE TABLE member_coverages (
    tenant_id text COLLATE "C" NOT NULL,
    member_key bytea NOT NULL,
    payer bigint NOT NULL,
    rank integer NOT NULL CHECK (rank BETWEEN 1 AND 11),
    basis integer NOT NULL,
    effective date NOT NULL,
    termination date,
    valid_from_seq bigint NOT NULL,
    valid_to_seq bigint,
    PRIMARY KEY (tenant_id, member_key, payer, effective, valid_from_seq)
);
COMMENT ON TABLE member_coverages IS 'In which order a member''s payers pay.';
COMMENT ON COLUMN member_coverages.basis IS 'Place in engine.members.BASES.';

CREATE TABLE member_documents (
    tenant_id text COLLATE "C" NOT NULL,
    member_key bytea NOT NULL,
    document bigint NOT NULL,
    code_first bigint NOT NULL,
    code_last bigint NOT NULL,
    effective date NOT NULL,
    termination date,
    valid_from_seq bigint NOT NULL,
    valid_to_seq bigint,
    PRIMARY KEY (tenant_id, member_key, document, code_first, code_last, effective, valid_from_seq)
);
COMMENT ON TABLE member_documents IS 'Documents on file for a member, such as orders of equipment.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['member_tables', 'member_eligibility', 'member_accumulators', 'member_authorizations',
        'member_coverages', 'member_documents'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO claimgate_app', name);
        -- A row is ended, never changed otherwise or deleted.
        CONTINUE WHEN name = 'member_tables';
        EXECUTE format('GRANT UPDATE (valid_to_seq) ON %I TO claimgate_app', name);
        EXECUTE format('COMMENT ON COLUMN %I.member_key IS ''Keyed hash of the member id, as in claims.''', name);
    END LOOP;
END
$$;

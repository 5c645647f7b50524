-- Production: scored claims by month of service, the ledger that loads a batch once, and the claims that failed.
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
-- Money is bigint cents, named so, as in the API: docs/decisions/0010-money-in-cents.md.

-- The ledger: one row for each load transaction. ------------------------------------------------------------------

CREATE TABLE batches (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    batch_id uuid NOT NULL,
    sha256 bytea NOT NULL,
    claim_count integer NOT NULL,
    row_count integer NOT NULL DEFAULT 0,
    receipt jsonb,
    commit_seq bigint,
    started_at timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    throughput_achieved numeric(12, 1),
    PRIMARY KEY (tenant_id, batch_id),
    CONSTRAINT batches_commit_seq UNIQUE (tenant_id, commit_seq)
);
COMMENT ON TABLE batches IS 'Ledger of load transactions: a batch id is loaded once, with one content.';
COMMENT ON COLUMN batches.commit_seq IS 'Order of commits within the tenant, from 1 without gaps: the history watermark.';
COMMENT ON COLUMN batches.throughput_achieved IS 'Claims a second from the batch''s first lease to its load.';

CREATE TABLE outbox (
    tenant_id text COLLATE "C" NOT NULL,
    outbox_id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    batch_id uuid NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    PRIMARY KEY (tenant_id, outbox_id)
);
CREATE INDEX outbox_unpublished ON outbox (tenant_id, outbox_id) WHERE published_at IS NULL;
COMMENT ON TABLE outbox IS 'What others have to be told, written in the transaction that it tells of.';

CREATE TABLE provenances (
    tenant_id text COLLATE "C" NOT NULL,
    provenance_id bigint NOT NULL,
    reference_release text NOT NULL,
    policy_version text NOT NULL,
    model_version text NOT NULL,
    engine_version text NOT NULL,
    stand_ins text[] NOT NULL,
    partial_rule_ids text[] NOT NULL,
    PRIMARY KEY (tenant_id, provenance_id)
);
COMMENT ON TABLE provenances IS 'The releases that results rest on, each set once; the watermark stands with the result.';

-- Claims. ---------------------------------------------------------------------------------------------------------

CREATE TABLE claim_keys (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    service_from_date date NOT NULL,
    content_sha256 bytea NOT NULL,
    batch_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, claim_id, claim_version)
);
COMMENT ON TABLE claim_keys IS
    'Not partitioned, so that a claim is unique whatever its date; other content under the same key is refused.';

CREATE TABLE claims (
    tenant_id text COLLATE "C" NOT NULL,
    service_from_date date NOT NULL,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    service_to_date date NOT NULL,
    admission_date date,
    discharge_date date,
    received_date date NOT NULL,
    total_charge_cents bigint NOT NULL,
    patient_paid_cents bigint NOT NULL,
    line_count smallint NOT NULL,
    priority smallint NOT NULL,
    batch_id uuid NOT NULL,
    content_sha256 bytea NOT NULL,
    patient_account_key bytea NOT NULL,
    member_key bytea NOT NULL,
    claim_type text COLLATE "C" NOT NULL,
    facility_id text COLLATE "C" NOT NULL,
    frequency_code text COLLATE "C" NOT NULL,
    line_of_business text COLLATE "C" NOT NULL,
    financial_class text NOT NULL,
    insurance_type text NOT NULL,
    insurance_plan_id text NOT NULL,
    payer_id text COLLATE "C" NOT NULL,
    place_of_service text COLLATE "C" NOT NULL,
    type_of_bill text COLLATE "C" NOT NULL,
    drg_code text COLLATE "C" NOT NULL,
    billing_provider_npi text COLLATE "C" NOT NULL,
    billing_provider_name text NOT NULL,
    rendering_provider_npi text COLLATE "C" NOT NULL,
    attending_provider_npi text COLLATE "C" NOT NULL,
    attending_provider_name text NOT NULL,
    primary_diagnosis_code text COLLATE "C" NOT NULL,
    diagnosis_codes text[] COLLATE "C" NOT NULL,
    payload_encrypted bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, service_from_date, claim_id, claim_version),
    CONSTRAINT valid_service_dates CHECK (service_from_date <= service_to_date),
    CONSTRAINT positive_charges CHECK (total_charge_cents BETWEEN 0 AND 999999999999999)
) PARTITION BY RANGE (service_from_date);
ALTER TABLE claims ALTER COLUMN payload_encrypted SET STORAGE EXTERNAL;
COMMENT ON TABLE claims IS 'Scored claims by month of service; patient data only inside payload_encrypted.';
COMMENT ON COLUMN claims.patient_account_key IS 'Keyed hash of the provider''s account number; it may repeat.';
COMMENT ON COLUMN claims.payload_encrypted IS
    'The serialized claimgate.v1.Claim, AES-256-GCM, bound to tenant, `claims.payload` and content_sha256, as in staging.';
COMMENT ON COLUMN claims.member_key IS 'Keyed hash of the member id.';
CREATE INDEX claims_member ON claims (tenant_id, member_key, service_from_date);
CREATE INDEX claims_facility_account ON claims (tenant_id, facility_id, patient_account_key);
-- A batch's claims lie side by side: a block range index finds them, and costs a load next to nothing.
CREATE INDEX claims_batch ON claims USING brin (tenant_id, batch_id);

CREATE TABLE claim_lines (
    tenant_id text COLLATE "C" NOT NULL,
    service_from_date date NOT NULL,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    line_number smallint NOT NULL,
    charge_cents bigint NOT NULL,
    allowed_cents bigint,
    payable_cents bigint,
    service_date date NOT NULL,
    service_to_date date NOT NULL,
    procedure_code text COLLATE "C" NOT NULL,
    modifier_codes text[] COLLATE "C" NOT NULL,
    revenue_code text COLLATE "C" NOT NULL,
    place_of_service text COLLATE "C" NOT NULL,
    diagnosis_pointers smallint[] NOT NULL,
    units numeric(12, 3) NOT NULL,
    unit_basis text COLLATE "C" NOT NULL,
    rendering_provider_npi text COLLATE "C" NOT NULL,
    rvu_total numeric(10, 4) NOT NULL,
    price_status text COLLATE "C" NOT NULL,
    disposition text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, service_from_date, claim_id, claim_version, line_number),
    CONSTRAINT positive_units CHECK (units > 0),
    CONSTRAINT positive_charge CHECK (charge_cents BETWEEN 0 AND 999999999999999)
) PARTITION BY RANGE (service_from_date);
COMMENT ON TABLE claim_lines IS 'Service lines, with the price and disposition of the claim''s first result.';
COMMENT ON COLUMN claim_lines.service_from_date IS 'The claim''s: partition of the claim and its lines are the same.';
COMMENT ON COLUMN claim_lines.service_date IS 'The line''s own first day.';
COMMENT ON COLUMN claim_lines.allowed_cents IS 'Expected reimbursement: the fee before edits; NULL where the line has no price.';
COMMENT ON COLUMN claim_lines.payable_cents IS 'The fee after edits.';
-- A revenue line without a procedure is not looked up by it.
CREATE INDEX claim_lines_procedure ON claim_lines (tenant_id, procedure_code, service_date) WHERE procedure_code <> '';

CREATE TABLE claim_results (
    tenant_id text COLLATE "C" NOT NULL,
    service_from_date date NOT NULL,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    result_no smallint NOT NULL,
    unpriced_lines smallint NOT NULL,
    exposure_cents bigint NOT NULL,
    provenance_id bigint NOT NULL,
    history_watermark bigint NOT NULL,
    allowed_cents bigint,
    batch_id uuid NOT NULL,
    decision text COLLATE "C" NOT NULL,
    risk_category text COLLATE "C" NOT NULL,
    ml_status text COLLATE "C" NOT NULL,
    exposure_basis text COLLATE "C" NOT NULL,
    fraud_score numeric(5, 4) NOT NULL,
    rule_score numeric(5, 4) NOT NULL,
    ml_prediction_score numeric(5, 4),
    degraded text[] NOT NULL,
    answer bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, service_from_date, claim_id, claim_version, result_no)
) PARTITION BY RANGE (service_from_date);
COMMENT ON TABLE claim_results IS 'What each claim was answered; a later scoring of the same claim appends a result_no.';
COMMENT ON COLUMN claim_results.allowed_cents IS 'Expected reimbursement; NULL where no line has a price.';
COMMENT ON COLUMN claim_results.answer IS 'The whole serialized claimgate.v1.ClaimResult; it holds no patient data.';

CREATE TABLE rule_hits (
    tenant_id text COLLATE "C" NOT NULL,
    service_from_date date NOT NULL,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    result_no smallint NOT NULL,
    hit_no smallint NOT NULL,
    exposure_cents bigint NOT NULL,
    suppressed boolean NOT NULL,
    rule_id text COLLATE "C" NOT NULL,
    variant text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    scope text COLLATE "C" NOT NULL,
    line_numbers smallint[] NOT NULL,
    codes text[] COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    certainty text COLLATE "C" NOT NULL,
    severity text COLLATE "C" NOT NULL,
    weight numeric(5, 4) NOT NULL,
    carc text COLLATE "C" NOT NULL,
    dataset_release text COLLATE "C" NOT NULL,
    evidence jsonb NOT NULL,
    PRIMARY KEY (tenant_id, service_from_date, claim_id, claim_version, result_no, hit_no)
) PARTITION BY RANGE (service_from_date);
COMMENT ON TABLE rule_hits IS 'The findings behind each result.';
CREATE INDEX rule_hits_rule ON rule_hits (tenant_id, rule_id, service_from_date);

-- Claims that failed. ---------------------------------------------------------------------------------------------

CREATE TABLE failed_claims (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    content_sha256 bytea NOT NULL,
    batch_id uuid NOT NULL,
    failure_category text NOT NULL,
    processing_stage text NOT NULL CHECK (processing_stage IN ('decode', 'score', 'load')),
    reasons jsonb NOT NULL,
    payload_encrypted bytea NOT NULL,
    attempts integer NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'assigned', 'resolved', 'resubmitted')),
    failed_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, claim_id, claim_version, content_sha256)
);
ALTER TABLE failed_claims ALTER COLUMN payload_encrypted SET STORAGE EXTERNAL;
COMMENT ON TABLE failed_claims IS 'Claims that could not be scored or stored, with every reason: none is dropped without a row here.';
COMMENT ON COLUMN failed_claims.reasons IS 'List of {field, code, message}; never a value of the claim.';
COMMENT ON COLUMN failed_claims.payload_encrypted IS 'The claim as submitted, sealed as in staging.';
CREATE INDEX failed_claims_open ON failed_claims (tenant_id, status, failed_at);

CREATE TABLE failed_claim_status_changes (
    tenant_id text COLLATE "C" NOT NULL,
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    content_sha256 bytea NOT NULL,
    from_status text,
    to_status text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (tenant_id, change_id)
);
COMMENT ON TABLE failed_claim_status_changes IS 'Every transition of every failed claim: written by a trigger, never changed.';

CREATE FUNCTION audit_failed_claim() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER failed_claims_audit AFTER INSERT OR UPDATE ON failed_claims
    FOR EACH ROW EXECUTE FUNCTION audit_failed_claim();

-- Tenants see their own rows only. --------------------------------------------------------------------------------

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['batches', 'outbox', 'provenances', 'claim_keys', 'claims', 'claim_lines',
        'claim_results', 'rule_hits', 'failed_claims', 'failed_claim_status_changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        -- The sub-select is evaluated once a statement, not once a row.
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', name);
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO claimgate_app;
GRANT SELECT, INSERT ON provenances, claim_keys, claims, claim_lines, claim_results, rule_hits,
    failed_claim_status_changes TO claimgate_app;
GRANT SELECT, INSERT, UPDATE ON batches, outbox, failed_claims TO claimgate_app;

-- Partitions. -----------------------------------------------------------------------------------------------------

-- Closed to everybody as a table of its own: rows are reached through the parent, whose grants and policy hold.
CREATE FUNCTION close_partition(partition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', partition);
END
$$;
REVOKE EXECUTE ON FUNCTION close_partition FROM PUBLIC;

DO $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['claims', 'claim_lines', 'claim_results', 'rule_hits'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', parent || '_default', parent);
        PERFORM close_partition(parent || '_default');
    END LOOP;
END
$$;

-- Makes the missing monthly partitions from the month of `first_day` to that of `last_day`; returns those it made.
-- A month whose rows lie in the default partition already stays there. Runs with the owner's rights, so that the
-- application can make months, and nothing else.
CREATE FUNCTION make_partitions(first_day date, last_day date) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent text;
    partition text;
    month date;
BEGIN
    IF last_day < first_day OR last_day > first_day + 3660 THEN
        RAISE EXCEPTION 'make_partitions(%, %): expected at most ten years, first day first', first_day, last_day;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('claimgate.make_partitions'));
    FOR month IN SELECT generate_series(date_trunc('month', first_day), last_day, interval '1 month')::date LOOP
        FOREACH parent IN ARRAY ARRAY['claims', 'claim_lines', 'claim_results', 'rule_hits'] LOOP
            partition := parent || to_char(month, '_YYYY_MM');
            CONTINUE WHEN to_regclass(partition) IS NOT NULL;
            BEGIN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    partition, parent, month, (month + interval '1 month')::date);
                PERFORM close_partition(partition);
                RETURN NEXT partition;
            EXCEPTION
                WHEN check_violation THEN
                    RAISE NOTICE 'rows of % are in the default partition of % and stay there', month, parent;
            END;
        END LOOP;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION make_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partitions TO claimgate_app;

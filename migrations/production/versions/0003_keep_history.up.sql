-- What later claims are judged by: earlier claims of a member, and what billers billed by month.
-- Runs before the code that uses it. Claims that were loaded before are not in the history.

CREATE TABLE claim_history (
    tenant_id text COLLATE "C" NOT NULL,
    member_key bytea NOT NULL,
    service_to_date date NOT NULL,
    claim_id text COLLATE "C" NOT NULL,
    claim_version integer NOT NULL,
    batch_id uuid NOT NULL,
    service_from_date date NOT NULL,
    billing_npi bigint NOT NULL,
    billing_taxonomy bigint NOT NULL,
    line_count integer NOT NULL,
    distinct_lines integer NOT NULL,
    takes_the_place boolean NOT NULL,
    format smallint NOT NULL,
    facts bytea NOT NULL,
    lines bytea NOT NULL,
    PRIMARY KEY (tenant_id, member_key, service_to_date, claim_id, claim_version)
);
COMMENT ON TABLE claim_history IS
    'Committed claims as the rules of later claims read them: one scan of the key finds all of a pass''s members.';
COMMENT ON COLUMN claim_history.member_key IS 'Keyed hash of the member id, as in claims.';
COMMENT ON COLUMN claim_history.batch_id IS 'Its commit_seq in batches says from which watermark on the claim is seen.';
COMMENT ON COLUMN claim_history.distinct_lines IS 'Lines with 59 or an X modifier.';
COMMENT ON COLUMN claim_history.takes_the_place IS
    'Replaces (frequency 7) or voids (8) another claim, or is a later version: read whatever its date.';
COMMENT ON COLUMN claim_history.facts IS 'The claim as a record of fixed width: engine/history_records.py, by format.';
COMMENT ON COLUMN claim_history.lines IS 'Its lines as such records, one after the other; they hold codes and no patient data.';
-- A correction of a date may lie outside the days that are looked at, what it corrects within them.
CREATE INDEX claim_history_takes_the_place ON claim_history (tenant_id, member_key) WHERE takes_the_place;

CREATE TABLE provider_months (
    tenant_id text COLLATE "C" NOT NULL,
    billing_npi bigint NOT NULL,
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    commit_seq bigint NOT NULL,
    taxonomy bigint NOT NULL,
    claims bigint NOT NULL,
    lines bigint NOT NULL,
    distinct_lines bigint NOT NULL,
    PRIMARY KEY (tenant_id, billing_npi, month, commit_seq)
);
COMMENT ON TABLE provider_months IS
    'What a biller had billed for a month of service, all in all, after each commit that added to it; never changed.';
COMMENT ON COLUMN provider_months.taxonomy IS 'The biller''s taxonomy on the last claim, as an integer of engine.codes; 0 none.';

CREATE TABLE peer_rates (
    tenant_id text COLLATE "C" NOT NULL,
    taxonomy bigint NOT NULL,
    commit_seq bigint NOT NULL,
    distinct_p95_e4 integer NOT NULL CHECK (distinct_p95_e4 BETWEEN 0 AND 10000),
    billers integer NOT NULL CHECK (billers > 0),
    PRIMARY KEY (tenant_id, taxonomy, commit_seq)
);
COMMENT ON TABLE peer_rates IS
    'How often billers of a taxonomy use 59 and the X modifiers, from a commit until the next one that says so.';
COMMENT ON COLUMN peer_rates.distinct_p95_e4 IS 'Share of lines that 95 of 100 billers stay below, in ten-thousandths.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['claim_history', 'provider_months', 'peer_rates'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON claim_history, provider_months, peer_rates TO claimgate_app;

ALTER TABLE batches ADD COLUMN content text COLLATE "C" NOT NULL DEFAULT 'claims';
COMMENT ON COLUMN batches.content IS 'What was loaded: claims, peer_rates, or a table of member data.';

ALTER TABLE provenances ADD COLUMN not_evaluated jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN provenances.not_evaluated IS
    'Rules that could judge no claim, by reason, such as a table that was not loaded: [{reason, rule_ids}].';

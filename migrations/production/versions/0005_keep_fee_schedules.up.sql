-- What a tenant pays by its own fee schedule. Each load is a version of the whole; a row holds from the version that
-- brought it (from_version) until the one that ended it (to_version), so that every version can be read again.
-- Fields are those of the listing contract_rates: ids are integers of engine.words, codes integers of engine.codes,
-- choices their places in engine.tables.listings, 0 for any.

CREATE TABLE fee_schedules (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    version bigint NOT NULL CHECK (version > 0),
    stamp text COLLATE "C" NOT NULL,
    sha256 bytea NOT NULL,
    rows bigint NOT NULL,
    added bigint NOT NULL,
    ended bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, version)
);
COMMENT ON TABLE fee_schedules IS 'Versions of a tenant''s fee schedule; the highest is in use.';
COMMENT ON COLUMN fee_schedules.stamp IS
    'Drawn by lot at the load: part of cache keys, so that a restored database never meets entries of another past.';

CREATE TABLE fee_rates (
    tenant_id text COLLATE "C" NOT NULL,
    code bigint NOT NULL,
    contract bigint NOT NULL,
    plan bigint NOT NULL,
    billing_npi bigint NOT NULL,
    billing_tin bigint NOT NULL,
    modifier smallint NOT NULL,
    setting smallint NOT NULL,
    rate_kind smallint NOT NULL,
    rate bigint NOT NULL CHECK (rate >= 0),
    net boolean NOT NULL,
    effective date NOT NULL,
    deletion date,
    from_version bigint NOT NULL,
    to_version bigint,
    PRIMARY KEY (tenant_id, code, contract, plan, billing_npi, billing_tin, modifier, setting, effective, from_version)
);
COMMENT ON TABLE fee_rates IS 'Rates of a tenant for single procedure codes; both days are included.';
COMMENT ON COLUMN fee_rates.rate IS 'Dollars or a share, in ten-thousandths.';
COMMENT ON COLUMN fee_rates.effective IS 'First day; -infinity for open, since it is part of the key.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['fee_schedules', 'fee_rates'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO claimgate_app', name);
    END LOOP;
    -- A row is ended, never changed otherwise or deleted.
    GRANT UPDATE (to_version) ON fee_rates TO claimgate_app;
END
$$;

ALTER TABLE provenances ADD COLUMN fee_schedule_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN provenances.fee_schedule_version IS 'Version of the tenant''s own fee schedule; 0 for none.';

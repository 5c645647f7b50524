-- Who works on the claims of a tenant: a loader says in one row that it lives, whatever number of claims it holds.
-- Runs before the code that uses it.

CREATE TABLE loaders (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    owner text COLLATE "C" NOT NULL,
    alive_until timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, owner)
);
COMMENT ON TABLE loaders IS 'Loaders under way; the leases of one that lives hold on, those of one that does not run out.';
COMMENT ON COLUMN loaders.owner IS 'The lease_owner of the claims that it holds.';
COMMENT ON COLUMN loaders.alive_until IS 'Until when it is believed to live; it says so anew long before.';

ALTER TABLE loaders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON loaders USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE (alive_until), DELETE ON loaders TO claimgate_app;

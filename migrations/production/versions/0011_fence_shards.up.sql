-- A move of a shard shuts its databases, tenant by tenant, while rows are copied: who still writes is refused, whatever
-- version it runs and whatever directory of shards it has read. Runs before the code that uses it.

CREATE TABLE shard_fences (
    tenant_id text COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(tenant_id) BETWEEN 1 AND 64),
    state text COLLATE "C" NOT NULL
        CHECK (state IN ('receiving', 'draining', 'closed', 'verified', 'moved', 'open')),
    source text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE shard_fences IS 'Where a move of this shard stands; no row means that it was never moved, and is open.';
COMMENT ON COLUMN shard_fences.state IS
    'At the source: draining (no new claims, no new leases), closed (no writes), verified (the copy is equal), moved. '
    'At the target: receiving (no writes but the move''s), then open.';
COMMENT ON COLUMN shard_fences.source IS 'Shard that is moved.';
COMMENT ON COLUMN shard_fences.target IS 'Shard that it is moved to.';
ALTER TABLE shard_fences ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON shard_fences USING (tenant_id = (SELECT current_tenant()));
-- Only the owner of the tables moves shards.
GRANT SELECT ON shard_fences TO claimgate_app;

-- The fence of the transaction's tenant, read under a lock that is shared with all writers: who shuts the fence takes it
-- alone, and so waits for the transactions that were let through.
CREATE FUNCTION held_shard_fence() RETURNS shard_fences LANGUAGE plpgsql AS $$
DECLARE
    fence shard_fences;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('claimgate.shard|' || current_tenant(), 0));
    SELECT * INTO fence FROM shard_fences WHERE tenant_id = current_tenant();
    RETURN fence;
END
$$;

CREATE FUNCTION refuse_by_fence(fence shard_fences) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CG001', MESSAGE = CASE fence.state
        WHEN 'moved' THEN format('shard %s was moved to %s; read the directory of shards again', fence.source,
            fence.target)
        ELSE format('shard %s is being moved to %s (%s); come again when the move is done', fence.source, fence.target,
            fence.state) END;
END
$$;

-- With an argument also what begins something new is refused, and not only what ends something.
CREATE FUNCTION check_shard_fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fence shard_fences := held_shard_fence();
BEGIN
    IF fence.state <> 'open' AND (fence.state <> 'draining' OR TG_NARGS > 0) THEN
        PERFORM refuse_by_fence(fence);
    END IF;
    RETURN NULL;
END
$$;

-- For each table of tenants, those of later migrations too.
CREATE FUNCTION fence_table(name text, VARIADIC arguments text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE ON %I '
        'FOR EACH STATEMENT EXECUTE FUNCTION check_shard_fence(%s)', name || '_fence', name,
        (SELECT string_agg(quote_literal(argument), ', ') FROM unnest(arguments) AS argument));
END
$$;
REVOKE EXECUTE ON FUNCTION fence_table FROM PUBLIC;

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND NOT relispartition AND relrowsecurity AND relname NOT IN ('shard_fences')
    LOOP
        PERFORM fence_table(name);
    END LOOP;
END
$$;

DO $$
DECLARE
    trigger record;
BEGIN
    FOR trigger IN
        SELECT t.tgname, c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE t.tgfoid = 'check_shard_fence'::regproc AND NOT c.relispartition AND t.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %I', trigger.tgname, trigger.relname);
    END LOOP;
END
$$;
DROP TRIGGER claim_states_fence_leases ON claim_states;
DROP FUNCTION check_shard_leases;
DROP FUNCTION fence_table, check_shard_fence, refuse_by_fence, held_shard_fence;
DROP TABLE shard_fences;

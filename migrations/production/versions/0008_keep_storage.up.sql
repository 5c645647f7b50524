-- Years of claims: archives of months, summaries, retention and legal holds. Runs before the code that uses it.

-- The operator. ---------------------------------------------------------------------------------------------------

-- The owner of the tables is held to one tenant as everybody is, unless a session of his says that it acts for all.
CREATE FUNCTION acts_for_all_tenants() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('claimgate.all_tenants', true) = 'on', false);

-- As before, and reached by the operator too.
CREATE OR REPLACE FUNCTION close_partition(partition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = (SELECT current_tenant()))', partition);
    EXECUTE format('CREATE POLICY operator ON %I TO CURRENT_USER USING ((SELECT acts_for_all_tenants()))', partition);
END
$$;

-- Summaries. ------------------------------------------------------------------------------------------------------

-- Tables, not materialized views: those know no row-level security.
CREATE TABLE daily_claim_summary (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    service_date date NOT NULL,
    facility_id text COLLATE "C" NOT NULL,
    line_of_business text COLLATE "C" NOT NULL,
    decision text COLLATE "C" NOT NULL,
    claims bigint NOT NULL,
    lines bigint NOT NULL,
    charged_cents bigint NOT NULL,
    allowed_cents bigint NOT NULL,
    unpriced_claims bigint NOT NULL,
    exposure_cents bigint NOT NULL,
    PRIMARY KEY (tenant_id, service_date, facility_id, line_of_business, decision)
);
COMMENT ON TABLE daily_claim_summary IS
    'Claims by the first day of service, as first answered, up to the commit that summary_watermarks names.';
COMMENT ON COLUMN daily_claim_summary.allowed_cents IS 'Of the claims that have a price; unpriced_claims have none.';

CREATE TABLE rule_month_summary (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    rule_id text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    shadow boolean NOT NULL,
    hits bigint NOT NULL,
    claims bigint NOT NULL,
    exposure_cents bigint NOT NULL,
    PRIMARY KEY (tenant_id, month, rule_id, action, shadow)
);
COMMENT ON TABLE rule_month_summary IS
    'Hits by month of service, as first answered, without suppressed ones, up to the commit of summary_watermarks.';
COMMENT ON COLUMN rule_month_summary.shadow IS 'The policy only tried the rule out.';

CREATE TABLE summary_watermarks (
    tenant_id text COLLATE "C" PRIMARY KEY CHECK (length(tenant_id) BETWEEN 1 AND 64),
    commit_seq bigint NOT NULL,
    refreshed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE summary_watermarks IS 'Up to which commit the summaries count; changed in the transaction that adds.';

-- Retention. ------------------------------------------------------------------------------------------------------

CREATE TABLE retention_policies (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('claims', 'history')),
    action text COLLATE "C" NOT NULL CHECK (action IN ('keep', 'archive', 'delete')),
    keep_months integer NOT NULL CHECK (keep_months BETWEEN 1 AND 1200),
    reason text NOT NULL CHECK (reason <> ''),
    set_by text NOT NULL DEFAULT session_user,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind),
    CONSTRAINT six_years_before_deletion CHECK (action <> 'delete' OR keep_months >= 72),
    CONSTRAINT history_is_not_archived CHECK (kind <> 'history' OR action <> 'archive')
);
COMMENT ON TABLE retention_policies IS
    'What becomes of a tenant''s data, and when; without a row claims are archived after 36 months, history stays.';
COMMENT ON COLUMN retention_policies.keep_months IS 'Whole months after the end of the month of service.';

CREATE TABLE legal_holds (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    hold_id bigint GENERATED ALWAYS AS IDENTITY,
    scope text COLLATE "C" NOT NULL CHECK (scope IN ('tenant', 'claim', 'member', 'provider', 'facility')),
    value text COLLATE "C" NOT NULL DEFAULT '',
    member_key bytea,
    reason text NOT NULL CHECK (reason <> ''),
    placed_by text NOT NULL CHECK (placed_by <> ''),
    since timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz,
    PRIMARY KEY (tenant_id, hold_id),
    CONSTRAINT names_what_it_holds CHECK (
        (scope IN ('claim', 'provider', 'facility')) = (value <> '') AND (scope = 'member') = (member_key IS NOT NULL)),
    CONSTRAINT released_by_somebody CHECK ((released_at IS NULL) = (released_by IS NULL))
);
COMMENT ON TABLE legal_holds IS 'What retention must not touch, until it is released; a row is never deleted.';
COMMENT ON COLUMN legal_holds.value IS 'Claim id, NPI or facility id, by scope; a member stands as member_key.';

CREATE FUNCTION is_held(c claims) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM legal_holds AS h WHERE h.tenant_id = c.tenant_id AND h.released_at IS NULL AND CASE h.scope
        WHEN 'tenant' THEN true
        WHEN 'claim' THEN h.value = c.claim_id
        WHEN 'member' THEN h.member_key = c.member_key
        WHEN 'facility' THEN h.value = c.facility_id
        ELSE h.value IN (c.billing_provider_npi, c.rendering_provider_npi, c.attending_provider_npi)
            OR EXISTS (SELECT FROM claim_lines AS l WHERE l.tenant_id = c.tenant_id
                AND l.service_from_date = c.service_from_date AND l.claim_id = c.claim_id
                AND l.claim_version = c.claim_version AND l.rendering_provider_npi = h.value) END)
$$;
COMMENT ON FUNCTION is_held IS 'Tells whether a legal hold in force names the claim, its member, facility or a provider.';

CREATE TABLE retention_actions (
    tenant_id text COLLATE "C" NOT NULL,
    action_id bigint GENERATED ALWAYS AS IDENTITY,
    run_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    month date NOT NULL,
    action text COLLATE "C" NOT NULL,
    keep_months integer NOT NULL,
    claims bigint NOT NULL,
    rows bigint NOT NULL,
    held bigint NOT NULL,
    archive_part integer,
    done_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_by text NOT NULL DEFAULT session_user,
    PRIMARY KEY (tenant_id, action_id)
);
COMMENT ON TABLE retention_actions IS
    'What retention did, one row for each transaction, written in it; also what a hold kept back.';
COMMENT ON COLUMN retention_actions.held IS 'Claims that a legal hold kept back at that time.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was done stays written', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER retention_actions_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON retention_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER legal_holds_stay BEFORE DELETE OR TRUNCATE ON legal_holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Row-level security. ---------------------------------------------------------------------------------------------

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['daily_claim_summary', 'rule_month_summary', 'summary_watermarks',
        'retention_policies', 'legal_holds', 'retention_actions'] LOOP
        PERFORM close_partition(name);
    END LOOP;
    FOR name IN
        SELECT unnest(ARRAY['batches', 'claim_keys', 'claims', 'claim_lines', 'claim_results', 'rule_hits',
            'claim_history'])
        UNION ALL
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('claims'::regclass, 'claim_lines'::regclass, 'claim_results'::regclass,
            'rule_hits'::regclass) AND c.relkind = 'r' LOOP
        EXECUTE format(
            'CREATE POLICY operator ON %I TO CURRENT_USER USING ((SELECT acts_for_all_tenants()))', name);
    END LOOP;
END
$$;
GRANT SELECT ON daily_claim_summary, rule_month_summary, summary_watermarks TO claimgate_app;

-- Indexes for analysts and auditors. -------------------------------------------------------------------------------

-- Each says which query it serves; tests/loader/storage/test_indexes.py fails when that query does not use it. On what
-- is loaded there are block range indexes alone: rows come in the order of time, and a load does next to nothing for
-- them. What costs more stands on summaries, which no load touches.
CREATE INDEX claims_loaded ON claims USING brin (tenant_id, created_at) WITH (autosummarize = on);
COMMENT ON INDEX claims_loaded IS 'What came in between two moments: '
    'SELECT count(*), sum(total_charge_cents) FROM claims WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3';

COMMENT ON INDEX claims_batch IS 'What a refresh of the summaries counts: '
    'SELECT claim_id FROM claims WHERE tenant_id = $1 AND batch_id = ANY ($2::uuid[])';

CREATE INDEX claim_results_given ON claim_results USING brin (tenant_id, created_at) WITH (autosummarize = on);
COMMENT ON INDEX claim_results_given IS 'What was decided between two moments: '
    'SELECT decision, count(*), sum(exposure_cents) FROM claim_results '
    'WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3 GROUP BY decision';

CREATE INDEX claim_history_served ON claim_history USING brin (tenant_id, service_to_date) WITH (autosummarize = on);
COMMENT ON INDEX claim_history_served IS 'What retention deletes of a month: '
    'SELECT ctid FROM claim_history WHERE tenant_id = $1 AND service_to_date >= $2 AND service_to_date < $3';

CREATE INDEX daily_claim_summary_facility ON daily_claim_summary (tenant_id, facility_id, service_date)
    INCLUDE (claims, charged_cents, allowed_cents, exposure_cents);
COMMENT ON INDEX daily_claim_summary_facility IS 'A facility over time: '
    'SELECT service_date, sum(claims), sum(charged_cents), sum(allowed_cents), sum(exposure_cents) '
    'FROM daily_claim_summary WHERE tenant_id = $1 AND facility_id = $2 AND service_date >= $3 GROUP BY service_date';

CREATE INDEX rule_month_summary_rule ON rule_month_summary (tenant_id, rule_id, month)
    INCLUDE (hits, claims, exposure_cents);
COMMENT ON INDEX rule_month_summary_rule IS 'A rule over time: '
    'SELECT month, sum(hits), sum(claims), sum(exposure_cents) FROM rule_month_summary '
    'WHERE tenant_id = $1 AND rule_id = $2 GROUP BY month';

-- Months that are on their way out or back. -----------------------------------------------------------------------

-- Open to the owner alone.
CREATE SCHEMA storage;

CREATE TABLE storage.archives (
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    part integer NOT NULL CHECK (part > 0),
    tenant_id text COLLATE "C",
    state text COLLATE "C" NOT NULL CHECK (state IN ('moving', 'detached', 'archived', 'loading', 'restored')),
    folder text NOT NULL,
    archive_id uuid NOT NULL DEFAULT gen_random_uuid(),
    manifest_sha256 text COLLATE "C",
    claims bigint,
    rows bigint,
    started_at timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz,
    restored_at timestamptz,
    started_by text NOT NULL DEFAULT session_user,
    PRIMARY KEY (month, part)
);
CREATE UNIQUE INDEX archives_under_way ON storage.archives (month) WHERE state IN ('moving', 'detached', 'loading');
COMMENT ON TABLE storage.archives IS
    'Parts of months outside the tables of claims. moving and detached: their rows are tables of this schema; archived: '
    'files; loading: files, and tables that are being made of them; restored: back.';
COMMENT ON COLUMN storage.archives.archive_id IS 'Stands in the manifest: files of another database are never replaced.';
COMMENT ON COLUMN storage.archives.tenant_id IS 'Whose claims the part holds; NULL for all of the month.';

CREATE FUNCTION storage.parents() RETURNS text[] LANGUAGE sql IMMUTABLE
    RETURN ARRAY['claims', 'claim_lines', 'claim_results', 'rule_hits'];

CREATE FUNCTION storage.partition_name(parent text, month date) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN parent || '_' || lpad(extract(year FROM month)::text, 4, '0') || '_'
        || lpad(extract(month FROM month)::text, 2, '0');

CREATE FUNCTION storage.staged_name(parent text, month date, part integer) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN storage.partition_name(parent, month) || '_p' || part;

CREATE FUNCTION storage.columns_of(relation text) RETURNS text LANGUAGE sql STABLE
    RETURN (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = relation::regclass AND attnum > 0 AND NOT attisdropped);

-- While it is held nobody reads or writes claims. The first lock is waited for while nothing is held, the others for
-- less than deadlock_timeout: so no load ever dies of it. What is left to wait for then is a vacuum, which gives way.
CREATE FUNCTION storage.lock_parents() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL lock_timeout = '3s';
    LOCK TABLE ONLY claims IN ACCESS EXCLUSIVE MODE;
    SET LOCAL lock_timeout = '400ms';
    LOCK TABLE ONLY claim_lines, ONLY claim_results, ONLY rule_hits IN ACCESS EXCLUSIVE MODE;
    SET LOCAL lock_timeout = '3s';
END
$$;

CREATE FUNCTION storage.rows_in_default(month date) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    found bigint;
    total bigint := 0;
BEGIN
    FOREACH parent IN ARRAY storage.parents() LOOP
        EXECUTE format('SELECT count(*) FROM %I WHERE service_from_date >= $1 AND service_from_date < $2',
            parent || '_default') INTO found USING month, (month + interval '1 month')::date;
        total := total + found;
    END LOOP;
    RETURN total;
END
$$;

-- Takes the rows of a month out of the default partitions into monthly ones; returns how many.
CREATE FUNCTION storage.adopt_month(month date) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    partition text;
    next date := (month + interval '1 month')::date;
    moved bigint;
    total bigint := 0;
BEGIN
    FOREACH parent IN ARRAY storage.parents() LOOP
        partition := storage.partition_name(parent, month);
        CONTINUE WHEN to_regclass('public.' || partition) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition, parent);
        EXECUTE format('WITH moved AS (DELETE FROM %1$I WHERE service_from_date >= $1 AND service_from_date < $2 '
            'RETURNING %2$s) INSERT INTO %3$I (%2$s) SELECT %2$s FROM moved',
            parent || '_default', storage.columns_of(parent), partition) USING month, next;
        GET DIAGNOSTICS moved = ROW_COUNT;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, partition, month, next);
        PERFORM close_partition(partition);
        total := total + moved;
    END LOOP;
    RETURN total;
END
$$;

-- Makes the tables of a part: a name that the four have in common, without policies, in a schema of the owner's.
CREATE FUNCTION storage.make_staged(month date, part integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY storage.parents() LOOP
        EXECUTE format('DROP TABLE IF EXISTS storage.%I', storage.staged_name(parent, month, part));
        EXECUTE format('CREATE TABLE storage.%I (LIKE public.%I INCLUDING ALL)',
            storage.staged_name(parent, month, part), parent);
    END LOOP;
END
$$;

CREATE FUNCTION storage.drop_staged(month date, part integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY storage.parents() LOOP
        EXECUTE format('DROP TABLE storage.%I', storage.staged_name(parent, month, part));
    END LOOP;
END
$$;

-- Takes a whole month out of the tables of claims, all four at once; returns the number of the part. The default
-- partitions rule out DETACH CONCURRENTLY, which could not do it in one transaction either.
CREATE FUNCTION storage.detach_month(month date, folder text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    partition text;
    staged text;
    part integer := 1 + coalesce((SELECT max(a.part) FROM storage.archives AS a WHERE a.month = $1), 0);
BEGIN
    IF storage.rows_in_default(month) > 0 THEN
        RAISE EXCEPTION 'rows of % are in the default partitions; take them over first', month
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOREACH parent IN ARRAY storage.parents() LOOP
        partition := storage.partition_name(parent, month);
        staged := storage.staged_name(parent, month, part);
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, partition);
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', partition);
        EXECUTE format('ALTER TABLE %I SET SCHEMA storage', partition);
        EXECUTE format('ALTER TABLE storage.%I RENAME TO %I', partition, staged);
    END LOOP;
    INSERT INTO storage.archives (month, part, state, folder) VALUES (month, part, 'detached', folder);
    RETURN part;
END
$$;

-- Has every row of a part checked against its month, so that attaching it need not read it again under a lock.
CREATE FUNCTION storage.constrain(month date, part integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
BEGIN
    FOREACH parent IN ARRAY storage.parents() LOOP
        EXECUTE format('ALTER TABLE storage.%1$I DROP CONSTRAINT IF EXISTS of_one_month, ADD CONSTRAINT of_one_month '
            'CHECK (service_from_date >= %2$L AND service_from_date < %3$L)',
            storage.staged_name(parent, month, part), month, (month + interval '1 month')::date);
    END LOOP;
END
$$;

-- Puts the rows of a part back: as the partition, or into the one that late claims have made meanwhile.
CREATE FUNCTION storage.attach_month(month date, part integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    partition text;
    staged text;
    columns text;
    policy text;
    next date := (month + interval '1 month')::date;
BEGIN
    FOREACH parent IN ARRAY storage.parents() LOOP
        partition := storage.partition_name(parent, month);
        staged := storage.staged_name(parent, month, part);
        columns := storage.columns_of(parent);
        IF to_regclass('public.' || partition) IS NOT NULL THEN
            EXECUTE format('INSERT INTO public.%1$I (%2$s) SELECT %2$s FROM storage.%3$I', partition, columns, staged);
            EXECUTE format('DROP TABLE storage.%I', staged);
            CONTINUE;
        END IF;
        EXECUTE format('WITH late AS (DELETE FROM public.%1$I WHERE service_from_date >= $1 AND service_from_date < $2 '
            'RETURNING %2$s) INSERT INTO storage.%3$I (%2$s) SELECT %2$s FROM late',
            parent || '_default', columns, staged) USING month, next;
        EXECUTE format('ALTER TABLE storage.%I RENAME TO %I', staged, partition);
        EXECUTE format('ALTER TABLE storage.%I SET SCHEMA public', partition);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, partition, month, next);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT of_one_month', partition);
        -- What was detached has those of its former life.
        FOR policy IN SELECT polname FROM pg_policy WHERE polrelid = partition::regclass LOOP
            EXECUTE format('DROP POLICY %I ON %I', policy, partition);
        END LOOP;
        PERFORM close_partition(partition);
    END LOOP;
    UPDATE storage.archives AS a SET state = 'restored', restored_at = clock_timestamp()
    WHERE a.month = attach_month.month AND a.part = attach_month.part;
END
$$;

-- Retention by tenant. --------------------------------------------------------------------------------------------

-- A hold that is being placed waits for the step that is under way, and the next one sees it.
CREATE FUNCTION storage.lock_holds(tenant text) RETURNS void LANGUAGE sql
    BEGIN ATOMIC SELECT pg_advisory_xact_lock(hashtextextended('claimgate.legal_holds|' || tenant, 0)); END;

-- Takes at most `most` claims of a tenant that no hold names out of a month, with their lines, results and hits: into
-- the tables of a part, or away where part is NULL. Returns how many claims and how many rows in all.
CREATE FUNCTION storage.take_claims(
    tenant text, month date, part integer, most integer, OUT claims bigint, OUT rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    taken bigint;
    chosen CONSTANT text :=
        'DELETE FROM public.%1$I AS t USING taking AS k WHERE t.tenant_id = $1 AND t.service_from_date = '
        'k.service_from_date AND t.claim_id = k.claim_id AND t.claim_version = k.claim_version';
BEGIN
    PERFORM storage.lock_holds(tenant);
    CREATE TEMPORARY TABLE taking ON COMMIT DROP AS
        SELECT c.service_from_date, c.claim_id, c.claim_version FROM public.claims AS c
        WHERE c.tenant_id = tenant AND c.service_from_date >= month
            AND c.service_from_date < (month + interval '1 month')::date
            AND NOT is_held(c)
            -- What is not in the summaries yet stays until it is.
            AND (SELECT b.commit_seq FROM public.batches AS b WHERE b.tenant_id = tenant AND b.batch_id = c.batch_id)
                <= (SELECT w.commit_seq FROM summary_watermarks AS w WHERE w.tenant_id = tenant)
        LIMIT most;
    ANALYZE taking;
    rows := 0;
    -- Claims last: what is left of a claim is always found by it.
    FOREACH parent IN ARRAY ARRAY['rule_hits', 'claim_results', 'claim_lines', 'claims'] LOOP
        IF part IS NULL THEN
            EXECUTE format(chosen, parent) USING tenant;
        ELSE
            EXECUTE format('WITH taken AS (' || chosen || ' RETURNING t.*) INSERT INTO storage.%2$I (%3$s) '
                'SELECT %3$s FROM taken', parent, storage.staged_name(parent, month, part), storage.columns_of(parent))
                USING tenant;
        END IF;
        GET DIAGNOSTICS taken = ROW_COUNT;
        rows := rows + taken;
    END LOOP;
    claims := taken;
END
$$;
-- Counts a tenant's claims, and all its rows, in the tables of a part.
CREATE FUNCTION storage.count_part(tenant text, month date, part integer, OUT claims bigint, OUT rows bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    found bigint;
BEGIN
    rows := 0;
    FOREACH parent IN ARRAY storage.parents() LOOP
        EXECUTE format('SELECT count(*) FROM storage.%I WHERE tenant_id = $1', storage.staged_name(parent, month, part))
            INTO found USING tenant;
        rows := rows + found;
        claims := coalesce(claims, found);
    END LOOP;
END
$$;

-- A row of the history does not say all that a hold may name: while the tenant has a hold on a facility or a provider,
-- all of its history is held.
CREATE FUNCTION storage.is_held(h claim_history) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM public.legal_holds AS l WHERE l.tenant_id = h.tenant_id AND l.released_at IS NULL
        AND CASE l.scope WHEN 'claim' THEN l.value = h.claim_id WHEN 'member' THEN l.member_key = h.member_key
            ELSE true END)
$$;

-- Deletes at most `most` rows of a month from a tenant's history that no hold names; returns how many.
CREATE FUNCTION storage.delete_history(tenant text, month date, most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    deleted bigint;
BEGIN
    PERFORM storage.lock_holds(tenant);
    DELETE FROM public.claim_history WHERE tenant_id = tenant AND ctid = ANY (ARRAY(
        SELECT h.ctid FROM public.claim_history AS h
        WHERE h.tenant_id = tenant AND h.service_to_date >= month
            AND h.service_to_date < (month + interval '1 month')::date AND NOT storage.is_held(h)
        LIMIT most));
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA storage FROM PUBLIC;

-- Retention of two more kinds: failed claims that came to an end, with payload, repairs and notes, and claims of staging
-- that production has. Runs before the code that uses it.

ALTER TABLE retention_policies
    DROP CONSTRAINT retention_policies_kind_check,
    ADD CONSTRAINT retention_policies_kind_check CHECK (kind IN ('claims', 'history', 'failed', 'staging')),
    DROP CONSTRAINT six_years_before_deletion,
    ADD CONSTRAINT six_years_before_deletion CHECK (action <> 'delete' OR keep_months >= 72 OR kind = 'staging'),
    DROP CONSTRAINT history_is_not_archived,
    ADD CONSTRAINT only_claims_are_archived CHECK (kind = 'claims' OR action <> 'archive');
COMMENT ON COLUMN retention_policies.keep_months IS
    'Whole months after the end of the month of service; for failed and staging, of that in which the claim ended.';
COMMENT ON COLUMN retention_actions.held IS
    'Claims that a legal hold kept back at that time; of staging those that production has not.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['failed_claims', 'failed_claim_notes', 'claim_repairs'] LOOP
        EXECUTE format(
            'CREATE POLICY operator ON %I TO CURRENT_USER USING ((SELECT acts_for_all_tenants()))', name);
    END LOOP;
END
$$;

-- A failed claim says its member and its providers only under its seal: while the tenant has a hold on one, all of its
-- failed claims are held. So is one that could not be read, by a hold on a facility.
CREATE FUNCTION storage.is_held(f failed_claims) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM public.legal_holds AS l WHERE l.tenant_id = f.tenant_id AND l.released_at IS NULL
        AND CASE l.scope WHEN 'claim' THEN l.value = f.claim_id WHEN 'facility' THEN f.facility_id IN (l.value, '')
            ELSE true END)
$$;

-- Deletes at most `most` failed claims of a tenant that were resolved in a month (UTC) and that no hold names, with
-- their notes and repairs; returns how many claims, and rows of all three. One that is reopened meanwhile stays.
CREATE FUNCTION storage.delete_failed(
    tenant text, month date, most integer, OUT claims bigint, OUT rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    chosen bigint[];
    deleted bigint;
BEGIN
    PERFORM storage.lock_holds(tenant);
    chosen := ARRAY(SELECT f.failed_id FROM public.failed_claims AS f
        WHERE f.tenant_id = tenant AND f.status = 'resolved' AND f.resolved_at >= month::timestamp AT TIME ZONE 'UTC'
            AND f.resolved_at < (month + interval '1 month') AT TIME ZONE 'UTC' AND NOT storage.is_held(f)
        LIMIT most FOR UPDATE);
    DELETE FROM public.failed_claim_notes AS n WHERE n.tenant_id = tenant AND n.failed_id = ANY (chosen);
    GET DIAGNOSTICS rows = ROW_COUNT;
    DELETE FROM public.claim_repairs AS r WHERE r.tenant_id = tenant AND r.failed_id = ANY (chosen);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    rows := rows + deleted;
    DELETE FROM public.failed_claims AS f WHERE f.tenant_id = tenant AND f.failed_id = ANY (chosen);
    GET DIAGNOSTICS claims = ROW_COUNT;
    rows := rows + claims;
END
$$;
REVOKE EXECUTE ON FUNCTION storage.is_held(failed_claims), storage.delete_failed FROM PUBLIC;

-- Takes staging away. The role stays where another database of the server still uses it.

DROP TABLE intake_problems, claim_status_changes, claim_states, claims;
DROP FUNCTION audit_changed_states(), audit_new_states(), current_tenant();
REVOKE USAGE ON SCHEMA public FROM claimgate_app;

DO $$
BEGIN
    DROP ROLE claimgate_app;
EXCEPTION
    WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE NOTICE 'role claimgate_app is kept: %', SQLERRM;
END
$$;

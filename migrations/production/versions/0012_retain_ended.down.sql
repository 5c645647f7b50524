DROP FUNCTION storage.delete_failed, storage.is_held(failed_claims);
DROP POLICY operator ON failed_claims;
DROP POLICY operator ON failed_claim_notes;
DROP POLICY operator ON claim_repairs;
-- Code of before knows no such kinds; their policies are lost, nothing of them is deleted any longer.
ALTER TABLE retention_policies NO FORCE ROW LEVEL SECURITY;
DELETE FROM retention_policies WHERE kind IN ('failed', 'staging');
ALTER TABLE retention_policies
    FORCE ROW LEVEL SECURITY,
    DROP CONSTRAINT six_years_before_deletion,
    ADD CONSTRAINT six_years_before_deletion CHECK (action <> 'delete' OR keep_months >= 72),
    DROP CONSTRAINT only_claims_are_archived,
    ADD CONSTRAINT history_is_not_archived CHECK (kind <> 'history' OR action <> 'archive'),
    DROP CONSTRAINT retention_policies_kind_check,
    ADD CONSTRAINT retention_policies_kind_check CHECK (kind IN ('claims', 'history'));
COMMENT ON COLUMN retention_policies.keep_months IS 'Whole months after the end of the month of service.';
COMMENT ON COLUMN retention_actions.held IS 'Claims that a legal hold kept back at that time.';

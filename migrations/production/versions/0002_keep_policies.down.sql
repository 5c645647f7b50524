-- Takes policies and their changelog away, and the mark of hits that only try a rule out.

ALTER TABLE rule_hits DROP COLUMN shadow;
DROP TABLE policy_changes, policies;
DROP FUNCTION record_policy_change();

-- Each of these took its share of every load, row by row, and no query of ours reads them; a member's claims are found
-- by the key of claim_history. docs/decisions/0022-what-a-load-costs.md, docs/operating.md: whoever looks around in
-- months that are closed makes the same indexes there, at once for all rows.
DROP INDEX claims_member;
DROP INDEX claim_lines_procedure;
DROP INDEX rule_hits_rule;

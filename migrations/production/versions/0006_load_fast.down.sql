CREATE INDEX rule_hits_rule ON rule_hits (tenant_id, rule_id, service_from_date);
CREATE INDEX claim_lines_procedure ON claim_lines (tenant_id, procedure_code, service_date) WHERE procedure_code <> '';
CREATE INDEX claims_member ON claims (tenant_id, member_key, service_from_date);

-- Back to 0003. What was on file is lost.
DROP TABLE member_documents, member_coverages, member_authorizations, member_accumulators, member_eligibility,
    member_tables;

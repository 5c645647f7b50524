DROP PUBLICATION claimgate_results;
DROP INDEX claim_results_batch;

-- Back to 0004. Every fee schedule is lost, and which of them an answer rested on.
ALTER TABLE provenances DROP COLUMN fee_schedule_version;
DROP TABLE fee_rates, fee_schedules;

-- Loaders no longer say that they live: their leases run out by themselves.

DROP TABLE loaders;

-- From version 1 of the journal to 2: a time is found by the seq, and a peer together with a service.

DROP INDEX fact_by_time;
DROP INDEX fact_by_address;
CREATE INDEX fact_by_peer ON fact (address, service);
CREATE INDEX fact_misdated ON fact (seq) WHERE abs(seq - time / 1000) > 1000000;

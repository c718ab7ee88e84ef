-- The journal, version 1. One row for each fact, with the columns of `netsvc.facts` under their own names, so
-- that any tool for SQLite can read it.

CREATE TABLE fact (
    -- Rises from fact to fact, also across restarts; microseconds since the epoch, or a little more.
    seq        INTEGER PRIMARY KEY,
    -- Nanoseconds since the epoch.
    time       INTEGER NOT NULL,
    -- opened, received, sent, closed, refused
    kind       TEXT NOT NULL,
    service    TEXT NOT NULL,
    listener   TEXT NOT NULL,
    transport  TEXT NOT NULL,
    address    TEXT NOT NULL,
    port       INTEGER,
    local      TEXT NOT NULL,
    -- The connection's number in its process; NULL for datagrams.
    connection INTEGER,
    -- The true number of bytes, of which data may have fewer; both NULL where there are none.
    length     INTEGER,
    data       BLOB,
    reason     TEXT,
    -- What else is known: pairs of a key and a value, as JSON; NULL for nothing.
    detail     TEXT
) STRICT;

-- What people ask by. Each entry ends with the row's seq without being told to, so that answers are in its order.
CREATE INDEX fact_by_service ON fact (service);
CREATE INDEX fact_by_address ON fact (address);
CREATE INDEX fact_by_time ON fact (time);

-- "nets": what says that this is a journal.
PRAGMA application_id = 1852142707;
PRAGMA user_version = 1;

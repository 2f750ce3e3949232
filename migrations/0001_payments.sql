-- The base tables. src/db/schema.ts mirrors them for TypeScript; test/worker/storage/schema.test.ts holds the
-- two together. Times are milliseconds since 1970 in UTC, amounts are minor units of their currency.

CREATE TABLE merchants (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  name TEXT NOT NULL CHECK (name <> ''),
  created_at INTEGER NOT NULL CHECK (created_at > 0)
) STRICT;

-- Payments are never deleted, so a rowid is never used twice and AUTOINCREMENT, a second row written
-- per payment, is not needed. `version` is the `sequence` of the payment's newest event.
CREATE TABLE payments (
  id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  order_id INTEGER NOT NULL CHECK (order_id BETWEEN 1 AND 9007199254740991),
  amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 1 AND 9007199254740991),
  currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'failed', 'refunded')),
  provider TEXT NOT NULL CHECK (provider <> ''),
  version INTEGER NOT NULL CHECK (version > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at)
) STRICT;

-- One row per key that has led to a success; `fingerprint` tells a retry from a reuse.
CREATE TABLE idempotency_keys (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  payment_id INTEGER NOT NULL REFERENCES payments (id),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (merchant_id, key)
) STRICT, WITHOUT ROWID;

-- Append-only. `data` is what the event changed; merged in order of `sequence` it gives the payment.
-- `request_id` names the request that caused it, so that a retry recognises its own commit.
CREATE TABLE payment_events (
  payment_id INTEGER NOT NULL REFERENCES payments (id),
  sequence INTEGER NOT NULL CHECK (sequence > 0),
  type TEXT NOT NULL CHECK (type <> ''),
  data TEXT NOT NULL CHECK (json_valid(data)),
  request_id TEXT NOT NULL CHECK (request_id <> ''),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (payment_id, sequence)
) STRICT, WITHOUT ROWID;

INSERT INTO merchants (id, name, created_at) VALUES (1, 'default', CAST(unixepoch('subsec') * 1000 AS INTEGER));

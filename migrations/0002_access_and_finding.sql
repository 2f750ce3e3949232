-- Merchants' keys, the trail of who did what, and finding payments.

-- `digest` is the SHA-256 of the whole key, in hex; the key itself is nowhere. `scopes` is a JSON array.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY CHECK (length(id) = 12),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  name TEXT NOT NULL CHECK (name <> ''),
  scopes TEXT NOT NULL CHECK (json_valid(scopes)),
  digest TEXT NOT NULL CHECK (length(digest) = 64),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  expires_at INTEGER CHECK (expires_at > 0),
  revoked_at INTEGER CHECK (revoked_at > 0),
  last_used_at INTEGER CHECK (last_used_at > 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_merchant ON api_keys (merchant_id, created_at);

-- Append-only: every change of a merchant or a key. `subject` is the id of what changed, `merchant_id` whose
-- it is, `key_id` the key that acted (NULL where none was asked for). `commit_id` is made by the service for
-- each request, which so recognises its own commit.
CREATE TABLE account_events (
  id INTEGER PRIMARY KEY,
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  type TEXT NOT NULL CHECK (type <> ''),
  subject TEXT NOT NULL CHECK (subject <> ''),
  data TEXT NOT NULL CHECK (json_valid(data)),
  actor_merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  key_id TEXT CHECK (key_id <> ''),
  request_id TEXT NOT NULL CHECK (request_id <> ''),
  commit_id TEXT NOT NULL UNIQUE CHECK (commit_id <> ''),
  idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  fingerprint TEXT CHECK (length(fingerprint) = 64),
  created_at INTEGER NOT NULL CHECK (created_at > 0)
) STRICT;
CREATE UNIQUE INDEX account_events_by_idempotency_key ON account_events (actor_merchant_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
CREATE INDEX account_events_by_merchant ON account_events (merchant_id);

-- `key_id` is the key that acted. `request_id` may now be the caller's own; `commit_id` is what
-- `request_id` was before: made by the service for each request, which so recognises its own commit.
ALTER TABLE payment_events ADD COLUMN key_id TEXT CHECK (key_id <> '');
ALTER TABLE payment_events ADD COLUMN commit_id TEXT CHECK (commit_id <> '');

-- Pairs of strings, as a JSON object with its names in order.
ALTER TABLE payments ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata));

-- Newest first, of a merchant and of an order. Neither holds what an action changes.
CREATE INDEX payments_by_time ON payments (merchant_id, created_at);
CREATE INDEX payments_by_order ON payments (merchant_id, order_id, created_at);

-- The pairs of `payments.metadata` again, in the order in which they are looked for.
CREATE TABLE payment_metadata (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  name TEXT NOT NULL CHECK (name <> ''),
  value TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  payment_id INTEGER NOT NULL REFERENCES payments (id),
  PRIMARY KEY (merchant_id, name, value, created_at, payment_id)
) STRICT, WITHOUT ROWID;

-- How far a job that takes several runs has come.
CREATE TABLE job_positions (
  job TEXT PRIMARY KEY CHECK (job <> ''),
  position TEXT NOT NULL CHECK (json_valid(position)),
  updated_at INTEGER NOT NULL CHECK (updated_at > 0)
) STRICT, WITHOUT ROWID;

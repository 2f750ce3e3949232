-- Webhooks: who is told of a merchant's events, and what has come of it.

-- `types` is a JSON array of event types. The newest secret signs, and the one before it up to its end.
-- `disabled_at` is NULL while events are sent; `failing_since` is the first failure after the last success.
CREATE TABLE webhook_endpoints (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  url TEXT NOT NULL CHECK (url <> ''),
  types TEXT NOT NULL CHECK (json_array_length(types) > 0),
  secret TEXT NOT NULL CHECK (secret <> ''),
  previous_secret TEXT CHECK (previous_secret <> ''),
  previous_secret_ends_at INTEGER CHECK (previous_secret_ends_at > 0),
  failing_since INTEGER CHECK (failing_since > 0),
  disabled_at INTEGER CHECK (disabled_at > 0),
  disabled_reason TEXT CHECK (disabled_reason IN ('requested', 'gone', 'failing')),
  deleted_at INTEGER CHECK (deleted_at > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
  CHECK ((previous_secret IS NULL) = (previous_secret_ends_at IS NULL)),
  CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT;
CREATE INDEX webhook_endpoints_by_merchant ON webhook_endpoints (merchant_id) WHERE deleted_at IS NULL;
CREATE INDEX webhook_endpoints_told ON webhook_endpoints (merchant_id) WHERE disabled_at IS NULL AND deleted_at IS NULL;

-- The deliveries of events, written in the batch that writes the event: one for each endpoint that is told of it.
-- `position` is the event's, among those of the endpoint's merchant. `waiting` is for an earlier event of the same
-- payment; `pending` is due at `next_attempt_at`. `attempts` is a JSON array of the newest ones, `attempted` counts
-- all of them, `failures` those in a row.
CREATE TABLE webhook_deliveries (
  endpoint_id INTEGER NOT NULL REFERENCES webhook_endpoints (id),
  position INTEGER NOT NULL CHECK (position > 0),
  state TEXT NOT NULL CHECK (state IN ('waiting', 'pending', 'succeeded', 'exhausted', 'cancelled')),
  next_attempt_at INTEGER CHECK (next_attempt_at > 0),
  attempted INTEGER NOT NULL DEFAULT 0 CHECK (attempted >= 0),
  failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
  attempts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(attempts)),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (endpoint_id, position),
  CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)
  WHERE next_attempt_at IS NOT NULL;

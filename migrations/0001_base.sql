-- The base schema. Each room of src/ mirrors its tables in its tables.ts; test/worker/storage/schema.test.ts compares
-- the two. docs/storage.md describes them table by table.
--
-- Times are milliseconds since 1970 in UTC, amounts are minor units of their currency. A CHECK describes a shape. None
-- lists values that will grow (statuses, states, reasons): to change one, SQLite needs the table rebuilt. A foreign key
-- stands where the child has an index on it, or where the parent is never deleted from or rebuilt.

CREATE TABLE merchants (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  name TEXT NOT NULL CHECK (name <> ''),
  default_account_id INTEGER,
  disabled_at INTEGER CHECK (disabled_at > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0)
) STRICT;

-- `digest` is the SHA-256 of the whole key, in hex; the key itself is stored nowhere. `scopes` is a JSON array.
-- `created_by` is the key that created this one; NULL for the administrator's secret and in open mode.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY CHECK (length(id) = 12),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  name TEXT NOT NULL CHECK (name <> ''),
  scopes TEXT NOT NULL CHECK (json_valid(scopes)),
  digest TEXT NOT NULL CHECK (length(digest) = 64),
  created_by TEXT CHECK (length(created_by) = 12),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  expires_at INTEGER CHECK (expires_at > 0),
  revoked_at INTEGER CHECK (revoked_at > 0),
  last_used_at INTEGER CHECK (last_used_at > 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_merchant ON api_keys (merchant_id, created_at);
-- Those that are active: not revoked, and with an end that is still to come.
CREATE INDEX api_keys_active ON api_keys (merchant_id, ifnull(expires_at, 9223372036854775807)) WHERE revoked_at IS NULL;
-- Those that a revocation of their creator reaches: of one that is revoked, all have been revoked with it.
CREATE INDEX api_keys_by_creator ON api_keys (created_by) WHERE created_by IS NOT NULL AND revoked_at IS NULL;

-- Who has signed in to the dashboard, by the key's public id: an API key's, or the administrator's, which has no row.
CREATE TABLE dashboard_sessions (
  id TEXT PRIMARY KEY CHECK (length(id) = 22),
  key_id TEXT NOT NULL CHECK (length(key_id) = 12),
  ends_at INTEGER NOT NULL CHECK (ends_at > 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX dashboard_sessions_by_end ON dashboard_sessions (ends_at);

-- Append-only: every change of a merchant, an API key or a webhook endpoint. `subject` is the id of what changed,
-- `merchant_id` its owner, `key_id` the key that acted (NULL in open mode). `commit_id` is made by the service for
-- each request, which recognises its own commit by it. `actor_merchant_id` owns the idempotency key; 0 is the
-- administrator's secret, which is no merchant's.
CREATE TABLE account_events (
  id INTEGER PRIMARY KEY,
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  type TEXT NOT NULL CHECK (type <> ''),
  subject TEXT NOT NULL CHECK (subject <> ''),
  data TEXT NOT NULL CHECK (json_valid(data)),
  actor_merchant_id INTEGER NOT NULL,
  key_id TEXT CHECK (key_id <> ''),
  request_id TEXT NOT NULL CHECK (request_id <> ''),
  commit_id TEXT NOT NULL UNIQUE CHECK (commit_id <> ''),
  idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  fingerprint TEXT CHECK (length(fingerprint) = 64),
  created_at INTEGER NOT NULL CHECK (created_at > 0)
) STRICT;
CREATE UNIQUE INDEX account_events_by_idempotency_key ON account_events (actor_merchant_id, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
-- Newest first, of a merchant, and of one type.
CREATE INDEX account_events_by_merchant ON account_events (merchant_id, created_at);
CREATE INDEX account_events_by_type ON account_events (merchant_id, type, created_at);

-- Payments are never deleted, so a rowid is never used twice and AUTOINCREMENT, a second row written per payment, is
-- not needed. `version` is the `sequence` of the payment's newest event; `event_positions` is a JSON array of the
-- positions of its events, in order of `sequence`. `metadata` is a JSON object of strings with its names in order;
-- `original_metadata` are those that the payment was created with, and NULL until they are changed.
-- `failure` and `next_action` are JSON objects; `payment_method` is sealed, and NULL once it has served. `expiry_due_at` is
-- when the expiry is to be looked at next, and NULL where none is to come; `expires_at` stays. `single` allows one live or
-- paid payment of its order or reference.
CREATE TABLE payments (
  id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 9007199254740991),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  order_id INTEGER CHECK (order_id BETWEEN 1 AND 9007199254740991),
  reference TEXT CHECK (length(reference) BETWEEN 1 AND 255),
  single INTEGER NOT NULL DEFAULT 0 CHECK (single IN (0, 1)),
  amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 1 AND 9007199254740991),
  captured_minor INTEGER NOT NULL DEFAULT 0 CHECK (captured_minor BETWEEN 0 AND amount_minor),
  refunded_minor INTEGER NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
  held_minor INTEGER NOT NULL DEFAULT 0 CHECK (held_minor >= 0),
  currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  status TEXT NOT NULL CHECK (status <> ''),
  failure TEXT CHECK (json_valid(failure)),
  next_action TEXT CHECK (json_valid(next_action)),
  provider TEXT NOT NULL CHECK (provider <> ''),
  provider_account_id INTEGER CHECK (provider_account_id > 0),
  provider_reference TEXT CHECK (provider_reference <> ''),
  capture_method TEXT NOT NULL DEFAULT 'automatic' CHECK (capture_method <> ''),
  payment_method TEXT CHECK (payment_method <> ''),
  return_url TEXT CHECK (return_url <> ''),
  description TEXT CHECK (description <> ''),
  expires_at INTEGER CHECK (expires_at > 0),
  expiry_due_at INTEGER CHECK (expiry_due_at > 0),
  version INTEGER NOT NULL CHECK (version > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
  metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
  event_positions TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(event_positions)),
  original_metadata TEXT CHECK (json_valid(original_metadata)),
  CHECK (order_id IS NOT NULL OR reference IS NOT NULL)
) STRICT;
-- Newest first, of a merchant and of an order. Neither holds what an action changes.
CREATE INDEX payments_by_time ON payments (merchant_id, created_at);
CREATE INDEX payments_by_order ON payments (merchant_id, order_id, created_at);
CREATE INDEX payments_by_reference ON payments (merchant_id, reference, created_at) WHERE reference IS NOT NULL;
-- Those that demand to be the only one: a creation beside them reads a row, any other none.
CREATE INDEX payments_single_by_order ON payments (merchant_id, order_id) WHERE single = 1 AND order_id IS NOT NULL;
CREATE INDEX payments_single_by_reference ON payments (merchant_id, reference) WHERE single = 1 AND reference IS NOT NULL;
-- Those with a sealed means of payment, for the job that seals it anew.
CREATE INDEX payments_with_method ON payments (id) WHERE payment_method IS NOT NULL;
CREATE INDEX payments_expiring ON payments (expiry_due_at) WHERE expiry_due_at IS NOT NULL;

-- An index of the pairs of `payments.metadata`, in the order in which they are looked for. The values themselves are in
-- `payments` alone: `prefix` is the first 64 characters of one.
CREATE TABLE payment_metadata (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  name TEXT NOT NULL CHECK (name <> ''),
  prefix TEXT NOT NULL CHECK (length(prefix) <= 64),
  created_at INTEGER NOT NULL,
  payment_id INTEGER NOT NULL,
  PRIMARY KEY (merchant_id, name, prefix, created_at, payment_id)
) STRICT, WITHOUT ROWID;

-- A merchant's accounts at providers, which are never deleted. `api_key` and `webhook_secret` are sealed; `api_key_hint` is what may be
-- shown of the key. `mode` says whether the account moves real money. `failing_since` is when the provider was first seen
-- not to take the credentials, after it last took them.
CREATE TABLE provider_accounts (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  provider TEXT NOT NULL CHECK (provider <> ''),
  mode TEXT NOT NULL CHECK (mode <> ''),
  name TEXT NOT NULL CHECK (name <> ''),
  api_key TEXT NOT NULL CHECK (api_key <> ''),
  api_key_hint TEXT NOT NULL CHECK (api_key_hint <> ''),
  webhook_secret TEXT CHECK (webhook_secret <> ''),
  publishable_key TEXT CHECK (publishable_key <> ''),
  api_url TEXT CHECK (api_url <> ''),
  failing_since INTEGER CHECK (failing_since > 0),
  failure TEXT CHECK (failure <> ''),
  disabled_at INTEGER CHECK (disabled_at > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
  CHECK ((failing_since IS NULL) = (failure IS NULL))
) STRICT;
CREATE INDEX provider_accounts_by_merchant ON provider_accounts (merchant_id);

-- What was asked of a provider for a payment, and what has become of it: the journal. A row is written before anything is
-- sent. `request` is what is sent, sealed, and `nonce` makes the idempotency keys at the provider, so that a repeated call is
-- the same call. `due_at` is when the provider is asked again; both it and `request` are NULL once the operation is settled.
-- `attempts` is a JSON array of the newest calls, `attempted` counts those that were not answered. A refund is its operation:
-- `reason` and `metadata` are its own.
CREATE TABLE operations (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  payment_id INTEGER NOT NULL,
  number INTEGER NOT NULL CHECK (number > 0),
  kind TEXT NOT NULL CHECK (kind <> ''),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  state TEXT NOT NULL CHECK (state <> ''),
  source TEXT NOT NULL CHECK (source <> ''),
  nonce TEXT CHECK (nonce <> ''),
  request TEXT CHECK (request <> ''),
  provider_reference TEXT CHECK (provider_reference <> ''),
  failure TEXT CHECK (json_valid(failure)),
  reason TEXT,
  metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
  key_id TEXT CHECK (key_id <> ''),
  request_id TEXT NOT NULL CHECK (request_id <> ''),
  idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  due_at INTEGER CHECK (due_at > 0),
  attempted INTEGER NOT NULL DEFAULT 0 CHECK (attempted >= 0),
  attempts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(attempts)),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
  PRIMARY KEY (merchant_id, payment_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX operations_due ON operations (due_at) WHERE due_at IS NOT NULL;

-- `reference` is the provider's name for the dispute; `due_at` is until when evidence is taken.
CREATE TABLE disputes (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  payment_id INTEGER NOT NULL,
  reference TEXT NOT NULL CHECK (reference <> ''),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  state TEXT NOT NULL CHECK (state <> ''),
  reason TEXT,
  due_at INTEGER CHECK (due_at > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
  PRIMARY KEY (merchant_id, payment_id, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX disputes_by_merchant ON disputes (merchant_id, created_at);
-- Those that may still be answered, the most urgent first.
CREATE INDEX disputes_by_deadline ON disputes (merchant_id, ifnull(due_at, 9007199254740991)) WHERE state IN ('inquiry', 'open');

-- What a person has to look at, since a provider says something else than is stored here; a thing is found once. `payment_id` is 0
-- where no payment is known, `account` the provider account where the provider has such. `detail` is what was found last, and what
-- `resolution` is about: where something else is found later, the item is open again. `resolved_by` is NULL in open mode, too.
CREATE TABLE reconciliation_items (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  payment_id INTEGER NOT NULL,
  account TEXT CHECK (account <> ''),
  kind TEXT NOT NULL CHECK (kind <> ''),
  reference TEXT NOT NULL CHECK (reference <> ''),
  detail TEXT NOT NULL CHECK (detail <> ''),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  resolved_at INTEGER CHECK (resolved_at > 0),
  resolved_by TEXT CHECK (resolved_by <> ''),
  resolution TEXT CHECK (length(resolution) BETWEEN 1 AND 500),
  CHECK ((resolved_at IS NULL) = (resolution IS NULL)),
  CHECK (resolved_by IS NULL OR resolved_at IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX reconciliation_items_found ON reconciliation_items (merchant_id, payment_id, kind, reference);
CREATE INDEX reconciliation_items_by_time ON reconciliation_items (merchant_id, created_at);
CREATE INDEX reconciliation_items_open ON reconciliation_items (merchant_id, created_at) WHERE resolved_at IS NULL;

-- The comparisons of an account's payments with what its provider lists of a time (`from_at`, and up to `to_at`). `source` says whether
-- the service began one by itself, or a request did (`key_id`). `progress` is how far it has come; `position` counts its steps, so that
-- each is done once. `due_at` is when it goes on, and NULL once there is nothing left to do, also after its end. `failing_since` is
-- since when the provider gives no answer, and `failure` why. `items` is a JSON object: what was found to differ twice, by its kind.
CREATE TABLE reconciliation_runs (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  account_id INTEGER NOT NULL CHECK (account_id > 0),
  source TEXT NOT NULL CHECK (source <> ''),
  key_id TEXT CHECK (key_id <> ''),
  from_at INTEGER NOT NULL CHECK (from_at > 0),
  to_at INTEGER NOT NULL CHECK (to_at > from_at),
  state TEXT NOT NULL CHECK (state <> ''),
  progress TEXT NOT NULL CHECK (json_valid(progress)),
  position INTEGER NOT NULL DEFAULT 0 CHECK (position >= 0),
  compared INTEGER NOT NULL DEFAULT 0 CHECK (compared >= 0),
  differing INTEGER NOT NULL DEFAULT 0 CHECK (differing >= 0),
  items TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(items)),
  due_at INTEGER CHECK (due_at > 0),
  failing_since INTEGER CHECK (failing_since > 0),
  failure TEXT CHECK (failure <> ''),
  started_at INTEGER NOT NULL CHECK (started_at > 0),
  finished_at INTEGER CHECK (finished_at > 0)
) STRICT;
CREATE UNIQUE INDEX reconciliation_runs_running ON reconciliation_runs (account_id) WHERE finished_at IS NULL;
CREATE INDEX reconciliation_runs_by_account ON reconciliation_runs (merchant_id, account_id, started_at);
-- How far an account has been compared without a gap.
CREATE INDEX reconciliation_runs_done ON reconciliation_runs (account_id, to_at) WHERE state = 'done' AND source = 'service';
CREATE INDEX reconciliation_runs_due ON reconciliation_runs (due_at) WHERE due_at IS NOT NULL;

-- The payments that a run was listed: bit n of a block's `bits` stands for payment 60 * block + n. They are asked for singly no more.
CREATE TABLE reconciliation_seen (
  run_id INTEGER NOT NULL,
  block INTEGER NOT NULL CHECK (block >= 0),
  bits INTEGER NOT NULL CHECK (bits > 0),
  PRIMARY KEY (run_id, block)
) STRICT, WITHOUT ROWID;

-- What a run has still to look at, at `due_at`: an entry of a listing that differs, or a payment that no listing had, whose `entry`
-- is NULL. `said` is a JSON array of how it differed when it was last looked at.
CREATE TABLE reconciliation_looks (
  run_id INTEGER NOT NULL,
  listing TEXT NOT NULL CHECK (listing <> ''),
  reference TEXT NOT NULL CHECK (reference <> ''),
  payment_id INTEGER NOT NULL CHECK (payment_id >= 0),
  entry TEXT CHECK (json_valid(entry)),
  said TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(said)),
  looks INTEGER NOT NULL CHECK (looks >= 0),
  due_at INTEGER NOT NULL CHECK (due_at > 0),
  PRIMARY KEY (run_id, listing, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX reconciliation_looks_due ON reconciliation_looks (run_id, due_at);

-- The notifications that providers have sent, so that one that comes again costs nothing.
CREATE TABLE provider_notifications (
  account_id TEXT NOT NULL CHECK (account_id <> ''),
  id TEXT NOT NULL CHECK (id <> ''),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;

-- One row for each key that has led to a success; `fingerprint` tells a retry from a reuse.
CREATE TABLE idempotency_keys (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  payment_id INTEGER NOT NULL,
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (merchant_id, key)
) STRICT, WITHOUT ROWID;

-- Append-only, in the order of the commits. Each merchant's events are numbered 1, 2, 3… without gaps, in the
-- transaction that writes them, and their times never fall: a reader that goes on from a position misses none.
-- `data` is what the event changed; merged in order of `sequence` (RFC 7396) it gives the payment, from the metadata that
-- it was created with, which are in `payments` alone. An event that is of no payment has neither `payment_id` nor `sequence`, and its `data` is all of what
-- it is about, as that was then. `stored_bytes` is what the merchant's payments and events take up to this one, about. `commit_id` is made by the
-- service for each request, which recognises its own commit by it; NULL where no request of the service wrote the
-- event. `request_id` may be the caller's.
CREATE TABLE events (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  position INTEGER NOT NULL CHECK (position > 0),
  payment_id INTEGER,
  sequence INTEGER CHECK (sequence > 0),
  type TEXT NOT NULL CHECK (type <> ''),
  data TEXT NOT NULL CHECK (json_valid(data)),
  request_id TEXT NOT NULL CHECK (request_id <> ''),
  commit_id TEXT CHECK (commit_id <> ''),
  key_id TEXT CHECK (key_id <> ''),
  idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  stored_bytes INTEGER NOT NULL DEFAULT 0 CHECK (stored_bytes >= 0),
  PRIMARY KEY (merchant_id, position),
  CHECK ((payment_id IS NULL) = (sequence IS NULL))
) STRICT, WITHOUT ROWID;

-- Sums over a merchant's events, folded in after the commits that wrote them: a row for each UTC day, counted from 1970, on which
-- something happened to payments of a currency and provider. Each sum stops at the largest integer there is. `confirm_times` is a
-- JSON object: how many payments took so long to be confirmed, by the number of a range of milliseconds.
CREATE TABLE daily_totals (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  day INTEGER NOT NULL CHECK (day >= 0),
  currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
  provider TEXT NOT NULL CHECK (provider <> ''),
  created INTEGER NOT NULL CHECK (created >= 0),
  created_minor INTEGER NOT NULL CHECK (created_minor >= 0),
  confirmed INTEGER NOT NULL CHECK (confirmed >= 0),
  captured_minor INTEGER NOT NULL CHECK (captured_minor >= 0),
  failed INTEGER NOT NULL CHECK (failed >= 0),
  cancelled INTEGER NOT NULL CHECK (cancelled >= 0),
  expired INTEGER NOT NULL CHECK (expired >= 0),
  refunds INTEGER NOT NULL CHECK (refunds >= 0),
  refunded_minor INTEGER NOT NULL CHECK (refunded_minor >= 0),
  reversals INTEGER NOT NULL CHECK (reversals >= 0),
  reversed_minor INTEGER NOT NULL CHECK (reversed_minor >= 0),
  confirm_ms INTEGER NOT NULL CHECK (confirm_ms >= 0),
  confirm_times TEXT NOT NULL CHECK (json_valid(confirm_times)),
  PRIMARY KEY (merchant_id, day, currency, provider)
) STRICT, WITHOUT ROWID;

-- The last event of a merchant that `daily_totals` has, and its time. It moves in the transaction that writes them.
CREATE TABLE totals_cursors (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  position INTEGER NOT NULL CHECK (position > 0),
  event_at INTEGER NOT NULL CHECK (event_at > 0),
  PRIMARY KEY (merchant_id)
) STRICT, WITHOUT ROWID;

-- `types` is a JSON array of event types; NULL for all, also those that come later. `types_changed_at` is set while
-- open deliveries of types that the endpoint no longer receives are to be cancelled. The newest secret signs, and the
-- one before it up to its end; both are sealed, and wiped when they have ended. `disabled_at` is NULL while events are sent;
-- `failing_since` is the first failure after the last success. `url_set_by` is the key that gave the endpoint its URL,
-- whose revocation disables it; NULL in open mode.
CREATE TABLE webhook_endpoints (
  id INTEGER PRIMARY KEY CHECK (id > 0),
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  url TEXT NOT NULL CHECK (url <> ''),
  url_set_by TEXT CHECK (length(url_set_by) = 12),
  types TEXT CHECK (json_array_length(types) > 0),
  types_changed_at INTEGER CHECK (types_changed_at > 0),
  secret TEXT CHECK (secret <> ''),
  previous_secret TEXT CHECK (previous_secret <> ''),
  previous_secret_ends_at INTEGER CHECK (previous_secret_ends_at > 0),
  failing_since INTEGER CHECK (failing_since > 0),
  disabled_at INTEGER CHECK (disabled_at > 0),
  disabled_reason TEXT CHECK (disabled_reason <> ''),
  deleted_at INTEGER CHECK (deleted_at > 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  updated_at INTEGER NOT NULL CHECK (updated_at >= created_at),
  CHECK (secret IS NOT NULL OR deleted_at IS NOT NULL),
  CHECK ((previous_secret IS NULL) = (previous_secret_ends_at IS NULL)),
  CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT;
CREATE INDEX webhook_endpoints_by_merchant ON webhook_endpoints (merchant_id);
CREATE INDEX webhook_endpoints_enabled ON webhook_endpoints (merchant_id)
  WHERE disabled_at IS NULL AND deleted_at IS NULL;
CREATE INDEX webhook_endpoints_by_key ON webhook_endpoints (url_set_by)
  WHERE url_set_by IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX webhook_endpoints_rolled ON webhook_endpoints (previous_secret_ends_at)
  WHERE previous_secret_ends_at IS NOT NULL;

-- The deliveries of events, written in the batch that writes the event: one for each endpoint that receives its type.
-- `position` is the event's, among those of the endpoint's merchant. `waiting` is behind an earlier event of the same
-- payment; `pending` is due at `next_attempt_at`. `attempts` is a JSON array of the newest ones, `attempted` counts
-- all of them, `failures` those in a row.
CREATE TABLE webhook_deliveries (
  endpoint_id INTEGER NOT NULL REFERENCES webhook_endpoints (id),
  position INTEGER NOT NULL CHECK (position > 0),
  state TEXT NOT NULL CHECK (state <> ''),
  next_attempt_at INTEGER CHECK (next_attempt_at > 0),
  attempted INTEGER NOT NULL DEFAULT 0 CHECK (attempted >= 0),
  failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
  attempts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(attempts)),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (endpoint_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)
  WHERE next_attempt_at IS NOT NULL;

-- The replays and exports of a merchant that are under way: a row for each of its slots. `holder` is the commit id of the
-- request that has it, until `ends_at`, which it moves on while it works.
CREATE TABLE leases (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  slot INTEGER NOT NULL CHECK (slot > 0),
  holder TEXT NOT NULL CHECK (holder <> ''),
  ends_at INTEGER NOT NULL CHECK (ends_at > 0),
  PRIMARY KEY (merchant_id, slot)
) STRICT, WITHOUT ROWID;

-- How far a job that takes several runs has come.
CREATE TABLE job_positions (
  job TEXT PRIMARY KEY CHECK (job <> ''),
  position TEXT NOT NULL CHECK (json_valid(position)),
  updated_at INTEGER NOT NULL CHECK (updated_at > 0)
) STRICT, WITHOUT ROWID;

INSERT INTO merchants (id, name, created_at) VALUES (1, 'default', CAST(unixepoch('subsec') * 1000 AS INTEGER));

-- Events in the order of their commits. Each merchant's are numbered 1, 2, 3… without gaps, in the transaction
-- that writes them, and their times never fall: whoever reads on from a position misses none. They are stored
-- in this order alone, a row for each; a payment names the positions of its own.

-- Append-only. `data` is what the event changed; merged in order of `sequence` it gives the payment. `commit_id`
-- is made by the service for each request, which so recognises its own commit; `request_id` may be the caller's.
-- `idempotency_key` is the key that the request brought.
CREATE TABLE events (
  merchant_id INTEGER NOT NULL REFERENCES merchants (id),
  position INTEGER NOT NULL CHECK (position > 0),
  payment_id INTEGER NOT NULL REFERENCES payments (id),
  sequence INTEGER NOT NULL CHECK (sequence > 0),
  type TEXT NOT NULL CHECK (type <> ''),
  data TEXT NOT NULL CHECK (json_valid(data)),
  request_id TEXT NOT NULL CHECK (request_id <> ''),
  commit_id TEXT CHECK (commit_id <> ''),
  key_id TEXT CHECK (key_id <> ''),
  idempotency_key TEXT CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  PRIMARY KEY (merchant_id, position)
) STRICT, WITHOUT ROWID;

-- A JSON array: where in `events` the payment's are, in order of `sequence`.
ALTER TABLE payments ADD COLUMN event_positions TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(event_positions));

INSERT INTO events
  (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, created_at)
SELECT merchant_id, row_number() OVER (PARTITION BY merchant_id ORDER BY event.created_at, payment_id, sequence),
  payment_id, sequence, type, data, request_id, commit_id, key_id, event.created_at
FROM payment_events AS event JOIN payments ON payments.id = event.payment_id;

UPDATE payments SET event_positions = found.positions
FROM (
  SELECT payment_id, json_group_array(position) AS positions
  FROM (SELECT payment_id, position FROM events ORDER BY payment_id, sequence) GROUP BY payment_id
) AS found
WHERE found.payment_id = payments.id;

-- The version before this one writes `payment_events`, until its last instance is replaced; nobody reads them
-- any more. A later migration drops the table.
CREATE TRIGGER payment_events_in_order AFTER INSERT ON payment_events BEGIN
  INSERT INTO events
    (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, created_at)
  SELECT payments.merchant_id, coalesce(last.position, 0) + 1, NEW.payment_id, NEW.sequence, NEW.type, NEW.data,
    NEW.request_id, NEW.commit_id, NEW.key_id, NEW.created_at
  FROM payments LEFT JOIN events AS last ON last.merchant_id = payments.merchant_id
    AND last.position = (SELECT max(position) FROM events WHERE merchant_id = payments.merchant_id)
  WHERE payments.id = NEW.payment_id;
  UPDATE payments SET event_positions = json_insert(event_positions, '$[#]',
    (SELECT max(position) FROM events WHERE merchant_id = payments.merchant_id))
  WHERE id = NEW.payment_id;
END;

/** Running an action on a payment: the change behind its guard, its event, key and deliveries in one D1 batch. */
import type { Origin } from "../context";
import { type DeliveryId, insertDeliveries, isDeliveryId } from "../outbox/outbox";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import type { Committed } from "./create";
import { PAYMENT, type Payment } from "./find";
import { insertEvent, newestEvent } from "./history";
import { type Action, eventType, LIFECYCLE, outcome, type Status } from "./lifecycle";

export type ActionResult =
  | ({ tag: "changed" } & Committed)
  | { tag: "unchanged" | "replayed"; payment: Payment }
  | { tag: "not_found" }
  | { tag: "refused"; status: Status }
  /** The payment's version is none of those that were expected. */
  | { tag: "outdated"; version: number }
  | { tag: "key_reused" };

const IDEMPOTENCY_KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?";

const INSERT_EVENT = insertEvent("id = ? AND merchant_id = ? AND changes() = 1");

const PAYMENT_AFTER = `
  SELECT ${PAYMENT}, own.sequence AS own_version, own.created_at AS own_updated_at FROM payments
  LEFT JOIN events AS own ON own.merchant_id = payments.merchant_id
    AND own.position IN (SELECT value FROM json_each(event_positions)) AND own.commit_id = ?
  WHERE payments.id = ? AND payments.merchant_id = ?`;

/**
 * An action's own statements: the change behind its guard, and the key of a success.
 *
 * @param guard a further condition on the payment, as SQL
 */
function actionStatements({ from, to, repeatable }: (typeof LIFECYCLE)[Action], guard = "") {
  return {
    change: `
  UPDATE payments SET status = '${to}', version = version + 1, updated_at = max(?1, newest.created_at),
    event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
  FROM ${newestEvent("?3")}
  WHERE id = ?2 AND merchant_id = ?3 AND status IN (${from.map((status) => `'${status}'`).join(", ")})${guard}
  AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ?3 AND key = ?4)`,
    // A success is a change, which the event just inserted shows, or a repetition.
    insertKey: `
  INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
  SELECT ?3, ?4, ?6, id, ?1 FROM payments
  WHERE id = ?2 AND merchant_id = ?3 AND (changes() = 1${repeatable ? ` OR status = '${to}'${guard}` : ""})
  ON CONFLICT (merchant_id, key) DO NOTHING`,
    eventType: eventType(to),
    eventData: JSON.stringify({ status: to }),
  };
}

const EXPECTED = " AND version IN (SELECT value FROM json_each(?5))";

function statementsOf(action: Action) {
  return { plain: actionStatements(LIFECYCLE[action]), guarded: actionStatements(LIFECYCLE[action], EXPECTED) };
}

const ACTION_STATEMENTS = {
  confirm: statementsOf("confirm"),
  fail: statementsOf("fail"),
  refund: statementsOf("refund"),
} satisfies Record<Action, ReturnType<typeof statementsOf>>;

/** What is asked of a payment. */
export interface ActionRequest {
  readonly action: Action;
  readonly idempotency: Idempotency | null;
  /** The versions that the payment may be in; null when any will do. */
  readonly expected: readonly number[] | null;
}

/**
 * Asks an action of a payment. The guard is in the SQL, so that it holds whoever else is at work; what
 * happened is read from the key as it was before, and the row and the event as they are after. One
 * round trip. Running it again in the same request finds its own commit.
 *
 * @throws Outage also instead of a refusal that a lost attempt, arriving later, could belie
 */
export async function applyAction(
  db: Database,
  { merchantId, keyId, requestId, commitId, now }: Origin,
  id: number,
  { action, idempotency, expected }: ActionRequest,
): Promise<ActionResult> {
  const { plain, guarded } = ACTION_STATEMENTS[action];
  const sql = expected ? guarded : plain;
  const { to } = LIFECYCLE[action];
  const versions = expected ? JSON.stringify(expected) : null;
  const values = [now, id, merchantId, idempotency?.key ?? null, versions];
  const change = db.prepare(sql.change).bind(...(expected ? values : values.slice(0, 4)));
  const eventValues = [sql.eventType, sql.eventData, requestId, commitId, keyId, idempotency?.key ?? null];
  const event = db.prepare(INSERT_EVENT).bind(...eventValues, id, merchantId);
  const deliveries = insertDeliveries(id, { merchantId, commitId, now });
  const after = db.prepare(PAYMENT_AFTER).bind(commitId, id, merchantId);
  const batch = idempotency
    ? [
        db.prepare(IDEMPOTENCY_KEY_BEFORE).bind(merchantId, idempotency.key),
        change,
        event,
        db.prepare(sql.insertKey).bind(...values, idempotency.fingerprint),
        deliveries,
        after,
      ]
    : [change, event, deliveries, after];

  const { rows, attempts } = await db.batch<IdempotencyKeyBefore | PaymentAfter | DeliveryId>(batch);
  const all = rows.flat();
  const key = all.find((row) => "fingerprint" in row);
  const found = all.find((row) => "own_version" in row);
  if (found) {
    const { own_version, own_updated_at, ...payment } = found;
    // The change is this request's own, made now or in an attempt whose answer was lost: as it was then.
    if (own_version !== null && own_updated_at !== null) {
      const changed = { ...payment, status: to, version: own_version, updated_at: own_updated_at };
      return { tag: "changed", payment: changed, deliveries: all.filter(isDeliveryId) };
    }
    if (key && key.fingerprint === idempotency?.fingerprint) return { tag: "replayed", payment };
  }
  if (key) return { tag: "key_reused" };
  const isExpected = !found || (expected?.includes(found.version) ?? true);
  if (found && isExpected && outcome(found.status, action) === "unchanged") {
    const { own_version: _, own_updated_at: __, ...payment } = found;
    return { tag: "unchanged", payment };
  }
  // An attempt whose answer was lost may still arrive, and then succeed: a refusal would be a guess.
  if (attempts > 1) throw new Outage("An earlier attempt may still arrive");
  if (!found) return { tag: "not_found" };
  return isExpected ? { tag: "refused", status: found.status } : { tag: "outdated", version: found.version };
}

interface IdempotencyKeyBefore {
  fingerprint: string;
}

/** The payment after the batch, and this request's own event, if there is one. */
interface PaymentAfter extends Payment {
  own_version: number | null;
  own_updated_at: number | null;
}

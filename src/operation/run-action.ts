/** Running an action on a payment: the change behind its guard, its event, key and deliveries in one D1 batch. */
import type { Origin } from "../context";
import { type DeliveryId, insertDeliveries } from "../outbox/outbox";
import type { Committed } from "../payment/create";
import { insertEvent, newestEvent } from "../payment/history";
import { type Action, eventType, LIFECYCLE } from "../payment/lifecycle";
import { PAYMENT_COLUMNS } from "../payment/payment";
import { commitTime } from "../storage/clock";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import { join, sql } from "../storage/sql";
import { type Classification, classify, isRefusal, type PaymentAfter } from "./classify";

/** The result of an action; a change with the deliveries of its event, as far as the answer was not lost. */
export type ActionResult = Exclude<Classification, { tag: "changed" }> | ({ readonly tag: "changed" } & Committed);

/** An action on a payment, and under which conditions. */
export interface ActionRequest {
  readonly action: Action;
  readonly idempotency: Idempotency | null;
  /** The versions that the payment may be in; null when any will do. */
  readonly expected: readonly number[] | null;
}

/** What an action stores, in bytes: its event, and, beside the key itself, the row of its key. */
const ACTION_BYTES = 180;
const IDEMPOTENCY_KEY_BYTES = 120;

/** The statements of an action, in their order: those about the idempotency key are null without one. */
function statementsOf(origin: Origin, id: number, { action, idempotency, expected }: ActionRequest) {
  const { merchantId, commitId, now } = origin;
  const { from, to, repeatable } = LIFECYCLE[action];
  const key = idempotency?.key ?? null;
  const isIt = sql`id = ${id} AND merchant_id = ${merchantId}`;
  const allowed = join(
    from.map((status) => sql`${status}`),
    ", ",
  );
  const versions = expected && JSON.stringify(expected);
  const isExpected = sql`(${versions} IS NULL OR version IN (SELECT value FROM json_each(${versions})))`;

  const keyBefore = sql`SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key}`;
  const change = sql`
    UPDATE payments SET status = ${to}, version = version + 1, updated_at = max(${commitTime(now)}, newest.created_at),
      event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
    FROM ${newestEvent(merchantId)}
    WHERE ${isIt} AND status IN (${allowed}) AND ${isExpected}
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key})`;
  const event = insertEvent(sql`${isIt} AND changes() = 1`, origin, {
    type: eventType(to),
    data: { status: to },
    idempotencyKey: key,
    storedBytes: ACTION_BYTES + (idempotency ? IDEMPOTENCY_KEY_BYTES + 2 * idempotency.key.length : 0),
  });
  // A success is a change, which the event just inserted shows, or a repetition.
  const repetition = repeatable ? sql` OR status = ${to} AND ${isExpected}` : sql``;
  const insertKey = sql`
    INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
    SELECT ${merchantId}, ${key}, ${idempotency?.fingerprint ?? null}, id, ${commitTime(now)} FROM payments
    WHERE ${isIt} AND (changes() = 1${repetition})
    ON CONFLICT (merchant_id, key) DO NOTHING`;
  const after = sql`
    SELECT ${PAYMENT_COLUMNS}, own.sequence AS own_version, own.created_at AS own_updated_at FROM payments
    LEFT JOIN events AS own ON own.merchant_id = payments.merchant_id
      AND own.position IN (SELECT value FROM json_each(event_positions)) AND own.commit_id = ${commitId}
    WHERE payments.id = ${id} AND payments.merchant_id = ${merchantId}`;
  return { keyBefore: idempotency && keyBefore, change, event, insertKey: idempotency && insertKey, after };
}

interface IdempotencyKeyRow {
  fingerprint: string;
}

/**
 * Runs an action on a payment. The guard is in the SQL, so that it holds also when two instances of the object run; what
 * happened is read from the key as it was before, and the row and the event as they are after. One
 * round trip. Running it again in the same request finds its own commit.
 *
 * @throws Outage also instead of a refusal that a lost attempt, arriving later, could belie
 */
export async function applyAction(
  db: Database,
  origin: Origin,
  id: number,
  request: ActionRequest,
): Promise<ActionResult> {
  const { keyBefore, change, event, insertKey, after } = statementsOf(origin, id, request);
  const batch = [keyBefore, change, event, insertKey, insertDeliveries(id, origin), after];
  type Rows = [IdempotencyKeyRow, never, never, never, DeliveryId, PaymentAfter];
  const { rows, attempts } = await db.batch<Rows>(batch);
  const [[key], , , , deliveries, [payment]] = rows;

  const isSame = key?.fingerprint === request.idempotency?.fingerprint;
  const before = key === undefined ? "free" : isSame ? "same request" : "other request";
  const result = classify(request.action, request.expected, before, payment ?? null);
  // An attempt whose answer was lost may still arrive, and then succeed: a refusal would be a guess.
  if (attempts > 1 && isRefusal(result)) throw new Outage("An earlier attempt may still arrive");
  return result.tag === "changed" ? { ...result, deliveries } : result;
}

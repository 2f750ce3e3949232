/** Changing a payment's description and metadata: the row, its index, the event, the key and the deliveries in one D1 batch. */
import type { Origin } from "../context";
import { insertDeliveries, isDeliveryId } from "../outbox/outbox";
import { insertEvent, newestEvent } from "../payment/history";
import {
  indexedPairs,
  jsonBytes,
  type MetadataChanges,
  mergeMetadata,
  metadataBytes,
  metadataFault,
} from "../payment/metadata";
import type { Payment } from "../payment/payment";
import { commitTime } from "../storage/clock";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import { join, raw, type Sql, sql } from "../storage/sql";
import { classify, isRefusal, type KeyBefore } from "./classify";
import {
  ACTION_BYTES,
  type ActionResult,
  foundOf,
  IDEMPOTENCY_KEY_BYTES,
  type IdempotencyKeyRow,
  type PaymentAfter,
  paymentAfter,
} from "./run-action";

/** What is to be changed of a payment; what is left out stays as it is. */
export interface PaymentChanges {
  /** Null removes it. */
  readonly description?: string | null;
  readonly metadata?: MetadataChanges;
}

/** A change of a payment's texts, and under which conditions. */
export interface UpdateRequest {
  readonly action: "update";
  readonly idempotency: Idempotency | null;
  /** The versions that the payment may be in; null when any will do. */
  readonly expected: readonly number[] | null;
  readonly changes: PaymentChanges;
}

/** The changes of others that may come between the reading and the writing of one. The object's own queue lets none between. */
const MAX_ATTEMPTS = 10;

/**
 * Changes a payment's texts. What metadata come to is reckoned from the payment as it was read, and written only while it has
 * that version: two round trips, and two more for each change of another that came between. Running it again in the
 * same request finds its own commit.
 *
 * @throws Outage also instead of a refusal that a lost attempt, arriving later, could belie
 */
export async function applyUpdate(
  db: Database,
  origin: Origin,
  id: number,
  request: UpdateRequest,
): Promise<ActionResult> {
  let mayArrive = false;
  const surely = (result: ActionResult): ActionResult => {
    if (mayArrive && isRefusal(result)) throw new Outage("An earlier attempt may still arrive");
    return result;
  };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const seen = await run(db, origin, id, request, []);
    if (seen.result.tag !== "unchanged") return surely(seen.result);
    const { payment } = seen.result;
    const change = changeOf(payment, request.changes);
    if ("detail" in change) return surely({ tag: "invalid_metadata", detail: change.detail });
    if (isNothing(change) && request.idempotency === null) return seen.result;
    const written = await run(db, origin, id, request, statementsOf(origin, payment, request, change));
    if (written.attempts > 1) mayArrive = true;
    const { result } = written;
    // Unchanged, since another change came between: what this one comes to is to be reckoned again.
    const isBehind = result.tag === "unchanged" && (result.payment.version !== payment.version || !isNothing(change));
    if (!isBehind) return surely(result);
  }
  throw new Outage("Other changes of the payment came between each time");
}

/** What a payment's texts are to become, and what of them is another than before. */
interface Change {
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  /** What the event keeps: metadata as a merge patch (RFC 7396). */
  readonly data: PaymentChanges;
}

const isNothing = ({ data }: Change): boolean => Object.keys(data).length === 0;

function changeOf(payment: Payment, changes: PaymentChanges): Change | { readonly detail: string } {
  const before: Record<string, string> = JSON.parse(payment.metadata);
  const metadata = mergeMetadata(before, changes.metadata ?? {});
  const detail = metadataFault(metadata);
  if (detail !== null) return { detail };
  const description = changes.description === undefined ? payment.description : changes.description;
  const changed = Object.entries(changes.metadata ?? {}).filter(
    ([name, value]) => value !== (Object.hasOwn(before, name) ? before[name] : null),
  );
  const data = {
    ...(description !== payment.description && { description }),
    ...(changed.length > 0 && { metadata: Object.fromEntries(changed) }),
  };
  return { description, metadata, data };
}

/** The statements that write a change of a payment as it was read; of none, the key of the request alone. */
function statementsOf(
  origin: Origin,
  payment: Payment,
  { idempotency }: UpdateRequest,
  change: Change,
): readonly (Sql | null)[] {
  const { merchantId, commitId, now } = origin;
  const { id, version, created_at } = payment;
  const { description, metadata, data } = change;
  const key = idempotency?.key ?? null;
  const isIt = sql`id = ${id} AND merchant_id = ${merchantId}`;
  const insertKey = (condition: Sql) =>
    idempotency &&
    sql`
    INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
    SELECT ${merchantId}, ${key}, ${idempotency.fingerprint}, id, ${commitTime(now)} FROM payments
    WHERE ${isIt} AND ${condition}
    ON CONFLICT (merchant_id, key) DO NOTHING`;
  if (isNothing(change)) return [insertKey(sql`version = ${version}`)];

  const before: Record<string, string> = JSON.parse(payment.metadata);
  const sets = [
    sql`description = ${description}`,
    ...(data.metadata === undefined
      ? []
      : [
          sql`metadata = ${JSON.stringify(metadata)}`,
          raw("original_metadata = coalesce(original_metadata, metadata)"),
        ]),
  ];
  const update = sql`
    UPDATE payments SET ${join(sets, ", ")}, version = version + 1, updated_at = max(${commitTime(now)}, newest.created_at),
      event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
    FROM ${newestEvent(merchantId)}
    WHERE ${isIt} AND version = ${version}
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key})`;
  const grown = metadataBytes(metadata) - metadataBytes(before);
  const event = insertEvent(sql`${isIt} AND changes() = 1`, origin, {
    type: "payment.updated",
    data: JSON.stringify(data),
    idempotencyKey: key,
    storedBytes:
      ACTION_BYTES +
      2 * jsonBytes(data) +
      (data.metadata === undefined ? 0 : jsonBytes(before) + Math.max(0, grown)) +
      (idempotency ? IDEMPOTENCY_KEY_BYTES + 2 * idempotency.key.length : 0),
  });
  // The pairs that are in the index no longer, and those that are new there; only where this request's event is the newest.
  const [old, next] = [indexedPairs(before), indexedPairs(metadata)].map((pairs) =>
    pairs.map((pair) => JSON.stringify(pair)),
  );
  const entries = (from: readonly string[] = [], without: readonly string[] = []) => {
    const pairs = from.filter((pair) => !without.includes(pair));
    return pairs.length === 0
      ? null
      : sql`
    SELECT own.merchant_id, pair.value ->> 0, pair.value ->> 1, ${created_at}, own.payment_id
    FROM payments CROSS JOIN events AS own ON own.merchant_id = payments.merchant_id
      AND own.position = event_positions ->> '$[#-1]' AND own.commit_id = ${commitId}
    CROSS JOIN json_each(${`[${pairs.join(",")}]`}) AS pair
    WHERE payments.id = ${id} AND payments.merchant_id = ${merchantId}`;
  };
  const [removed, added] = [entries(old, next), entries(next, old)];
  return [
    update,
    event,
    insertKey(raw("changes() = 1")),
    removed &&
      sql`DELETE FROM payment_metadata WHERE (merchant_id, name, prefix, created_at, payment_id) IN (${removed})`,
    added &&
      sql`INSERT INTO payment_metadata (merchant_id, name, prefix, created_at, payment_id) ${added} ON CONFLICT DO NOTHING`,
    insertDeliveries(id, origin),
  ];
}

/** Runs statements between the reading of the key and of the payment, and says what that has come to. One round trip. */
async function run(
  db: Database,
  origin: Origin,
  id: number,
  request: UpdateRequest,
  statements: readonly (Sql | null)[],
): Promise<{ result: ActionResult; attempts: number }> {
  const { merchantId, now } = origin;
  const key = request.idempotency?.key ?? null;
  const keyBefore =
    key === null
      ? null
      : sql`SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key}`;
  const { rows, attempts } = await db.batch<object>([keyBefore, ...statements, paymentAfter(origin, id)]);
  // As with `batch`: what rows a statement returns, its caller knows.
  const [found] = rows[0] as IdempotencyKeyRow[];
  const [payment] = (rows.at(-1) ?? []) as PaymentAfter[];
  const isSame = found?.fingerprint === request.idempotency?.fingerprint;
  const before: KeyBefore = found === undefined ? "free" : isSame ? "same request" : "other request";
  const asked = { ...request, amount: null, now, isOurs: true };
  const result = classify(asked, before, payment ? await foundOf(db, payment) : null);
  if (isRefusal(result) || result.tag === "key_reused" || result.tag === "elsewhere") return { result, attempts };
  const deliveries = statements.length > 1 ? (rows.at(-2) ?? []).filter(isDeliveryId) : [];
  return { result: { ...result, deliveries, refund: null }, attempts };
}

/** Running an action on a payment: the change behind its guard, its event, key and deliveries in one D1 batch. */
import type { Origin } from "../context";
import { currenciesWith, currencyExponent, MAX_EXPONENT } from "../money/currency";
import { type ReadAmount, toMinor } from "../money/money";
import { type DeliveryId, insertDeliveries } from "../outbox/outbox";
import type { Committed } from "../payment/create";
import { findEvents, insertEvent, newestEvent } from "../payment/history";
import {
  type Action,
  EXPIRING,
  eventType,
  MAY_AUTHORIZE,
  type Status,
  statusAfter,
  statusesBefore,
  statusesRepeating,
} from "../payment/lifecycle";
import { PAYMENT_COLUMNS, type Payment } from "../payment/payment";
import type { Refund, RefundDetails } from "../payment/refund";
import { findOther, MAY_CONFIRM } from "../payment/single";
import type { Failure } from "../provider/failures";
import { commitTime } from "../storage/clock";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import { join, raw, type Sql, sql } from "../storage/sql";
import { type Classification, classify, type Found, isRefusal, type KeyBefore } from "./classify";
import { type FoundRefund, readRefund, refundOfKey } from "./refunds";

/** What was done, now or by an earlier request with the key. */
export interface ActionSuccess extends Committed {
  readonly tag: "changed" | "unchanged" | "replayed";
  /** The refund that it has come to, where its details were given, and a key; null otherwise. */
  readonly refund: Refund | null;
}

/** The result of an action; a change with the deliveries of its event, as far as the answer was not lost. */
export type ActionResult = ActionSuccess | Exclude<Classification, { tag: ActionSuccess["tag"] }>;

/** An action on a payment, and under which conditions. */
export interface ActionRequest {
  readonly action: Action;
  readonly idempotency: Idempotency | null;
  /** The versions that the payment may be in; null when any will do. */
  readonly expected: readonly number[] | null;
  /** What is to be refunded or captured, in major units of the payment's currency; null for all that is left. */
  readonly amount?: number | string | null;
  /** Why the payment fails, where that is asked for. */
  readonly failure?: Failure | null;
  /** What the refund says of itself; where it is given, and a key, the result has the refund. */
  readonly refund?: RefundDetails | null;
  /** Why a payment is cancelled, for the provider's records. */
  readonly reason?: string | null;
  /** The provider's token for the payer's means of payment. */
  readonly paymentMethod?: string | null;
  /** Where the payer's browser returns to. */
  readonly returnUrl?: string | null;
  /** Where payers reach this service: the sandbox's hosted page is there. */
  readonly serviceOrigin?: string;
}

/** What an action stores, in bytes: its event, and, beside the key itself, the row of its key. */
export const ACTION_BYTES = 180;
export const IDEMPOTENCY_KEY_BYTES = 120;

const listOf = (statuses: readonly Status[]): Sql =>
  join(
    statuses.map((status) => sql`${status}`),
    ", ",
  );

/** What an action changes of a payment's row, beside its status, and what must hold for it. */
interface Step {
  readonly status: Sql;
  readonly sets: readonly Sql[];
  readonly guards: readonly Sql[];
  /** The type and the data of the event, of the row as it is after the change. */
  readonly type: Sql;
  readonly data: Sql;
}

/** What each action does to a payment of a provider that settles at once. */
function stepOf({ action, amount = null, failure = null, refund = null }: ActionRequest, now: number): Step {
  const status = statusAfter(action);
  const plain = { status: sql`${status}`, sets: [], guards: [], type: sql`${eventType(status)}` };
  switch (action) {
    case "confirm":
      return {
        ...plain,
        sets: [raw("captured_minor = amount_minor")],
        guards: [sql`(expires_at IS NULL OR expires_at > ${commitTime(now)})`, MAY_CONFIRM],
        data: raw("json_object('status', status, 'captured_minor', captured_minor)"),
      };
    case "capture":
      return {
        ...plain,
        sets: [sql`captured_minor = ${minorOr(amount, raw("amount_minor"))}`],
        guards: [sql`${minorOr(amount, raw("amount_minor"))} <= amount_minor`],
        data: raw("json_object('status', status, 'captured_minor', captured_minor)"),
      };
    case "fail":
      return {
        ...plain,
        sets: [sql`failure = ${failure && JSON.stringify(failure)}`],
        data: raw("json_object('status', status, 'failure', failure)"),
      };
    case "cancel":
      return { ...plain, data: raw("json_object('status', status)") };
    case "refund": {
      // Of a part, the last one is the whole.
      const refunded = sql`refunded_minor + ${minorOr(amount, raw("captured_minor - refunded_minor"))}`;
      const isLast = raw("refunded_minor = captured_minor");
      return {
        status: sql`iif(${refunded} = captured_minor, ${status}, status)`,
        sets: [sql`refunded_minor = ${refunded}`],
        guards: [sql`${refunded} <= captured_minor`],
        type: sql`iif(${isLast}, ${eventType(status)}, 'refund.succeeded')`,
        data: sql`json_object('status', status, 'refunded_minor', refunded_minor, 'refund', json(${JSON.stringify(refund ?? NO_DETAILS)}))`,
      };
    }
  }
}

/** An amount in minor units of the row's currency, NULL where it is finer than that; without one, all of something. */
export function minorOr(amount: number | string | null, all: Sql): Sql {
  if (amount === null) return sql`(${all})`;
  const [none, two, three] = [0, 2, 3].map((exponent) => {
    const read = toMinor(amount, exponent);
    return read.ok ? read.minor : null;
  });
  const isOf = (exponent: number) => raw(`currency IN ('${currenciesWith(exponent).join("', '")}')`);
  return sql`CASE WHEN ${isOf(0)} THEN ${none ?? null} WHEN ${isOf(3)} THEN ${three ?? null} ELSE ${two ?? null} END`;
}

const NO_DETAILS: RefundDetails = { reason: null, metadata: {} };

/** Of a payment that settles at once; of one of a provider, nothing may be under way there. */
const SETTLES_HERE = raw("provider = 'internal'");
const NOTHING_OPEN = raw(`NOT EXISTS (SELECT 1 FROM operations WHERE operations.payment_id = payments.id
      AND operations.merchant_id = payments.merchant_id AND operations.state IN ('open', 'unknown', 'pending'))`);

/** The statements of an action, in their order: those about the idempotency key are null without one. */
function statementsOf(origin: Origin, id: number, request: ActionRequest, isOurs: boolean) {
  const { merchantId, now } = origin;
  const { action, idempotency, expected } = request;
  const { status, sets, guards, type, data } = stepOf(request, now);
  const key = idempotency?.key ?? null;
  const isIt = sql`id = ${id} AND merchant_id = ${merchantId}`;
  const versions = expected && JSON.stringify(expected);
  const isExpected = sql`(${versions} IS NULL OR version IN (SELECT value FROM json_each(${versions})))`;
  const from = statusesBefore(action);
  const repeating = statusesRepeating(action);

  const keyBefore = sql`SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key}`;
  const ended = [
    ...(from.some((one) => EXPIRING.includes(one)) ? [raw("expiry_due_at = NULL")] : []),
    ...(from.some((one) => MAY_AUTHORIZE.includes(one)) ? [raw("payment_method = NULL")] : []),
  ];
  const change = sql`
    UPDATE payments SET ${join([sql`status = ${status}`, ...sets, ...ended], ", ")},
      version = version + 1, updated_at = max(${commitTime(now)}, newest.created_at),
      event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
    FROM ${newestEvent(merchantId)}
    WHERE ${join([isIt, isOurs ? NOTHING_OPEN : SETTLES_HERE, sql`status IN (${listOf(from)})`, isExpected, ...guards], " AND ")}
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key})`;
  const event = insertEvent(sql`${isIt} AND changes() = 1`, origin, {
    type,
    data,
    idempotencyKey: key,
    storedBytes:
      ACTION_BYTES + detailBytes(request) + (idempotency ? IDEMPOTENCY_KEY_BYTES + 2 * idempotency.key.length : 0),
  });
  // A success is a change, which the event just inserted shows, or a repetition.
  const repetition =
    repeating.length > 0 ? sql` OR ${SETTLES_HERE} AND status IN (${listOf(repeating)}) AND ${isExpected}` : sql``;
  const insertKey = sql`
    INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
    SELECT ${merchantId}, ${key}, ${idempotency?.fingerprint ?? null}, id, ${commitTime(now)} FROM payments
    WHERE ${isIt} AND (changes() = 1${repetition})
    ON CONFLICT (merchant_id, key) DO NOTHING`;
  const after = paymentAfter(origin, id);
  const made = request.refund && key !== null ? refundOfKey(merchantId, id, key) : null;
  return { keyBefore: idempotency && keyBefore, change, event, insertKey: idempotency && insertKey, after, made };
}

/** A payment, with the version that this request's own event has made, as a query. */
export const paymentAfter = ({ merchantId, commitId }: Origin, id: number): Sql => sql`
    SELECT ${PAYMENT_COLUMNS}, own.sequence AS own_version FROM payments
    LEFT JOIN events AS own ON own.merchant_id = payments.merchant_id
      AND own.position IN (SELECT value FROM json_each(event_positions)) AND own.commit_id = ${commitId}
    WHERE payments.id = ${id} AND payments.merchant_id = ${merchantId}`;

/** What an action's details take in its event, in bytes. */
function detailBytes({ failure, refund }: ActionRequest): number {
  return [failure, refund].reduce((sum, detail) => sum + (detail ? 2 * JSON.stringify(detail).length : 0), 0);
}

export interface IdempotencyKeyRow {
  fingerprint: string;
}

export interface PaymentAfter extends Payment {
  readonly own_version: number | null;
}

/**
 * Runs an action on a payment that settles at once, or what is for the service alone to do of any other. The guard is in
 * the SQL, so that it holds also when two instances of the object run; what happened is read from the key as it was before, and the row and the event as they are after. One
 * round trip. Running it again in the same request finds its own commit.
 *
 * @throws Outage also instead of a refusal that a lost attempt, arriving later, could belie
 */
export async function applyAction(
  db: Database,
  origin: Origin,
  id: number,
  request: ActionRequest,
  isOurs = false,
): Promise<ActionResult> {
  const { keyBefore, change, event, insertKey, after, made } = statementsOf(origin, id, request, isOurs);
  const batch = [keyBefore, change, event, insertKey, insertDeliveries(id, origin), after, made];
  type Rows = [IdempotencyKeyRow, never, never, never, DeliveryId, PaymentAfter, FoundRefund];
  const { rows, attempts } = await db.batch<Rows>(batch);
  const [[key], , , , deliveries, [payment], [refund]] = rows;

  const isSame = key?.fingerprint === request.idempotency?.fingerprint;
  const before: KeyBefore = key === undefined ? "free" : isSame ? "same request" : "other request";
  const found = payment ? await foundOf(db, payment) : null;
  const amount = found && readAmount(request.amount ?? null, found.payment);
  const result = classify({ ...request, amount, now: origin.now, isOurs }, before, found);
  // An attempt whose answer was lost may still arrive, and then succeed: a refusal would be a guess.
  if (attempts > 1 && isRefusal(result)) throw new Outage("An earlier attempt may still arrive");
  if (found && result.tag === "refused" && result.status === "pending" && request.action === "confirm") {
    // Nothing but another payment keeps a pending one from its confirmation.
    const other = await findOther(db, found.payment);
    if (other === null) throw new Outage("What was in the way has gone since");
    return { tag: "in_the_way", other };
  }
  if (isRefusal(result) || result.tag === "key_reused" || result.tag === "elsewhere") return result;
  return { ...result, deliveries, refund: refund ? readRefund(refund) : null };
}

function readAmount(amount: number | string | null, { currency }: Payment): ReadAmount | null {
  return amount === null ? null : toMinor(amount, currencyExponent(currency) ?? MAX_EXPONENT);
}

/** What a batch has found. One more round trip where others have gone on from this request's own change. */
export async function foundOf(db: Database, { own_version, ...payment }: PaymentAfter): Promise<Found> {
  if (own_version === null) return { payment, own: null };
  if (own_version === payment.version) return { payment, own: payment };
  const events = await findEvents(db, payment.merchant_id, payment.id);
  return { payment, own: events.find(({ sequence }) => sequence === own_version)?.payment ?? null };
}

/** Creating a payment: its row, its idempotency key, its first event and their deliveries in one D1 batch. */
import type { SealedPlace } from "../auth/seal";
import type { Origin } from "../context";
import { type DeliveryId, insertDeliveries } from "../outbox/outbox";
import { type AccountOfNew, accountOfNew, isWithoutAccount, whyNoAccount } from "../provider/accounts/of-new-payment";
import type { ProviderName } from "../provider/providers";
import type { CaptureMethod } from "../provider/seam";
import { commitTime } from "../storage/clock";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import { join, raw, type Sql, sql } from "../storage/sql";
import { findEvents, insertEvent, newestEvent } from "./history";
import { eventType, INITIAL_STATUS, type Status } from "./lifecycle";
import { jsonBytes, metadataBytes, prefixOf } from "./metadata";
import { PAYMENT_COLUMNS, type Payment } from "./payment";
import { isInTheWay, type OtherPayment, otherOfNew, type Purpose, singleOfNew } from "./single";

/** What a new payment is made of. The money is an integer of minor units with its currency. */
export interface NewPayment extends PaymentDetails {
  /** Null where only a reference names what is paid for. */
  readonly order_id: number | null;
  readonly amount_minor: number;
  readonly currency: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** After how many seconds the payment expires. */
  readonly expires_in?: number;
  /** 1 for a payment that demands to be the only live or paid one of its order or reference. */
  readonly single?: 1;
  /** Left out where the merchant's default account decides. */
  readonly provider?: ProviderName;
  /** The account of the provider; left out where the merchant's default, or its only one, is meant. */
  readonly provider_account?: string;
}

/** What a payment may have; what is a default is left out. */
interface PaymentDetails {
  readonly reference?: string;
  readonly description?: string;
  readonly capture_method?: CaptureMethod;
  readonly return_url?: string;
}

/**
 * Where the token of a payment's means of payment is sealed for: for this payment alone, which its first event's
 * `commit_id` names before it has an id.
 */
export function paymentMethodPlace(merchantId: number, commitId: string): SealedPlace {
  return { account: "payment_method", merchantId, field: `payments/${commitId}/payment_method` };
}

/** A success that changed something, and the deliveries of its event, as far as the answer was not lost. */
export interface Committed {
  readonly payment: Payment;
  readonly deliveries: readonly DeliveryId[];
}

export type CreateResult =
  | ({ tag: "created" } & Committed)
  | { tag: "replayed"; payment: Payment }
  | { tag: "key_reused" }
  /** Another live or paid payment of the order or reference, where one of the two demands to be the only one. */
  | { tag: "in_the_way"; other: OtherPayment }
  /** The merchant has no account that the payment could be made at. */
  | { tag: "no_account"; detail: string };

/** What a creation stores beside its key and texts, in bytes: the rows of the payment, its key and event, and two indexes. */
const CREATION_BYTES = 450;
/** What an entry of another index takes beside its texts, in bytes. */
const INDEX_ENTRY_BYTES = 30;

/** What the texts and the end of a payment take, in bytes: in its row and its event, and in the indexes of those that have one. */
function detailBytes(details: PaymentDetails, expires_in: number | undefined): number {
  const { reference } = details;
  const own = Object.keys(details).length === 0 ? 0 : 2 * jsonBytes(details);
  const indexed = reference === undefined ? 0 : jsonBytes(reference) + INDEX_ENTRY_BYTES;
  return own + indexed + (expires_in === undefined ? 0 : 2 * INDEX_ENTRY_BYTES);
}

/**
 * Creates a payment, its key and its first event, or finds what the key has led to already. One round
 * trip, two for a retry, or for what is refused.
 *
 * @param sealedMethod the token of the payer's means of payment, sealed for `paymentMethodPlace`
 */
export async function createPayment(
  db: Database,
  origin: Origin,
  idempotency: Idempotency,
  payment: NewPayment,
  sealedMethod: string | null = null,
): Promise<CreateResult> {
  const tripsBefore = db.cost.trips;
  const inserted = await insertPayment(db, origin, idempotency, payment, sealedMethod);
  if (typeof inserted === "object") return { tag: "created", ...inserted };
  const isRetried = db.cost.trips > tripsBefore + 1;
  const found = await findRefused(
    db,
    origin,
    idempotency,
    inserted === "in the way" ? purposeOf(origin, payment) : null,
  );
  if (found === null && inserted === "no account") {
    const detail = await whyNoAccount(db, origin.merchantId, payment);
    if (detail !== null) return { tag: "no_account", detail };
  }
  // An attempt whose answer was lost may still arrive, when what is in its way has gone: a refusal would be a guess.
  if (found?.tag === "in_the_way" && isRetried) throw new Outage("An earlier attempt may still arrive");
  // A key that has ended just now is free again, and so is an order whose payment has.
  return found ?? createPayment(db, origin, idempotency, payment, sealedMethod);
}

const purposeOf = ({ merchantId }: Origin, { order_id, reference, single }: NewPayment): Purpose => ({
  merchant_id: merchantId,
  order_id,
  reference: reference ?? null,
  single: single ?? 0,
});

/** Inserts a payment and all that belongs to it, or says what keeps it from that. One round trip. */
async function insertPayment(
  db: Database,
  origin: Origin,
  { key, fingerprint }: Idempotency,
  payment: NewPayment,
  sealedMethod: string | null,
): Promise<Committed | "key taken" | "in the way" | "no account"> {
  const { merchantId, now } = origin;
  const { order_id, amount_minor, currency, metadata, expires_in, single, provider, provider_account, ...details } =
    payment;
  const account = accountOfNew(merchantId, { provider, provider_account });
  const status: Status = INITIAL_STATUS;
  const made = {
    ...(order_id !== null && { order_id }),
    amount_minor,
    currency,
    status,
    ...details,
    ...(single === 1 && { single }),
  };
  const hasPairs = Object.keys(metadata).length > 0;
  const more: (readonly [column: string, value: Sql])[] = [
    ["single", singleOfNew(purposeOf(origin, payment))],
    ...(account.known === null ? [["provider_account_id", raw("account.id")] as const] : []),
    ...Object.entries(details).map(([column, value]) => [column, sql`${value}`] as const),
    ...(sealedMethod === null ? [] : [["payment_method", sql`${sealedMethod}`] as const]),
    ...(expires_in === undefined
      ? []
      : ["expires_at", "expiry_due_at"].map((column) => [column, sql`time + ${1_000 * expires_in}`] as const)),
  ];

  // A merchant's events, and so its payments, have times in the order of their positions, whatever the clocks of
  // several machines say: a list by time never has a new payment appear behind a reader.
  const insertRow = sql`
    INSERT INTO payments
      (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, metadata,
       event_positions${raw(more.map(([column]) => `, ${column}`).join(""))})
    SELECT ${merchantId}, ${order_id}, ${amount_minor}, ${currency}, ${made.status}, ${account.provider}, 1, time, time,
      ${JSON.stringify(metadata)}, json_array(position)${join(
        more.map(([, value]) => sql`, ${value}`),
        "",
      )}
    FROM (SELECT max(${commitTime(now)}, coalesce(created_at, 0)) AS time, coalesce(position, 0) + 1 AS position
      FROM (SELECT 1) LEFT JOIN ${newestEvent(merchantId)})${account.join}
    RETURNING ${PAYMENT_COLUMNS}`;
  // A key that is taken fails this, and the whole batch with it. The tables after `payments` have no rowid,
  // so last_insert_rowid() stays the payment's.
  const insertKey = sql`
    INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
    VALUES (${merchantId}, ${key}, ${fingerprint}, last_insert_rowid(), ${commitTime(now)})`;
  const insertFirstEvent = insertEvent(sql`id = last_insert_rowid()`, origin, {
    type: eventType(made.status),
    data: dataOf(made, account, expires_in !== undefined),
    idempotencyKey: key,
    storedBytes:
      CREATION_BYTES +
      2 * key.length +
      metadataBytes(metadata) +
      detailBytes(details, expires_in) +
      (sealedMethod?.length ?? 0),
  });
  const insertMetadata = sql`
    INSERT INTO payment_metadata (merchant_id, name, prefix, created_at, payment_id)
    SELECT merchant_id, pair.key, ${prefixOf(sql`pair.value`)}, created_at, payments.id FROM payments, json_each(metadata) AS pair
    WHERE payments.id = last_insert_rowid()`;
  const deliver = insertDeliveries(raw("last_insert_rowid()"), origin);
  const batch = [insertRow, insertKey, insertFirstEvent, hasPairs ? insertMetadata : null, deliver];
  try {
    const { rows } = await db.batch<[Payment, never, never, never, DeliveryId]>(batch);
    const [[inserted], , , , deliveries] = rows;
    if (!inserted) throw new Error("The insert of a payment returned no row");
    return { payment: inserted, deliveries };
  } catch (error) {
    if (isIdempotencyKeyTaken(error)) return "key taken";
    if (isWithoutAccount(error)) return "no account";
    if (isInTheWay(error)) return "in the way";
    throw error;
  }
}

/** What a payment is made of, as JSON: as SQL on its row where that alone knows its account, or when it expires. */
function dataOf(made: object, account: AccountOfNew, expires: boolean): string | Sql {
  const known = JSON.stringify({ ...made, ...(account.known !== null && { provider: account.known }) });
  const own = [
    ...(account.known === null ? ["provider", "provider_account_id"] : []),
    ...(expires ? ["expires_at"] : []),
  ];
  if (own.length === 0) return known;
  // A merge patch leaves out what is NULL.
  return sql`json_patch(${known}, json_object(${raw(own.map((column) => `'${column}', ${column}`).join(", "))}))`;
}

/** What the key of a creation has led to; null when it is free. One round trip; two for a payment that has gone on meanwhile. */
export function findCreated(db: Database, origin: Origin, idempotency: Idempotency): Promise<CreateResult | null> {
  return findRefused(db, origin, idempotency, null);
}

/** What the key of a creation has led to, or else what is in its way; null when nothing is. Round trips as of `findCreated`. */
async function findRefused(
  db: Database,
  { merchantId, commitId }: Origin,
  { key, fingerprint }: Idempotency,
  purpose: Purpose | null,
): Promise<CreateResult | null> {
  const { rows } = await db.batch<[FoundByIdempotencyKey, OtherPayment]>([
    findByIdempotencyKey(merchantId, key),
    purpose && otherOfNew(purpose),
  ]);
  const [[found], [other]] = rows;
  if (!found) return other ? { tag: "in_the_way", other } : null;
  const { fingerprint: recorded, commit_id: creator, ...payment } = found;
  if (recorded !== fingerprint) return { tag: "key_reused" };
  if (creator !== commitId) return { tag: "replayed", payment };
  // An attempt whose answer was lost had committed: this very request made the payment, as it was then.
  const [first] = payment.version === 1 ? [] : await findEvents(db, merchantId, payment.id);
  const asItWas = first?.payment ?? payment;
  return { tag: "created", payment: asItWas, deliveries: [] };
}

function findByIdempotencyKey(merchantId: number, key: string): Sql {
  return sql`
    SELECT ${PAYMENT_COLUMNS}, idempotency_keys.fingerprint, first.commit_id
    FROM idempotency_keys
    JOIN payments ON payments.id = idempotency_keys.payment_id AND payments.merchant_id = idempotency_keys.merchant_id
    JOIN events AS first ON first.merchant_id = payments.merchant_id AND first.position = event_positions ->> '$[0]'
    WHERE idempotency_keys.merchant_id = ${merchantId} AND idempotency_keys.key = ${key}`;
}

/** The payment that a key has led to, the fingerprint kept with the key, and the request that made it. */
interface FoundByIdempotencyKey extends Payment {
  fingerprint: string;
  commit_id: string | null;
}

function isIdempotencyKeyTaken(error: unknown): boolean {
  return error instanceof Error && error.message.includes("UNIQUE constraint failed: idempotency_keys.");
}

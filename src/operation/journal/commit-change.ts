/** Committing a change that the reducer has decided on: the payment, its event and deliveries, and the journal in one batch. */
import type { Origin } from "../../context";
import { type DeliveryId, insertDeliveries } from "../../outbox/outbox";
import { insertEvent, newestEvent } from "../../payment/history";
import { EXPIRING, MAY_AUTHORIZE, type Status } from "../../payment/lifecycle";
import { accountName } from "../../provider/accounts/names";
import { toStoredDispute } from "../../provider/dispute";
import { commitTime } from "../../storage/clock";
import type { Database } from "../../storage/database";
import { join, raw, type Sql, sql } from "../../storage/sql";
import { applyChange, type Change, isUnsettled, type OperationView, type PaymentPatch } from "../reducer/change";
import { type Book, type BookRows, bookOf, bookStatements, heldMinor, REFUND_STATUS } from "./book";
import { dataWithItem, storeItem } from "./items";
import { type Attempt, appended } from "./journal";

/** What a change stores in its event, in bytes, about. */
const CHANGE_BYTES = 400;

export interface CommittedChange {
  /** Whether it was committed, by this call or by an attempt of it whose answer was lost. */
  readonly committed: boolean;
  /** The book after it. */
  readonly book: Book;
  readonly deliveries: readonly DeliveryId[];
}

/** The calls that led to a change, and when the provider is asked again about what it leaves unsettled, in milliseconds. */
export interface Asked {
  readonly attempts: readonly Attempt[];
  readonly dueAt: number;
}

/**
 * Commits a change of a payment that is still in the version that was read; another instance of the object may have gone
 * on meanwhile, and then nothing is changed. One round trip. Safe to run twice with the same origin: a change
 * with an event knows its own, one without sets what it sets.
 */
export async function commitChange(
  db: Database,
  origin: Origin,
  book: Book,
  change: Change,
  { attempts, dueAt }: Asked,
): Promise<CommittedChange> {
  const { merchantId, commitId, now } = origin;
  const { payment, view } = book;
  const { id, version } = payment;
  const { event } = change;
  const isIt = sql`id = ${id} AND merchant_id = ${merchantId}`;
  const isIts = sql`merchant_id = ${merchantId} AND payment_id = ${id}`;
  const time = commitTime(now);

  // No event has told of the provider's name for the payment yet: the journal had it.
  const isNamed = payment.provider_reference !== null || view.providerReference === null;
  const patch: PaymentPatch = { ...(!isNamed && { providerReference: view.providerReference }), ...change.payment };
  const nowHeld = heldMinor(applyChange(view, change));
  const columns = { ...columnsOf(patch), ...(nowHeld !== payment.held_minor && { held_minor: nowHeld }) };
  const sets = Object.entries(columns).map(([column, value]) => sql`${raw(column)} = ${value}`);
  const expiry = patch.status === undefined ? [] : [expiryOf(patch.status)];
  const wiped =
    patch.status === undefined || MAY_AUTHORIZE.includes(patch.status) ? [] : [raw("payment_method = NULL")];
  const update = sql`
    UPDATE payments SET ${join([...sets, ...expiry, ...wiped, raw("version = version + 1")], ", ")},
      updated_at = max(${time}, newest.created_at),
      event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
    FROM ${newestEvent(merchantId)} WHERE ${isIt} AND version = ${version}`;
  const { dispute, item } = change;
  const account = book.account && accountName(book.account);
  const toOpen = item && { ...item, payment_id: id, account };
  const settled = change.operations.map(({ number }) => book.operations.find((row) => row.number === number));
  const insertIts =
    event &&
    insertEvent(sql`${isIt} AND changes() = 1`, origin, {
      type: event.type,
      data: toOpen
        ? dataWithItem(merchantId, columns, toOpen, time)
        : JSON.stringify({ ...columns, ...besideOf(book, change) }),
      idempotencyKey: settled.find((row) => row?.idempotency_key)?.idempotency_key ?? null,
      storedBytes: CHANGE_BYTES,
    });
  // What stands beside the payment changes with its event; without one, while the payment is as it was read.
  const holds = event
    ? sql`EXISTS (SELECT 1 FROM payments JOIN events ON events.merchant_id = payments.merchant_id
        AND events.position = event_positions ->> '$[#-1]' AND events.commit_id = ${commitId}
        WHERE payments.id = ${id} AND payments.merchant_id = ${merchantId})`
    : sql`EXISTS (SELECT 1 FROM payments WHERE ${isIt} AND version = ${version})`;
  const updateOperations = sql`
    UPDATE operations SET state = settled.value ->> 'state', failure = settled.value ->> 'failure',
      provider_reference = coalesce(settled.value ->> 'reference', provider_reference),
      due_at = iif(settled.value ->> 'unsettled', ${dueAt}, NULL), request = iif(settled.value ->> 'unsettled', request, NULL),
      attempted = attempted + 1, attempts = ${appended(attempts)},
      updated_at = max(updated_at, ${time})
    FROM json_each(${JSON.stringify(change.operations.map(toUpdate))}) AS settled
    WHERE ${isIts} AND number = settled.value ->> 'number' AND ${holds}`;
  const upsertDispute =
    dispute &&
    sql`
    INSERT INTO disputes (merchant_id, payment_id, reference, amount_minor, state, reason, due_at, created_at, updated_at)
    SELECT ${merchantId}, ${id}, ${dispute.reference}, ${dispute.amountMinor}, ${dispute.state}, ${dispute.reason},
      ${dispute.dueAt}, ${time}, ${time} WHERE ${holds}
    ON CONFLICT (merchant_id, payment_id, reference) DO UPDATE SET amount_minor = excluded.amount_minor, state = excluded.state,
      reason = excluded.reason, due_at = excluded.due_at, updated_at = max(updated_at, excluded.updated_at)`;
  type Rows = [never, never, never, never, never, never, DeliveryId, { holds: number }, ...BookRows];
  const { rows } = await db.batch<Rows>([
    event && update,
    insertIts,
    change.operations.length > 0 ? updateOperations : null,
    change.adopt && insertAdopted(change.adopt, origin, id, holds, dueAt),
    upsertDispute,
    toOpen && storeItem(merchantId, toOpen, time, holds),
    event && insertDeliveries(id, origin),
    sql`SELECT ${holds} AS holds`,
    ...bookStatements(merchantId, id),
  ]);
  const [, , , , , , deliveries, [held], ...found] = rows;
  const after = bookOf(found, "free");
  if (after === null) throw new Error("A payment is gone");
  return { committed: held?.holds === 1, book: after, deliveries };
}

/** What a patch sets, by column. */
function columnsOf({ status, capturedMinor, refundedMinor, failure, nextAction, providerReference }: PaymentPatch) {
  return {
    ...(status !== undefined && { status }),
    ...(capturedMinor !== undefined && { captured_minor: capturedMinor }),
    ...(refundedMinor !== undefined && { refunded_minor: refundedMinor }),
    ...(failure !== undefined && { failure: failure && JSON.stringify(failure) }),
    ...(nextAction !== undefined && { next_action: nextAction && JSON.stringify(nextAction) }),
    ...(providerReference !== undefined && { provider_reference: providerReference }),
  };
}

/** A payment expires while its payer can still go on. */
const expiryOf = (status: Status): Sql =>
  EXPIRING.includes(status) ? raw("expiry_due_at = expires_at") : raw("expiry_due_at = NULL");

const toUpdate = ({ number, state, failure, providerReference }: Change["operations"][number]) => ({
  number,
  state,
  failure: failure && JSON.stringify(failure),
  reference: providerReference,
  unsettled: isUnsettled(state),
});

/** What stands in an event beside the payment: the refund as it is after the change, or the dispute. */
function besideOf({ operations }: Book, { event, operations: updates, adopt, dispute }: Change): object {
  if (dispute !== null) return { dispute: toStoredDispute(dispute) };
  if (event?.refund == null) return {};
  const row = operations.find(({ number }) => number === event.refund);
  const after = updates.find(({ number }) => number === event.refund) ?? adopt;
  return {
    refund: {
      number: event.refund,
      amount_minor: row?.amount_minor ?? adopt?.amountMinor,
      status: REFUND_STATUS[after?.state ?? row?.state ?? "open"],
      failure: after?.failure ?? null,
      reason: row?.reason ?? null,
      metadata: JSON.parse(row?.metadata ?? "{}"),
      ...(row && { created_at: row.created_at }),
    },
  };
}

function insertAdopted(
  { number, kind, amountMinor, state, nonce, providerReference, failure, source }: OperationView,
  { merchantId, requestId, now }: Origin,
  paymentId: number,
  holds: Sql,
  dueAt: number,
): Sql {
  return sql`
    INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, nonce, provider_reference, failure,
      request_id, due_at, created_at, updated_at)
    SELECT ${merchantId}, ${paymentId}, ${number}, ${kind}, ${amountMinor}, ${state}, ${source}, ${nonce}, ${providerReference},
      ${failure && JSON.stringify(failure)}, ${requestId}, ${isUnsettled(state) ? dueAt : null}, ${commitTime(now)}, ${commitTime(now)}
    WHERE ${holds}
    ON CONFLICT (merchant_id, payment_id, number) DO NOTHING`;
}

/** The steps of a run that find what differs: through the provider's listings, and through what they did not name. */
import type { ListedEntry, Listing } from "../provider/listing";
import { raw, type Sql, sql } from "../storage/sql";
import { compareEntry, type Difference, isSamePayment, type OwnPayment } from "./compare";
import { type Committed, commitStep, type Desk, type Stepped, type Unheard } from "./desk";
import { readOwn } from "./own";
import { isAt, type Phase, type Progress } from "./runs";

/** How long after what differs was seen, and its payment woken, it is looked at again, in milliseconds. */
export const LOOK_AFTER_MS = 60_000;

/** Events that one step goes through. */
const EVENTS_PER_STEP = 1_000;

/** Payments of one row of `reconciliation_seen`. */
const PAYMENTS_PER_BLOCK = raw("60");

const AFTER: Readonly<Record<Listing, Phase>> = { payments: "refunds", refunds: "disputes", disputes: "own" };

/** An entry that differs. */
interface Differing {
  readonly entry: ListedEntry;
  /** The payment here that it names; undefined where there is none. */
  readonly named: OwnPayment | undefined;
  readonly differences: readonly Difference[];
}

/**
 * Goes through the next page of a listing. What differs has its payment woken, which hears what is new and adopts what was made at the
 * provider, and is looked at again later. Two round trips, one where the page has no entry.
 */
export async function stepThroughPage(desk: Desk, listing: Listing): Promise<Stepped> {
  const { db, run, progress, account, adapter, connection } = desk;
  const { cursor } = progress;
  const listed = await adapter.list(connection, { listing, from: run.from_at, to: run.to_at, cursor });
  if (listed.tag !== "listed") return unheard(listed);
  const { entries, next } = listed;
  if (next !== null && next === cursor) return unheard({ detail: "The provider's list does not go on" });

  const ids = entries.flatMap(({ paymentId }) => paymentId ?? []);
  const own = await readOwn(db, run.merchant_id, account.provider, ids, listing);
  const differing = entries.flatMap((entry): Differing[] => {
    const named = entry.paymentId === null ? undefined : own.get(entry.paymentId);
    const differences = compareEntry(listing, entry, named);
    return differences.length === 0 ? [] : [{ entry, named, differences }];
  });
  // Before the commit: what breaks off in between wakes them again.
  await desk.wake(run.merchant_id, [...new Set(differing.flatMap(({ named }) => named?.id ?? []))]);

  const seen = entries.flatMap(({ paymentId, ...entry }) =>
    listing === "payments" && paymentId !== null && isSamePayment({ paymentId, ...entry }, own.get(paymentId))
      ? [paymentId]
      : [],
  );
  return commitStep(
    desk,
    [
      seen.length === 0 ? null : markSeen(desk, seen),
      differing.length === 0 ? null : insertLooks(desk, listing, differing),
    ],
    { compared: run.compared + entries.length, progress: nextProgress(progress, listing, next) },
    // Of a page that comes again, nothing is new.
    differing.length === 0 ? {} : { differing: raw("changes()") },
  );
}

function nextProgress(progress: Progress, listing: Listing, next: string | null): Progress {
  const heard = { ...progress, cursor: next, misses: 0 };
  return next === null ? { ...heard, phase: AFTER[listing] } : heard;
}

function unheard(answer: { readonly detail: string; readonly retryAfterMs?: number | null }): Unheard {
  return { tag: "unheard", detail: answer.detail, retryAfterMs: answer.retryAfterMs ?? null };
}

/** Notes which payments were listed, in as few rows as their ids are near each other. */
function markSeen({ run }: Desk, ids: readonly number[]): Sql {
  return sql`
    INSERT INTO reconciliation_seen (run_id, block, bits)
    SELECT ${run.id}, id / ${PAYMENTS_PER_BLOCK}, sum(1 << (id % ${PAYMENTS_PER_BLOCK}))
    FROM (SELECT DISTINCT value AS id FROM json_each(${JSON.stringify(ids)})) WHERE ${isAt(run)} GROUP BY 2
    ON CONFLICT (run_id, block) DO UPDATE SET bits = bits | excluded.bits`;
}

/** Notes what differs, to be looked at again. */
function insertLooks({ run, now }: Desk, listing: Listing, differing: readonly Differing[]): Sql {
  const looks = differing.map(({ entry, named, differences }) => {
    return { reference: entry.reference, payment_id: named?.id ?? 0, entry, said: differences };
  });
  return sql`
    INSERT INTO reconciliation_looks (run_id, listing, reference, payment_id, entry, said, looks, due_at)
    SELECT ${run.id}, ${listing}, value ->> 'reference', value ->> 'payment_id', value ->> 'entry', value ->> 'said', 1,
      ${now() + LOOK_AFTER_MS}
    FROM json_each(${JSON.stringify(looks)}) WHERE ${isAt(run)}
    ON CONFLICT (run_id, listing, reference) DO NOTHING`;
}

/**
 * Goes through the next events of the run's time: their payments at the account that no listing had are asked for singly. One round
 * trip; one more to find where the events of the time begin.
 */
export async function stepThroughOwn(desk: Desk): Promise<Committed> {
  const { db, run, progress, now } = desk;
  if (progress.events === null) {
    const [events] = await db.all<{ after: number; upTo: number }>(sql`
      SELECT (${lastBefore(run.merchant_id, run.from_at)}) AS after, (${lastBefore(run.merchant_id, run.to_at)}) AS upTo`);
    return commitStep(desk, [], { progress: { ...progress, events: events ?? { after: 0, upTo: 0 } } });
  }
  const { after, upTo } = progress.events;
  if (after >= upTo) return commitStep(desk, [], { progress: { ...progress, phase: "looks", events: null } });
  const next = Math.min(after + EVENTS_PER_STEP, upTo);
  const note = sql`
    INSERT INTO reconciliation_looks (run_id, listing, reference, payment_id, looks, due_at)
    SELECT DISTINCT ${run.id}, 'own', payments.provider_reference, payments.id, 0, ${now()}
    FROM events CROSS JOIN payments ON payments.id = events.payment_id AND payments.merchant_id = events.merchant_id
    WHERE events.merchant_id = ${run.merchant_id} AND events.position > ${after} AND events.position <= ${next}
      AND payments.provider_account_id = ${run.account_id} AND payments.provider_reference IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM reconciliation_seen AS seen WHERE seen.run_id = ${run.id}
        AND seen.block = payments.id / ${PAYMENTS_PER_BLOCK} AND (seen.bits >> (payments.id % ${PAYMENTS_PER_BLOCK})) & 1)
      AND ${isAt(run)}
    ON CONFLICT (run_id, listing, reference) DO NOTHING`;
  return commitStep(desk, [note], { progress: { ...progress, events: { after: next, upTo } } });
}

/**
 * The position of a merchant's last event before a time, as a query: a merchant's events are in the order of their times, so that it is
 * found by halving; some fifty rows are read, however many there are.
 */
function lastBefore(merchantId: number, time: number): Sql {
  const middle = raw("((low + high + 1) / 2)");
  const isBefore = sql`(SELECT created_at FROM events WHERE merchant_id = ${merchantId} AND position = ${middle}) < ${time}`;
  return sql`
    WITH RECURSIVE halving (low, high) AS (
      SELECT 0, coalesce((SELECT max(position) FROM events WHERE merchant_id = ${merchantId}), 0)
      UNION ALL
      SELECT iif(${isBefore}, ${middle}, low), iif(${isBefore}, high, ${middle} - 1) FROM halving WHERE low < high
    ) SELECT low FROM halving WHERE low = high`;
}

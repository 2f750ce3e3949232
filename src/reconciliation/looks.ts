/** The step of a run that looks again at what differs, and at what no listing had: what still differs the same way is an item. */
import { type FoundItem, storeItems } from "../operation/journal/items";
import { accountName } from "../provider/accounts/names";
import type { ListedEntry, Listing } from "../provider/listing";
import type { ReconciliationKind } from "../provider/reconciliation";
import type { Unanswered } from "../provider/seam";
import { commitTime } from "../storage/clock";
import { type Sql, sql } from "../storage/sql";
import {
  compareAbsence,
  compareEntry,
  compareSnapshot,
  type Difference,
  isSamePayment,
  type OwnPayment,
  stands,
} from "./compare";
import { type Committed, commitStep, type Desk, HOLD_MS, type Stepped } from "./desk";
import { LOOK_AFTER_MS } from "./listing";
import { openItemOfPayment } from "./open-item";
import { readOwn } from "./own";
import { isAt } from "./runs";
import { endRun } from "./wiping";

/** What is looked at in one step at most. Of payments that are not here, all: nothing is asked for them, and their items are one statement. */
const MAX_LOOKS_PER_STEP = 100;
/** Subjects of one step that the provider may be asked for, or that may be items of payments: within what it takes of one caller at once. */
const MAX_ASKED_PER_STEP = 8;
/** Statements of a step beside those of its items, and of each item of a payment. */
const STATEMENTS_PER_STEP = 11;
const STATEMENTS_PER_ITEM = 4;
/** What the least step may have. */
export const LEAST_STATEMENTS_OF_LOOKS = STATEMENTS_PER_STEP + STATEMENTS_PER_ITEM;

/** When what the provider gave no answer about is looked at again, in milliseconds. */
const ASK_AGAIN_AFTER_MS = 10 * 60_000;
/** Items of one run: where more differs, the account is not the one that it is taken for. */
const MAX_ITEMS_PER_RUN = 1_000;

const TOO_MANY_MESSAGE =
  `More than ${MAX_ITEMS_PER_RUN.toLocaleString("en")} things differ. Check that the account's key is of the account that the payments were ` +
  "made at, and that nobody else uses it";

interface LookRow {
  readonly listing: Listing | "own";
  readonly reference: string;
  readonly payment_id: number;
  /** JSON; null of a payment that no listing had. */
  readonly entry: string | null;
  readonly said: string;
  readonly looks: number;
}

/** What is to be looked at. */
interface Subject {
  readonly row: LookRow;
  readonly entry: ListedEntry | null;
  /** The payment here; null where none is known. */
  readonly paymentId: number | null;
  readonly said: readonly Difference[];
}

/** What a look has found, or that the provider gave no answer. */
type Looked =
  | { readonly tag: "found"; readonly subject: Subject; readonly differences: readonly Difference[] }
  | { readonly tag: "unanswered"; readonly subject: Subject; readonly detail: string };

/** Looks again at what is due. Three round trips, and one more for each item of a payment. */
export async function stepThroughLooks(desk: Desk): Promise<Stepped> {
  const { db, run, progress, account, now } = desk;
  const { rows } = await db.batch<[LookRow, { due_at: number | null }]>([
    sql`SELECT listing, reference, payment_id, entry, said, looks FROM reconciliation_looks
      WHERE run_id = ${run.id} AND due_at <= ${now()} ORDER BY due_at LIMIT ${MAX_LOOKS_PER_STEP}`,
    sql`SELECT min(due_at) AS due_at FROM reconciliation_looks WHERE run_id = ${run.id}`,
  ]);
  const [due, [earliest]] = rows;
  const dueAt = earliest?.due_at ?? null;
  if (dueAt === null) return endRun(desk, run, progress, { state: "done", finished_at: now() });
  const subjects = chosen(desk, due.map(toSubject));
  if (subjects.length === 0) {
    const { failing_since, failure } = run;
    return commitStep(desk, [], { progress, due_at: dueAt, failing_since, failure }, { isResting: true });
  }

  const located = await Promise.all(subjects.map((subject) => locate(desk, subject)));
  const ids = located.flatMap((subject) => ("tag" in subject ? [] : (subject.paymentId ?? [])));
  const own = await readOwn(db, run.merchant_id, account.provider, ids, "all");
  const looked = await Promise.all(
    located.map((subject): Promise<Looked> | Looked => ("tag" in subject ? subject : look(desk, subject, own))),
  );
  const unanswered = looked.filter((one) => one.tag === "unanswered");
  const [first] = unanswered;
  if (first !== undefined && unanswered.length === looked.length) {
    return { tag: "unheard", detail: first.detail, retryAfterMs: null };
  }
  return settle(desk, looked);
}

function toSubject(row: LookRow): Subject {
  const entry: ListedEntry | null = row.entry === null ? null : JSON.parse(row.entry);
  const paymentId = row.payment_id === 0 ? (entry?.paymentId ?? null) : row.payment_id;
  return { row, entry, paymentId, said: JSON.parse(row.said) };
}

/** Whether nothing has to be asked for a subject, and its item is of no payment: it costs next to nothing. */
const isCheap = ({ row, paymentId }: Subject): boolean => row.listing === "payments" && paymentId === null;

/** What one step looks at: what costs nothing, and of the rest as much as there are statements for. */
function chosen({ statements }: Desk, subjects: readonly Subject[]): readonly Subject[] {
  const room = Math.floor((statements - STATEMENTS_PER_STEP) / STATEMENTS_PER_ITEM);
  const dear = subjects.filter((subject) => !isCheap(subject)).slice(0, Math.min(room, MAX_ASKED_PER_STEP));
  return [...subjects.filter(isCheap), ...dear];
}

/** The subject with its payment's id, where the provider's list did not say whose a refund or a dispute is. */
async function locate(
  { adapter, connection }: Desk,
  subject: Subject,
): Promise<Subject | Extract<Looked, { tag: "unanswered" }>> {
  const { entry, row, paymentId } = subject;
  if (entry === null || paymentId !== null || row.listing === "payments") return subject;
  const located = await adapter.locate(connection, entry.paymentReference);
  switch (located.tag) {
    case "located":
      return { ...subject, paymentId: located.paymentId, entry: { ...entry, paymentId: located.paymentId } };
    case "not_found":
      return subject;
    case "busy":
    case "unknown":
      return unanswered(subject, located);
  }
}

const unanswered = (subject: Subject, { detail }: Unanswered) => ({ tag: "unanswered", subject, detail }) as const;

/** Compares a subject once more, and asks the provider where it is a payment here: what was listed may be old by now. */
async function look(desk: Desk, subject: Subject, payments: ReadonlyMap<number, OwnPayment>): Promise<Looked> {
  const { entry, row } = subject;
  const own = payments.get(subject.paymentId ?? 0);
  const found = (differences: readonly Difference[]): Looked => ({ tag: "found", subject, differences });
  if (row.listing !== "own") {
    if (entry === null) throw new Error("What was listed has no entry");
    const isHere = row.listing === "payments" && isSamePayment(entry, own);
    return own && isHere ? ask(desk, subject, own) : found(compareEntry(row.listing, entry, own));
  }
  return own ? ask(desk, subject, own) : found([]);
}

async function ask({ adapter, connection, run }: Desk, subject: Subject, own: OwnPayment): Promise<Looked> {
  const found = (differences: readonly Difference[]): Looked => ({ tag: "found", subject, differences });
  const observed = await adapter.observe(connection, { ...own, merchantId: run.merchant_id });
  switch (observed.tag) {
    case "answered":
      return found(compareSnapshot(observed.snapshot, own));
    case "not_found":
      return found(compareAbsence(own));
    case "unanswerable":
      return found(subject.entry ? compareEntry("payments", subject.entry, own) : []);
    case "busy":
    case "unknown":
      return unanswered(subject, observed);
  }
}

/** What is to be looked at once more, with what it is compared with then. */
interface Left extends Subject {
  readonly looks: number;
  readonly dueAt: number;
}

/** Opens what is an item, has the payments of what is new woken, and commits both with how far the run has come. */
async function settle(desk: Desk, looked: readonly Looked[]): Promise<Committed> {
  const { run, progress, now } = desk;
  const account = accountName(desk.account);
  const items: FoundItem[] = [];
  const left: Left[] = [];
  const done: Subject[] = [];
  const woken = new Set<number>();
  for (const one of looked) {
    const { subject } = one;
    const { looks } = subject.row;
    if (one.tag === "unanswered") left.push({ ...subject, looks, dueAt: now() + ASK_AGAIN_AFTER_MS });
    else if (stands(subject.said, one.differences, looks)) {
      done.push(subject);
      for (const { paymentId, ...difference } of one.differences)
        items.push({ ...difference, payment_id: paymentId, account });
    } else {
      left.push({ ...subject, said: one.differences, looks: looks + 1, dueAt: now() + LOOK_AFTER_MS });
      for (const { paymentId } of one.differences) if (paymentId > 0) woken.add(paymentId);
    }
  }
  await desk.wake(run.merchant_id, [...woken]);
  await openItems(desk, items);

  const counts = count(JSON.parse(run.items), items);
  const total = Object.values(counts).reduce((sum, times) => sum + times, 0);
  const firsts = looked.filter(({ tag, subject }) => tag === "found" && subject.row.looks === 0);
  const differing = firsts.filter((one) => one.tag === "found" && one.differences.length > 0).length;
  const found = { compared: run.compared + firsts.length, items: JSON.stringify(counts) };
  const foreign = items.filter(({ payment_id }) => payment_id === 0);
  const statements = [
    foreign.length === 0 ? null : storeItems(run.merchant_id, foreign, commitTime(now()), isAt(run)),
    done.length === 0 ? null : deleteLooks(desk, done),
    left.length === 0 ? null : updateLooks(desk, left),
  ];
  const failing = looked.find((one) => one.tag === "unanswered");
  const change =
    total > MAX_ITEMS_PER_RUN
      ? ({ state: "failed", finished_at: now(), failure: TOO_MANY_MESSAGE, due_at: now(), phase: "wipe" } as const)
      : ({
          due_at: now() + HOLD_MS,
          phase: "looks",
          ...(failing && { failing_since: run.failing_since ?? now(), failure: failing.detail }),
        } as const);
  const { phase, ...columns } = change;
  return commitStep(
    desk,
    statements,
    { ...found, ...columns, progress: { ...progress, misses: 0, phase } },
    { differing: sql`${differing}` },
  );
}

type Counts = Readonly<Partial<Record<ReconciliationKind, number>>>;

function count(before: Counts, items: readonly FoundItem[]): Counts {
  const counts: Partial<Record<ReconciliationKind, number>> = { ...before };
  for (const { kind } of items) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Opens the items of payments, each with the event that tells of it. Safe to run twice. */
async function openItems({ db, run, enqueue, newCommitId, now }: Desk, items: readonly FoundItem[]): Promise<void> {
  const requestId = `reconciliation_${run.id}`;
  for (const item of items) {
    if (item.payment_id === 0) continue;
    const origin = { merchantId: run.merchant_id, keyId: null, requestId, commitId: newCommitId(), now: now() };
    const deliveries = await openItemOfPayment(db, origin, item);
    if (deliveries.length > 0) await enqueue(run.merchant_id, deliveries);
  }
}

const deleteLooks = ({ run }: Desk, subjects: readonly Subject[]): Sql => sql`
    DELETE FROM reconciliation_looks WHERE run_id = ${run.id} AND ${isAt(run)}
      AND (listing, reference) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${JSON.stringify(
        subjects.map(({ row }) => [row.listing, row.reference]),
      )}))`;

function updateLooks({ run }: Desk, left: readonly Left[]): Sql {
  const changes = left.map(({ row, entry, paymentId, said, looks, dueAt }) => {
    const { listing, reference } = row;
    return { listing, reference, payment_id: paymentId ?? 0, entry, said, looks, due_at: dueAt };
  });
  return sql`
    UPDATE reconciliation_looks SET payment_id = change.value ->> 'payment_id', entry = change.value ->> 'entry',
      said = change.value ->> 'said', looks = change.value ->> 'looks', due_at = change.value ->> 'due_at'
    FROM json_each(${JSON.stringify(changes)}) AS change
    WHERE run_id = ${run.id} AND listing = change.value ->> 'listing' AND reference = change.value ->> 'reference' AND ${isAt(run)}`;
}

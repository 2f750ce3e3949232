/**
 * Asking a provider, so that money moves once whatever is lost on the way: an operation is in D1 before anything is sent, the
 * provider's name for the payment before its money is asked for, and what an answer that never came has done is found by
 * asking. Nothing here remembers anything: it can break off at any place, and go on from what D1 holds.
 */
import type { Origin } from "../context";
import type { Snapshot } from "../provider/seam";
import { isToBeSentAgain, isWithinKeyWindow, lookAgainAt } from "./absence";
import { attemptOf, type Desk, momentOf, operationOf, originOf, paymentOf, rowOf, unsettled, viewOf } from "./desk";
import type { Book, OperationRow } from "./journal/book";
import { type Asked, commitChange } from "./journal/commit-change";
import { type Attempt, commitReference, postpone } from "./journal/journal";
import { backoffMs, nextLook } from "./reducer/backoff";
import { type Change, isUnsettled } from "./reducer/change";
import { reduce, reportLateAuthorization } from "./reducer/reduce";
import { refused, unanswered } from "./reducer/unanswered";

/** Changes that one word of a provider makes at most: beyond that, something goes round in a circle. */
const MAX_CHANGES = 50;

/** Sends an operation that is open, as if for the first time: the same request under the same keys. */
export async function send(desk: Desk, origin: Origin, book: Book, number: number): Promise<Book> {
  const row = rowOf(book, number);
  const operation = await operationOf(desk, book, row);
  const { reference: order } = desk.adapter.capabilities;
  if (row.kind === "authorize" && order === "first" && book.view.providerReference === null) {
    const prepared = await desk.adapter.prepare(desk.connection, operation);
    const attempt = attemptOf(desk, "prepare", prepared);
    if (prepared.tag === "refused") {
      return settle(desk, origin, book, refused(book.view, viewOf(book, number), prepared.failure), [attempt]);
    }
    // Nothing can have moved; it is asked for again under the same key.
    if (prepared.tag !== "prepared") return leave(desk, origin, book, number, [attempt], prepared);
    await commitReference(desk.db, row, prepared.reference, attempt);
    const view = { ...book.view, providerReference: prepared.reference };
    return perform(desk, origin, { ...book, view }, number, []);
  }
  return perform(desk, origin, book, number, []);
}

/** Asks for what may move money. */
async function perform(
  desk: Desk,
  origin: Origin,
  book: Book,
  number: number,
  before: readonly Attempt[],
): Promise<Book> {
  const row = rowOf(book, number);
  const performed = await desk.adapter.perform(desk.connection, await operationOf(desk, book, row));
  const attempts = [...before, attemptOf(desk, "perform", performed)];
  switch (performed.tag) {
    case "answered": {
      const { left, calls } = await releaseRest(desk, book, performed.snapshot);
      const all = [...attempts, ...calls];
      return left === null
        ? absorb(desk, origin, book, performed.snapshot, all)
        : leave(desk, origin, book, number, all, left);
    }
    case "refused": {
      // What the payment is at the provider says more than that its state does not allow the call.
      const { snapshot = null, failure } = performed;
      const { book: after, left } = await heard(desk, origin, book, snapshot, attempts);
      return isUnsettled(rowOf(after, number).state)
        ? settle(desk, origin, after, refused(after.view, viewOf(after, number), failure), left)
        : after;
    }
    case "busy":
    case "unknown":
      return leave(desk, origin, book, number, attempts, performed);
  }
}

/** A book after its provider was asked. */
export interface Resumed {
  readonly book: Book;
  /** Whether the provider was to say what there is, and did not: it may yet. */
  readonly isUnheard: boolean;
}

/**
 * Finds out what has become of all that is not settled, and sends again what has surely not arrived, where that cannot do
 * anything twice. With nothing unsettled it asks all the same: somebody may have done something at the provider.
 */
export async function resume(desk: Desk, origin: Origin, book: Book): Promise<Resumed> {
  const [unnamed] = book.operations.filter(({ kind, state }) => kind === "authorize" && isUnsettled(state));
  const isFirst = desk.adapter.capabilities.reference === "first";
  if (unnamed && isFirst && book.view.providerReference === null) {
    return { book: await send(desk, originOf(origin, unnamed), book, unnamed.number), isUnheard: false };
  }

  const observed = await desk.adapter.observe(desk.connection, paymentOf(book));
  const attempt = attemptOf(desk, "observe", observed);
  if (observed.tag !== "answered") {
    const isUnanswerable = observed.tag === "unanswerable";
    let after = book;
    for (const row of unsettled(book)) {
      // Whoever cannot be asked is told the same again: under its key that does nothing twice.
      const again = isUnanswerable && row.state !== "pending" && isWithinKeyWindow(momentOf(desk), row);
      after = again
        ? await perform(desk, originOf(origin, row), after, row.number, [attempt])
        : await leave(desk, originOf(origin, row), after, row.number, [attempt], {
            tag: "unknown",
            retryAfterMs: null,
          });
    }
    return { book: after, isUnheard: !isUnanswerable };
  }
  const late = reportLateAuthorization(book.view, observed.snapshot);
  let after = late === null ? book : await settle(desk, origin, book, late, []);
  const { left, calls } = await releaseRest(desk, after, observed.snapshot);
  const asked = [attempt, ...calls];
  if (left !== null) {
    const { row } = left;
    return { book: await leave(desk, originOf(origin, row), after, row.number, asked, left), isUnheard: true };
  }
  after = await absorb(desk, origin, after, observed.snapshot, asked);
  for (const { number } of unsettled(after)) {
    const row = rowOf(after, number);
    if (row.state === "pending") continue;
    const isAgain = isToBeSentAgain(momentOf(desk), row, observed.snapshot);
    if (isAgain) after = await perform(desk, originOf(origin, row), after, number, []);
  }
  return { book: after, isUnheard: false };
}

/**
 * Has the provider release what a capture has left, before the capture is recorded as done: whatever breaks off in between, the capture
 * is looked at again.
 *
 * @returns the call for it, and, where that got no answer, when to ask again
 */
async function releaseRest(
  desk: Desk,
  book: Book,
  snapshot: Snapshot,
): Promise<{
  readonly calls: readonly Attempt[];
  readonly left: { readonly row: OperationRow; readonly tag: string; readonly retryAfterMs?: number | null } | null;
}> {
  const { adapter, connection } = desk;
  const row = unsettled(book).find(({ kind }) => kind === "capture");
  const isHeld = snapshot.status === "captured" && (snapshot.heldMinor ?? 0) > 0;
  if (adapter.release === undefined || row === undefined || !isHeld) return { calls: [], left: null };
  const released = await adapter.release(connection, await operationOf(desk, book, row));
  const calls = [attemptOf(desk, "release", released)];
  const isAnswered = released.tag === "released" || released.tag === "refused";
  return { calls, left: isAnswered ? null : { ...released, row } };
}

/** Commits all that a provider's word changes, and has what it leaves open asked about again. */
async function absorb(
  desk: Desk,
  origin: Origin,
  book: Book,
  snapshot: Snapshot,
  attempts: readonly Attempt[],
): Promise<Book> {
  const { book: after } = await heard(desk, origin, book, snapshot, attempts);
  const rested = await rest(desk, after, book, attempts);
  return snapshot.clientSecret === undefined ? rested : { ...rested, clientSecret: snapshot.clientSecret };
}

/**
 * Commits all that a provider's word changes, one event a commit, until it changes nothing more.
 *
 * @returns the book after it, and the calls that no commit has recorded
 */
async function heard(
  desk: Desk,
  origin: Origin,
  book: Book,
  snapshot: Snapshot | null,
  attempts: readonly Attempt[],
): Promise<{ readonly book: Book; readonly left: readonly Attempt[] }> {
  let after = book;
  let left = attempts;
  for (let changes = 0; ; changes++) {
    if (changes === MAX_CHANGES) throw new Error("A provider's word does not come to an end");
    const change = snapshot && reduce(after.view, snapshot);
    if (change === null) return { book: after, left };
    after = await settle(desk, origin, after, change, left);
    left = [];
  }
}

/** Commits a change, and has what it tells delivered. */
async function settle(
  desk: Desk,
  origin: Origin,
  book: Book,
  change: Change,
  attempts: readonly Attempt[],
): Promise<Book> {
  const attempted = Math.max(...book.operations.map((row) => row.attempted), 0) + 1;
  return commit(desk, origin, book, change, { attempts, dueAt: desk.now() + backoffMs(attempted) });
}

/** Commits a change under an id of its own, and has what it tells delivered. */
async function commit(desk: Desk, origin: Origin, book: Book, change: Change, asked: Asked): Promise<Book> {
  const by = { ...origin, commitId: desk.newCommitId(), now: desk.now() };
  const { book: after, deliveries } = await commitChange(desk.db, by, book, change, asked);
  await desk.enqueue(deliveries);
  return after;
}

/** Has the provider asked again, later each time, about what its word has left unsettled and due. */
async function rest(desk: Desk, book: Book, before: Book, attempts: readonly Attempt[]): Promise<Book> {
  const due = unsettled(book).filter((row) => {
    const same = before.operations.find(({ number }) => number === row.number);
    return same !== undefined && same.attempted === row.attempted;
  });
  for (const row of due) {
    await postpone(desk.db, row, attempts, lookAgainAt(desk.now(), row), desk.now());
  }
  return due.length === 0
    ? book
    : { ...book, operations: book.operations.map((row) => later(desk, row, due, attempts)) };
}

/** A row as `postpone` has left it. */
function later(
  desk: Desk,
  row: OperationRow,
  due: readonly OperationRow[],
  attempts: readonly Attempt[],
): OperationRow {
  if (!due.includes(row)) return row;
  const dueAt = lookAgainAt(desk.now(), row);
  const attempted = row.attempted + (dueAt === row.due_at ? 0 : 1);
  const all = [...JSON.parse(row.attempts), ...attempts];
  return { ...row, due_at: dueAt, attempted, attempts: JSON.stringify(all) };
}

/** Leaves an operation as one of which nobody knows what has become of it; it is asked about again later. */
async function leave(
  desk: Desk,
  origin: Origin,
  book: Book,
  number: number,
  attempts: readonly Attempt[],
  { retryAfterMs = null }: { readonly tag: string; readonly retryAfterMs?: number | null },
): Promise<Book> {
  const row = rowOf(book, number);
  const dueAt = nextLook(desk.now(), row, retryAfterMs);
  const change = unanswered(book.view, viewOf(book, number));
  if (change === null) {
    await postpone(desk.db, row, attempts, dueAt, desk.now());
    return { ...book, operations: book.operations.map((one) => (one === row ? { ...row, due_at: dueAt } : one)) };
  }
  return commit(desk, origin, book, change, { attempts, dueAt });
}

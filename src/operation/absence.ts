/** What a provider's word does not show: whether that has surely not arrived and is sent again, and when it is looked at again. Pure. */
import type { Snapshot } from "../provider/seam";
import type { OperationRow } from "./journal/book";
import type { Attempt } from "./journal/journal";
import { nextLook } from "./reducer/backoff";

/** For how long a provider may not show what it has done, in milliseconds: what is not there is not absent before that. */
const LAG_MS = 60_000;
/** How often something must be found absent, after that, before it is taken for absent. */
const ABSENCES_NEEDED = 2;
/** How far apart the first of them and the last are at least, in milliseconds: a clock that jumps makes nothing absent. */
const SECOND_LOOK_MS = 15_000;

/** When something is decided, and by what provider. */
interface Moment {
  /** In milliseconds. */
  readonly now: number;
  /** For how long the provider knows a key, in milliseconds. */
  readonly keyWindowMs: number;
}

/** Whether an operation of which the provider's word has nothing is sent again, under its key. */
export function isToBeSentAgain({ now, keyWindowMs }: Moment, row: OperationRow, { status }: Snapshot): boolean {
  switch (row.kind) {
    case "authorize":
      // Still unconfirmed under its name: what confirms it confirms it once.
      return status === "open";
    case "capture":
      return status === "authorized" && isWithinKeyWindow({ now, keyWindowMs }, row);
    case "cancel":
      return status === "open" || status === "requires_action" || status === "authorized";
    case "refund":
      // Nothing but its key keeps it from being made twice, so that it must surely be absent.
      return isAbsent(now, row) && isWithinKeyWindow({ now, keyWindowMs }, row);
  }
}

/** Whether the provider still knows the key that an operation was first sent under. */
export const isWithinKeyWindow = ({ now, keyWindowMs }: Moment, row: OperationRow): boolean =>
  now - row.created_at < keyWindowMs;

/** Whether an operation was not there twice, each time so long after it was sent that it would be seen. */
function isAbsent(now: number, row: OperationRow): boolean {
  const attempts: readonly Attempt[] = JSON.parse(row.attempts);
  const sent = attempts.filter(({ call }) => call === "perform").at(-1)?.at ?? row.created_at;
  const seen = attempts.filter(
    ({ call, outcome, at }) => call === "observe" && outcome === "answered" && at - sent >= LAG_MS,
  );
  const [first, last] = [seen.at(0), seen.at(-1)];
  const areApart = first !== undefined && last !== undefined && last.at - first.at >= SECOND_LOOK_MS;
  return seen.length >= ABSENCES_NEEDED && areApart && now - sent >= LAG_MS;
}

/**
 * When an operation that the provider's word has left as it was is looked at again, in milliseconds. A refund that is not there is soon
 * sent again: others of the payment wait for it. One that was sent again takes the pauses of all others.
 */
export function lookAgainAt(now: number, row: OperationRow): number {
  const look = nextLook(now, row, null);
  const attempts: readonly Attempt[] = JSON.parse(row.attempts);
  const [sent, ...again] = attempts.filter(({ call }) => call === "perform");
  if (row.kind !== "refund" || row.state !== "unknown" || sent === undefined || again.length > 0) return look;
  const visibleAt = sent.at + LAG_MS;
  return Math.min(look, now < visibleAt ? visibleAt : now + SECOND_LOOK_MS);
}

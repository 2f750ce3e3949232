import type { Call } from "./history";
import { EMPTY, type KeyHolders, type State, step } from "./oracle";

/**
 * Looks for an order of the calls, each at one moment between its start and its end, in which the
 * reference model gives every answer that was given (Wing & Gong's search, with memoised dead ends). A
 * call of unknown outcome may take effect once, at any moment after its start, or never; but not once a
 * call has been made that began when all was still.
 *
 * @param initial the payments that existed before, by id, and the keys they were made with
 * @param still the moment from which on nothing was on its way any more
 * @returns null when there is such an order, or the calls that no order explains
 */
export function findViolation(
  calls: readonly Call[],
  holders: KeyHolders,
  initial: State = EMPTY,
  still = Number.POSITIVE_INFINITY,
): readonly Call[] | null {
  const sorted = [...calls.flatMap(withFirstAttempt)].sort((a, b) => a.start - b.start);
  const known = sorted.filter(({ outcome }) => outcome.tag !== "unknown").length;
  const deadEnds = new Set<string>();
  const done = new Set<number>();

  const began = (moment: number) => [...done].some((index) => (sorted[index]?.start ?? 0) >= moment);

  const search = (state: State, knownDone: number): boolean => {
    if (knownDone === known) return true;
    const position = `${[...done].sort((a, b) => a - b)}|${fingerprint(state)}`;
    if (deadEnds.has(position)) return false;
    // What has ended before another began must come before it.
    const firstEnd = Math.min(
      ...sorted.map(({ end, outcome }, index) =>
        done.has(index) || outcome.tag === "unknown" ? Number.POSITIVE_INFINITY : end,
      ),
    );
    const tooLate = began(still);
    for (const [index, call] of sorted.entries()) {
      if (done.has(index) || call.start > firstEnd || (tooLate && call.outcome.tag === "unknown")) continue;
      const next = apply(state, call, holders);
      if (!next) continue;
      done.add(index);
      if (search(next, knownDone + (call.outcome.tag === "unknown" ? 0 : 1))) return true;
      done.delete(index);
    }
    deadEnds.add(position);
    return false;
  };
  return search(initial, 0) ? null : sorted;
}

/** A call, or the first attempt of one, which left nothing but its key behind. */
interface Attempt extends Call {
  readonly repetition?: true;
}

/**
 * A confirm that changes nothing leaves only its key behind. When the service tries it again inside one
 * call, because a fault struck, it finds that key and says so: a replay of its own first attempt.
 */
function withFirstAttempt(call: Call): Attempt[] {
  const { operation, outcome, disturbed } = call;
  const mayBeItsOwn = disturbed && operation.kind === "act" && operation.action === "confirm" && operation.key !== null;
  return mayBeItsOwn && outcome.tag === "ok" && outcome.replayed
    ? [{ ...call, outcome: { tag: "unknown" }, repetition: true }, call]
    : [call];
}

/** The state after the call, when the model's answer in this state is the one that was given. */
function apply(state: State, { operation, outcome, repetition }: Attempt, holders: KeyHolders): State | null {
  const { answer, next } = step(state, operation, holders);
  if (repetition && next.payments !== state.payments) return null;
  if (outcome.tag === "unknown") return next === state ? null : next;
  if (answer.tag !== outcome.tag) return null;
  return COMPARED.every((name) => textOf(answer, name) === textOf(outcome, name)) ? next : null;
}

/** What two answers of one kind may differ in. */
const COMPARED = [
  ...["status", "replayed", "paymentId", "payment", "version", "orderId", "cart", "captured", "refunded"],
  ...["number", "amount", "refunds"],
];

const textOf = (answer: object, name: string) => JSON.stringify(Reflect.get(answer, name));

function fingerprint({ payments, keys }: State): string {
  const order = (a: readonly [unknown, unknown], b: readonly [unknown, unknown]) =>
    String(a[0]) < String(b[0]) ? -1 : 1;
  return JSON.stringify([[...payments].sort(order), [...keys].sort(order)]);
}

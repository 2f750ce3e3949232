import type { Action, Status } from "../../src/payment/lifecycle";
import { type Call, intentOf, type Operation, type Shown, type Told } from "./history";

/** The lifecycle as the design has it: the checker's own, for the code's is what is judged. */
const STEPS: Record<Action, { from: Status; to: Status; repeatable: boolean }> = {
  confirm: { from: "pending", to: "confirmed", repeatable: true },
  fail: { from: "pending", to: "failed", repeatable: false },
  refund: { from: "confirmed", to: "refunded", repeatable: false },
};

/** What the database holds in the end for each key: it names the payment that an unheard creation made. */
export type KeyHolders = ReadonlyMap<string, number>;

interface State {
  readonly payments: ReadonlyMap<number, Shown>;
  /** What each key that was used up was used for. */
  readonly keys: ReadonlyMap<string, { intent: string; paymentId: number }>;
}

/**
 * Looks for an order of the calls, each at one moment between its start and its end, in which the
 * reference model gives every answer that was told (Wing & Gong's search, with memoised dead ends). A
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
  initial: State = { payments: new Map(), keys: new Map() },
  still = Number.POSITIVE_INFINITY,
): readonly Call[] | null {
  const sorted = [...calls.flatMap(withFirstAttempt)].sort((a, b) => a.start - b.start);
  const known = sorted.filter(({ told }) => told.tag !== "unknown").length;
  const deadEnds = new Set<string>();
  const done = new Set<number>();

  const began = (moment: number) => [...done].some((index) => (sorted[index]?.start ?? 0) >= moment);

  const search = (state: State, knownDone: number): boolean => {
    if (knownDone === known) return true;
    const position = `${[...done].sort((a, b) => a - b)}|${fingerprint(state)}`;
    if (deadEnds.has(position)) return false;
    // What has ended before another began must come before it.
    const firstEnd = Math.min(
      ...sorted.map(({ end, told }, index) =>
        done.has(index) || told.tag === "unknown" ? Number.POSITIVE_INFINITY : end,
      ),
    );
    const tooLate = began(still);
    for (const [index, call] of sorted.entries()) {
      if (done.has(index) || call.start > firstEnd || (tooLate && call.told.tag === "unknown")) continue;
      const next = apply(state, call, holders);
      if (!next) continue;
      done.add(index);
      if (search(next, knownDone + (call.told.tag === "unknown" ? 0 : 1))) return true;
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
  const { operation, told, disturbed } = call;
  const mayBeItsOwn = disturbed && operation.kind === "act" && operation.action === "confirm" && operation.key !== null;
  return mayBeItsOwn && told.tag === "ok" && told.replayed
    ? [{ ...call, told: { tag: "unknown" }, repetition: true }, call]
    : [call];
}

/** The state after the call, when the model's answer in this state is the one that was told. */
function apply(state: State, { operation, told, repetition }: Attempt, holders: KeyHolders): State | null {
  const { answer, next } = step(state, operation, holders);
  if (repetition && next.payments !== state.payments) return null;
  if (told.tag === "unknown") return next === state ? null : next;
  if (answer.tag !== told.tag) return null;
  if (answer.tag !== "ok" || told.tag !== "ok") return next;
  return TOLD.every((name) => answer[name] === told[name]) ? next : null;
}

const TOLD = ["status", "replayed", "paymentId", "payment", "version", "orderId", "cart"] as const;

/** What the model answers; impossible is what it never says, so that no answer that was told agrees. */
type Answer = Exclude<Told, { tag: "unknown" }> | { tag: "impossible" };

function step(state: State, operation: Operation, holders: KeyHolders): { answer: Answer; next: State } {
  const unchanged = (tag: Exclude<Answer["tag"], "ok">) => ({ answer: { tag }, next: state });
  const ok = (status: 200 | 201, replayed: boolean, paymentId: number, shown: Shown): Answer => {
    return { tag: "ok", status, replayed, paymentId, ...shown };
  };
  // A key that was used is judged before anything else, If-Match included.
  const used = operation.kind !== "get" && operation.key !== null ? state.keys.get(operation.key) : undefined;
  if (used && operation.kind !== "get") {
    const shown = state.payments.get(used.paymentId);
    if (used.intent !== intentOf(operation)) return unchanged("key_reused");
    if (!shown) throw new Error("The model's keys name its payments");
    return { answer: ok(200, true, used.paymentId, shown), next: state };
  }
  if (operation.kind === "create") {
    const paymentId = holders.get(operation.key);
    // A key that the database does not hold in the end never made a payment.
    if (paymentId === undefined || state.payments.has(paymentId)) return unchanged("impossible");
    const { orderId, cart } = operation;
    const made: Shown = { payment: "pending", version: 1, orderId, cart };
    return {
      answer: ok(201, false, paymentId, made),
      next: withKey(set(state, paymentId, made), operation, paymentId),
    };
  }
  const { paymentId } = operation;
  const shown = state.payments.get(paymentId);
  if (!shown) return unchanged("not_found");
  if (operation.kind === "get") return { answer: ok(200, false, paymentId, shown), next: state };
  if (operation.expected !== null && operation.expected !== shown.version) return unchanged("outdated");
  const { from, to, repeatable } = STEPS[operation.action];
  if (shown.payment === from) {
    const changed = { ...shown, payment: to, version: shown.version + 1 };
    return {
      answer: ok(200, false, paymentId, changed),
      next: withKey(set(state, paymentId, changed), operation, paymentId),
    };
  }
  if (repeatable && shown.payment === to) {
    return { answer: ok(200, false, paymentId, shown), next: withKey(state, operation, paymentId) };
  }
  return unchanged("refused");
}

function set(state: State, paymentId: number, shown: Shown): State {
  return { ...state, payments: new Map(state.payments).set(paymentId, shown) };
}

function withKey(state: State, operation: Exclude<Operation, { kind: "get" }>, paymentId: number): State {
  if (operation.key === null) return state;
  return { ...state, keys: new Map(state.keys).set(operation.key, { intent: intentOf(operation), paymentId }) };
}

function fingerprint({ payments, keys }: State): string {
  const order = (a: readonly [unknown, unknown], b: readonly [unknown, unknown]) =>
    String(a[0]) < String(b[0]) ? -1 : 1;
  return JSON.stringify([[...payments].sort(order), [...keys].sort(order)]);
}

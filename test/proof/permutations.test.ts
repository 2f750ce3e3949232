/**
 * What a provider says arrives in any subset, order and number, and ends the same: any history at the provider, seen through
 * snapshots of any of its moments, each reduced as far as it was before the object was lost, and at last the newest one.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { applyChange, type Change, type OperationView, type PaymentView } from "../../src/operation/reducer/change";
import { reduce } from "../../src/operation/reducer/reduce";
import type { Snapshot } from "../../src/provider/seam";
import { type Asked, Provider, STEP_KINDS, type Step } from "./provider-history";
import { REPLAY, report, SCALE } from "./scale";

const AMOUNT = 100;

/** The provider's and the clock's moves, and a refund's, as the contract has them; not the code's. */
const MOVES: Readonly<Record<PaymentView["status"], readonly PaymentView["status"][]>> = {
  pending: ["confirmed", "authorized", "requires_action", "processing", "failed", "expired", "cancelled"],
  requires_action: ["processing", "authorized", "confirmed", "failed", "expired", "cancelled"],
  processing: ["requires_action", "authorized", "confirmed", "failed", "cancelled"],
  authorized: ["confirmed", "expired", "cancelled"],
  confirmed: ["refunded"],
  refunded: ["confirmed"],
  failed: [],
  cancelled: [],
  expired: [],
};

interface Delivery {
  /** Which snapshot, counted modulo those that there are. */
  readonly at: number;
  /** How many changes are committed before the object is lost. */
  readonly commits: number;
}

interface Program {
  readonly isManual: boolean;
  /** A cancellation is under way. */
  readonly isCancelled: boolean;
  /** The payment has ended here, whatever the provider does. */
  readonly endedAs: "failed" | "cancelled" | "expired" | null;
  /** The provider has another amount or currency than we. */
  readonly mismatch: "amount" | "currency" | null;
  readonly captureMinor: number;
  readonly refundsMinor: readonly number[];
  /** How many of the refunds were given up here, whatever the provider does. */
  readonly givenUp: number;
  readonly steps: readonly Step[];
  readonly deliveries: readonly Delivery[];
}

const step = (...kinds: Step["kind"][]) =>
  fc.record({ kind: fc.constantFrom(...kinds), which: fc.nat(3), amount: fc.integer({ min: 1, max: AMOUNT }) });

/** Up to so many, any number of them as likely as the others. */
const some = <T>(maxLength: number, one: fc.Arbitrary<T>) => fc.array(one, { maxLength, size: "max" });

// Without a bias to what is small: most would be of nearly no steps.
const program: fc.Arbitrary<Program> = fc.noBias(
  fc.record({
    isManual: fc.boolean(),
    isCancelled: fc.boolean(),
    endedAs: fc.oneof(
      { weight: 12, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constantFrom("failed" as const, "cancelled" as const, "expired" as const) },
    ),
    mismatch: fc.oneof(
      { weight: 20, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constantFrom("amount" as const, "currency" as const) },
    ),
    captureMinor: fc.integer({ min: 1, max: AMOUNT }),
    refundsMinor: fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 3 }),
    givenUp: fc.constantFrom(0, 0, 0, 1),
    // Most histories get as far as refunds and disputes, where the most can go wrong.
    steps: fc
      .tuple(
        some(3, step("ask the payer", "ask the payer", "take time", "take time")),
        some(1, step("decline", "lapse", "cancel", "take all")),
        fc.tuple(step("take all"), step("authorize")),
        some(4, step("capture", "capture", "settle capture", "fail capture")),
        some(1, step("lapse", "cancel", "capture", "settle capture")),
        some(7, step("refund", "refund at once", "refund in the dashboard", "settle refund", "fail refund")),
        some(6, step("dispute", "inquire", "win", "lose", "give more time", "refund", "fail refund", "settle refund")),
        some(4, step(...STEP_KINDS)),
      )
      .map((parts) => parts.flat()),
    deliveries: some(12, fc.record({ at: fc.nat(100), commits: fc.constantFrom(9, 9, 9, 0, 1, 2) })),
  }),
);

function viewOf({ isManual, isCancelled, endedAs, captureMinor, refundsMinor, givenUp }: Program): PaymentView {
  const operations: OperationView[] = [];
  const ask = (kind: OperationView["kind"], amountMinor: number, state: OperationView["state"]) => {
    const number = operations.length + 1;
    const nonce = `ours${number}`;
    operations.push({
      ...{ number, kind, amountMinor, state, nonce, providerReference: null, failure: null },
      source: "request",
    });
  };
  ask("authorize", AMOUNT, "unknown");
  if (isManual) for (const part of [captureMinor, AMOUNT]) ask("capture", part, "unknown");
  if (isCancelled) ask("cancel", AMOUNT, "unknown");
  for (const [index, part] of refundsMinor.entries()) ask("refund", part, index < givenUp ? "failed" : "open");
  return {
    ...{ status: endedAs ?? "pending", amountMinor: AMOUNT, currency: "EUR", capturedMinor: 0, refundedMinor: 0 },
    captureMethod: isManual ? "manual" : "automatic",
    ...{ failure: null, nextAction: null, providerReference: "pay_1", operations, disputes: [], items: [] },
  };
}

const isEnded = ({ status }: PaymentView) => status === "failed" || status === "cancelled" || status === "expired";
const sum = (amounts: readonly number[]) => amounts.reduce((total, amount) => total + amount, 0);
const amountsOf = (entries: readonly { readonly amountMinor: number; readonly state: string }[], state: string) =>
  entries.filter((entry) => entry.state === state).map(({ amountMinor }) => amountMinor);

/** As `toEqual`, which takes longer than all the rest together. */
function expectSame(actual: unknown, expected: unknown): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) expect(actual).toEqual(expected);
}

/** What one change may do, whatever it was made of. */
function judgeChange(before: PaymentView, change: Change, after: PaymentView): void {
  if (after.status !== before.status) expect(MOVES[before.status]).toContain(after.status);
  if (isEnded(before))
    expect({ ...after, operations: [], items: [] }).toEqual({ ...before, operations: [], items: [] });
  const refunds = after.operations.filter(({ kind }) => kind === "refund");
  const refunded = sum(amountsOf(refunds, "succeeded"));
  if (after.capturedMinor > 0) expect(after.refundedMinor).toBe(Math.min(refunded, after.capturedMinor));
  expect(after.capturedMinor).toBeLessThanOrEqual(after.amountMinor);
  expect(after.capturedMinor).toBeGreaterThanOrEqual(before.capturedMinor);
  if (after.capturedMinor > 0) {
    expect(after.status).toBe(after.refundedMinor >= after.capturedMinor ? "refunded" : "confirmed");
  }
  const hasFailedRefund = change.event?.type === "refund.failed";
  if (!hasFailedRefund) expect(after.refundedMinor).toBeGreaterThanOrEqual(before.refundedMinor);
  for (const [index, operation] of before.operations.entries()) {
    const now = after.operations[index];
    expectSame(now, { ...operation, ...pick(now) });
    const wasFinal = ["succeeded", "declined", "failed"].includes(operation.state);
    if (wasFinal && now?.state !== operation.state) {
      expect([operation.kind, operation.state, now?.state]).toEqual(["refund", "succeeded", "failed"]);
    }
  }
  if (change.adopt !== null) {
    expect(new Set(after.operations.map(({ number }) => number)).size).toBe(after.operations.length);
  }
  for (const { reference, state } of before.disputes) {
    if (state !== "won" && state !== "lost") continue;
    expect(after.disputes.find((one) => one.reference === reference)?.state).toBe(state);
  }
  // What everybody sees changes with an event only.
  if (change.event === null) {
    expectSame({ ...after, operations: [], disputes: [] }, { ...before, operations: [], disputes: [] });
  }
}

/** The fields of an operation that may change. */
const pick = (operation: OperationView | undefined) => {
  if (operation === undefined) return {};
  const { state, failure, providerReference } = operation;
  return { state, failure, providerReference };
};

/** Reduces a snapshot as far as it goes, or so many changes far. */
function hear(before: PaymentView, snapshot: Snapshot, commits: number): PaymentView {
  let view = before;
  for (let made = 0; made < commits; made++) {
    const change = reduce(view, snapshot);
    if (change === null) return view;
    const after = applyChange(view, change);
    judgeChange(view, change, after);
    view = after;
  }
  return view;
}

/** More than any snapshot changes. */
const ALL = 100;

/**
 * What must be the same, whatever was heard in between. What was adopted is numbered in the order in which it was seen. That
 * an ended authorisation had once succeeded is not in the last snapshot. An item says what was seen, also in between.
 */
function essence(view: PaymentView, last: Snapshot) {
  const isLapsed = last.status === "cancelled" || last.status === "expired";
  const operations = view.operations.map((operation) => {
    const { kind, source } = operation;
    if (kind === "authorize" && isLapsed && operation.state !== "unknown") return { kind };
    return source === "provider" ? { ...operation, number: 0 } : operation;
  });
  const inOrder = (a: object, b: object) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  return {
    ...view,
    operations: operations.sort(inOrder),
    disputes: [...view.disputes].sort(inOrder),
    items: [],
  };
}

/** Whether the payment's own amounts are not the provider's. */
const hasMismatch = ({ items }: PaymentView) =>
  items.some(({ kind, reference }) => kind === "amount_mismatch" && reference === "pay_1");

/** Our books against the provider's, when all is still. */
function judgeEnd(view: PaymentView, provider: Provider, { endedAs, mismatch, refundsMinor, isManual }: Program): void {
  const { status, capturedMinor, disputes } = provider;
  if (endedAs !== null || mismatch !== null) {
    expect(view.status).toBe(endedAs ?? "pending");
    const mustShow = endedAs === null ? "amount_mismatch" : status === "captured" ? "late_success" : null;
    if (mustShow !== null) expect(view.items.map(({ kind }) => kind)).toContain(mustShow);
    return;
  }
  if (status !== "captured") {
    expect(view.capturedMinor).toBe(0);
    return;
  }
  const foreign = isManual && provider.captures.every(({ state }) => state !== "succeeded");
  if (foreign && view.capturedMinor === 0) {
    // Somebody captured something else than what was being asked for here.
    expect(view.items).toContainEqual(expect.objectContaining({ kind: "amount_mismatch", reference: "pay_1" }));
    return;
  }
  expect(view.capturedMinor).toBe(capturedMinor);
  const ours = view.operations.filter(({ kind, providerReference }) => kind === "refund" && providerReference !== null);
  const books = (entries: readonly { reference: string | null; amountMinor: number; state: string }[]) =>
    entries.map(({ reference, amountMinor, state }) => `${reference} ${amountMinor} ${state}`).sort();
  expect(books(ours.map((one) => ({ ...one, reference: one.providerReference })))).toEqual(books(provider.refunds));
  expect(view.refundedMinor).toBe(Math.min(sum(amountsOf(provider.refunds, "succeeded")), capturedMinor));
  const byReference = (a: { reference: string }, b: { reference: string }) => (a.reference < b.reference ? -1 : 1);
  expect([...view.disputes].sort(byReference)).toEqual(disputes);
  const arrived = provider.refunds.filter(({ nonce }) => nonce?.startsWith("ours")).length;
  const waiting = view.operations.filter(({ kind, state }) => kind === "refund" && state === "open");
  expect(waiting.length).toBeLessThanOrEqual(Math.max(0, refundsMinor.length - arrived));
  const back = sum([
    ...amountsOf(provider.refunds, "succeeded"),
    ...amountsOf(provider.refunds, "pending"),
    ...waiting.map(({ amountMinor }) => amountMinor),
    ...amountsOf(disputes, "lost"),
  ]);
  if (back > capturedMinor)
    expect(view.items).toContainEqual(expect.objectContaining({ kind: "over_refunded", reference: "pay_1" }));
}

const figures = {
  ...{ permutations: 0, permutationDeliveries: 0, permutationStale: 0, permutationInterrupted: 0 },
  ...{ permutationAdopted: 0, permutationFailedLater: 0, permutationDisputes: 0, permutationItems: 0 },
  permutationViolations: 0,
};
const seen = new Map<string, number>();
const count = (name: string, times = 1) => seen.set(name, (seen.get(name) ?? 0) + times);

function judge(drawn: Program): void {
  const initial = viewOf(drawn);
  const asked = initial.operations.flatMap(({ kind, nonce, amountMinor }): Asked[] =>
    (kind === "capture" || kind === "refund") && nonce !== null ? [{ kind, nonce, amountMinor }] : [],
  );
  const claims = {
    amountMinor: drawn.mismatch === "amount" ? AMOUNT - 1 : AMOUNT,
    currency: drawn.mismatch === "currency" ? "USD" : "EUR",
  };
  const provider = new Provider(AMOUNT, drawn.isManual, asked, claims);
  const snapshots = [provider.snapshot()];
  for (const one of drawn.steps) {
    provider.step(one);
    snapshots.push(provider.snapshot());
  }

  let view = initial;
  let newest = 0;
  for (const { at, commits } of drawn.deliveries) {
    const index = at % snapshots.length;
    const snapshot = snapshots[index];
    if (snapshot === undefined) continue;
    if (index < newest && JSON.stringify(snapshot) !== JSON.stringify(snapshots[newest])) figures.permutationStale++;
    newest = Math.max(newest, index);
    view = hear(view, snapshot, commits);
    if (reduce(view, snapshot) !== null) figures.permutationInterrupted++;
    figures.permutationDeliveries++;
  }
  const last = provider.snapshot();
  view = hear(view, last, ALL);
  expect(reduce(view, last)).toBeNull();
  const direct = hear(initial, last, ALL);
  // Amounts that do not match leave everything where it was, which is what was heard before.
  if (!hasMismatch(direct)) expectSame(essence(view, last), essence(direct, last));
  // An item that the last word opens is open whatever was heard before it.
  const names = ({ items }: PaymentView) => items.map(({ kind, reference }) => `${kind} ${reference}`);
  expect(names(view)).toEqual(expect.arrayContaining(names(direct)));
  judgeEnd(view, provider, drawn);

  figures.permutations++;
  figures.permutationAdopted += view.operations.filter(({ source }) => source === "provider").length;
  figures.permutationFailedLater += provider.happened.has("fail later") ? 1 : 0;
  figures.permutationDisputes += view.disputes.length;
  figures.permutationItems += view.items.length;
  count(`status ${view.status}`);
  for (const { kind } of view.items) count(`item ${kind}`);
  for (const { state } of view.disputes) count(`dispute ${state}`);
  for (const { kind, state, source } of view.operations) count(`${source} ${kind} ${state}`);
  for (const [kind, times] of provider.happened) count(`step ${kind}`, times);
}

it("ends the same, whatever was heard of a provider's history, in which order and how often", () => {
  const seed = REPLAY.permutations ?? SCALE.modelSeed ?? Math.trunc(Math.random() * 2 ** 31);
  console.log(`Seed ${seed}; again: npm run proof -- --replay-permutations ${seed}`);
  const only = REPLAY.path === undefined ? {} : { path: REPLAY.path, numRuns: 1 };
  const details = fc.check(fc.property(program, judge), { seed, numRuns: SCALE.providerPermutations, ...only });
  if (details.failed) {
    report({ permutationViolations: 1 });
    const again = `npm run proof -- --replay-permutations ${seed} --path ${details.counterexamplePath}`;
    throw new Error(`Again: ${again}\n${fc.defaultReportMessage(details)}`, { cause: details.errorInstance });
  }
  report(figures);
}, 3_600_000);

it.skipIf(REPLAY.permutations !== undefined)("has seen every step, every state and every item", () => {
  const states = (source: string, kind: string, ...names: string[]) => names.map((name) => `${source} ${kind} ${name}`);
  const wanted = [
    ...STEP_KINDS.map((kind) => `step ${kind}`),
    "step fail later",
    ...Object.keys(MOVES).map((status) => `status ${status}`),
    ...["late_success", "amount_mismatch", "over_refunded"].map((kind) => `item ${kind}`),
    ...["inquiry", "open", "won", "lost"].map((state) => `dispute ${state}`),
    ...states("request", "authorize", "unknown", "pending", "succeeded", "declined", "failed"),
    ...states("request", "capture", "unknown", "pending", "succeeded", "failed"),
    ...states("request", "cancel", "unknown", "succeeded", "failed"),
    ...states("request", "refund", "open", "pending", "succeeded", "failed"),
    ...states("provider", "refund", "pending", "succeeded", "failed"),
  ];
  expect(wanted.filter((name) => !seen.has(name))).toEqual([]);
  expect(figures.permutationStale).toBeGreaterThan(SCALE.providerPermutations / 10);
  expect(figures.permutationInterrupted).toBeGreaterThan(SCALE.providerPermutations / 50);
  expect(figures.permutationAdopted).toBeGreaterThan(SCALE.providerPermutations / 20);
  expect(figures.permutationFailedLater).toBeGreaterThan(SCALE.providerPermutations / 100);
  expect(figures.permutationDisputes).toBeGreaterThan(SCALE.providerPermutations / 100);
});

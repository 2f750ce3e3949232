import fc from "fast-check";
import { expect, it } from "vitest";
import { ACTIONS, type Action } from "../../src/payment/lifecycle";
import { VIOLATIONS } from "../invariants";
import { SimulatedD1 } from "./d1";
import { ask, type Operation, type Outcome } from "./history";
import { EMPTY, STEPS, type State, type Status, step } from "./oracle";
import { Platform } from "./platform";
import regressions from "./regressions.json";
import { REPLAY, report, SCALE } from "./scale";
import { simulate } from "./simulation";
import { World } from "./world";

interface Real {
  d1: SimulatedD1;
  ask(operation: Operation): Promise<Outcome>;
}

/** How often each operation was answered in each way: what is never asked proves nothing. */
class Coverage {
  readonly #times = new Map<string, number>();

  count(operation: Operation, outcome: string): void {
    const name = `${operation.kind === "act" ? operation.action : NAMES[operation.kind]}: ${outcome}`;
    this.#times.set(name, (this.#times.get(name) ?? 0) + 1);
  }
  /** What has never happened of what can happen. */
  missing(possible: readonly string[]): string[] {
    return possible.filter((name) => !this.#times.has(name));
  }
}

const NAMES = { create: "create", refund: "refund of a part", refunds: "refunds", get: "get" };

const ANSWERS = ["changed", "refused", "replayed", "key_reused", "outdated", "not_found"];
/** Every way in which the model answers. */
const POSSIBLE = [
  ...ACTIONS.flatMap((action) => ANSWERS.map((answer) => `${action}: ${answer}`)).filter(
    // Nothing is authorised here that could be captured.
    (name) => name !== "capture: changed" && name !== "capture: replayed",
  ),
  "confirm: unchanged",
  ...["changed", "replayed", "key_reused"].map((answer) => `create: ${answer}`),
  ...[...ANSWERS, "exceeds", "invalid"].map((answer) => `refund of a part: ${answer}`),
  ...["get", "refunds"].flatMap((name) => ["unchanged", "not_found"].map((answer) => `${name}: ${answer}`)),
];
/** The same as an answer shows it: whether a success changed something is for the checker to say. */
const TELLABLE = [...new Set(POSSIBLE.map((name) => name.replace(/: (un)?changed$/, ": ok")))];

/** Asks the service, and holds its answer and what it has stored against the oracle. */
async function tell(operation: Operation, before: State, real: Real): Promise<{ outcome: string; after: State }> {
  // One after the other: a creation makes the next payment.
  const holders = new Map(operation.kind === "create" ? [[operation.key, before.payments.size + 1]] : []);
  const { answer, next: after } = step(before, operation, holders);
  expect(await real.ask(operation)).toEqual(answer);
  const rows = real.d1.rows<{ status: Status; order_id: number; version: number }>(
    "SELECT status, order_id, version, captured_minor, refunded_minor FROM payments ORDER BY id",
  );
  expect(rows).toEqual(
    [...after.payments.values()].map(({ payment, orderId, version, captured, refunded }) => ({
      status: payment,
      order_id: orderId,
      version,
      captured_minor: captured,
      refunded_minor: refunded,
    })),
  );
  const keys = real.d1.rows<{ key: string }>("SELECT key FROM idempotency_keys ORDER BY key");
  expect(keys.map(({ key }) => key)).toEqual([...after.keys.keys()].sort());
  if (answer.tag !== "ok" && answer.tag !== "refund" && answer.tag !== "refunds") return { outcome: answer.tag, after };
  if (answer.tag !== "refunds" && answer.replayed) return { outcome: "replayed", after };
  return { outcome: after.payments === before.payments ? "unchanged" : "changed", after };
}

// Few payments and few keys, so that they meet; most of them exist, for every program begins with these.
const BEGINNING: readonly Operation[] = ["c1", "c2", "c3"].map((key, n) => {
  return { kind: "create", key, orderId: 1 + Math.floor(n / 2), cart: null };
});
const chance = <T>(...choices: [weight: number, ...values: T[]][]) =>
  fc.oneof(...choices.map(([weight, ...values]) => ({ weight, arbitrary: fc.constantFrom(...values) })));

const paymentId = chance<number>([12, 1, 2, 3], [4, 4, 5], [1, 99]);
const create: fc.Arbitrary<Operation> = fc.record({
  kind: fc.constant("create" as const),
  key: chance([4, "c1", "c2", "c3"], [8, "c4", "c5", "c6"], [1, "a1", "a2"]),
  orderId: fc.integer({ min: 1, max: 2 }),
  cart: chance<string | null>([2, null], [1, "c"], [1, "d"]),
});
const act: fc.Arbitrary<Operation> = fc
  .record({
    kind: fc.constant("act" as const),
    paymentId,
    action: chance<Action>([6, "confirm"], [2, "fail"], [3, "refund"], [2, "cancel"], [1, "capture"]),
    // A key of the action's own meets its repetition, a common one meets another action, c1 a creation.
    key: chance<string | null>([3, null], [7, "own"], [2, "a1", "a2"], [1, "c1"]),
    expected: chance<number | null>([8, null], [3, 1, 2, 3]),
  })
  .map((asked) => (asked.key === "own" ? { ...asked, key: `${asked.action}-${asked.paymentId}` } : asked));
const refund: fc.Arbitrary<Operation> = fc
  .record({
    kind: fc.constant("refund" as const),
    paymentId,
    // Of 12.34 dollars or of 1,200 yen: parts, too much of one, and what is finer than the other.
    amount: chance<string | null>(
      [8, "6", "6.00"],
      [2, "6.17", "400", "800"],
      [2, "0.005", "12.35"],
      [1, "0.5", "12.34", null],
    ),
    key: chance([10, "own"], [1, "r1", "r2", "a1", "c1"]),
    expected: chance<number | null>([16, null], [2, 1, 2, 3]),
  })
  .map((asked) => (asked.key === "own" ? { ...asked, key: `part-${Number(asked.amount)}-${asked.paymentId}` } : asked));
const read: fc.Arbitrary<Operation> = fc.record({
  kind: fc.constantFrom("get" as const, "refunds" as const),
  paymentId,
});
const operation = fc.oneof(
  { weight: 2, arbitrary: create },
  { weight: 10, arbitrary: act },
  { weight: 4, arbitrary: refund },
  { weight: 1, arbitrary: read },
);

/** So many operations; a counterexample shrinks to fewer, for each shrinks to none. */
function operations(minLength: number, maxLength: number): fc.Arbitrary<Operation[]> {
  const some = fc.option(operation, { nil: null, freq: 100 });
  return fc
    .array(some, { minLength, maxLength, size: "max" })
    .map((asked) => asked.filter((one): one is Operation => one !== null));
}

const d1 = new SimulatedD1();
const covered = { sequential: new Coverage(), concurrent: new Coverage() };

const sequential = fc.asyncProperty(operations(30, 60), async (asked) => {
  d1.clear();
  const world = new World(1);
  const { service } = new Platform(world, d1);
  let state = EMPTY;
  const real: Real = { d1, ask: (operation) => ask(service, operation) };
  await world.run(async () => {
    for (const operation of [...BEGINNING, ...asked]) {
      const { outcome, after } = await tell(operation, state, real);
      covered.sequential.count(operation, outcome);
      state = after;
    }
  });
  expect(d1.rows(VIOLATIONS)).toEqual([]);
});

const concurrent = fc.asyncProperty(
  fc.integer({ min: 1 }),
  fc.array(operations(8, 12), { minLength: 2, maxLength: 4, size: "max" }),
  async (seed, program) => {
    const [first = [], ...others] = program;
    const { violation, calls } = await simulate(seed, d1, 0, [[...BEGINNING, ...first], ...others]);
    expect(violation).toBeNull();
    for (const { operation, outcome } of calls) {
      const isSuccess = outcome.tag === "ok" || outcome.tag === "refund" || outcome.tag === "refunds";
      const isReplay = isSuccess && "replayed" in outcome && outcome.replayed;
      covered.concurrent.count(operation, isReplay ? "replayed" : isSuccess ? "ok" : outcome.tag);
    }
  },
);

/** Runs a property, and says of a failure how to run it again alone. */
async function check(name: string, property: fc.IAsyncProperty<unknown[]>, parameters: fc.Parameters<unknown[]>) {
  const details = await fc.check(property, parameters);
  if (!details.failed) return;
  report({ [`${name}ModelViolations`]: 1 });
  const { seed, counterexamplePath: path } = details;
  const again = `npm run proof -- --replay-model ${seed} --property ${name} --path ${path}`;
  throw new Error(`Again: ${again}\n${await fc.asyncDefaultReportMessage(details)}`);
}

const IS_REPLAY = REPLAY.model !== undefined;

const PROPERTIES = {
  sequential: { property: sequential as fc.IAsyncProperty<unknown[]>, seen: POSSIBLE },
  concurrent: { property: concurrent as fc.IAsyncProperty<unknown[]>, seen: TELLABLE },
};

/** Defines the tests of one of the two: they are files of their own, which run side by side. */
export function testModel(name: keyof typeof PROPERTIES): void {
  const { property, seen } = PROPERTIES[name];
  it.skipIf(IS_REPLAY && REPLAY.property !== undefined && REPLAY.property !== name)(
    `answers ${name} commands as the model does`,
    async () => {
      for (const { seed, path } of IS_REPLAY ? [] : regressions.model.filter((found) => found.property === name)) {
        await check(name, property, { seed, path, numRuns: 1 });
      }
      const seed = REPLAY.model ?? SCALE.modelSeed ?? Math.trunc(Math.random() * 2 ** 31);
      console.log(`Seed ${seed}; again: npm run proof -- --replay-model ${seed} --property ${name}`);
      const only = REPLAY.path === undefined ? {} : { path: REPLAY.path, numRuns: 1 };
      await check(name, property, { seed, numRuns: SCALE.modelSeeds, ...only });
      report({ [`${name}ModelSeeds`]: SCALE.modelSeeds });
    },
    3_600_000,
  );

  it.skipIf(IS_REPLAY)("has seen every answer to every operation", () => {
    expect(covered[name].missing(seen)).toEqual([]);
  });
}

/** Whether the oracle knows every action. */
export function isComplete(): boolean {
  return ACTIONS.every((action) => action in STEPS);
}

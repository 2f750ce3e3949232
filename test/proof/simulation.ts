import { ACTIONS } from "../../src/payment/lifecycle";
import { VIOLATIONS } from "../invariants";
import type { SimulatedD1 } from "./d1";
import { ask, type Call, finalOperations, type Intention, isChange, Memory, moneyOf, type Operation } from "./history";
import { findViolation } from "./linearizable";
import { Platform, type Strike } from "./platform";
import { derived, World } from "./world";

/** The client who asks when the others have gone. */
const AFTERWARDS = -1;

/** What each client asks, one after the other, while the others ask too. */
export type Program = readonly (readonly Intention[])[];

export interface Run {
  readonly calls: readonly Call[];
  readonly struck: ReadonlyMap<Strike, number>;
  /** What is wrong, or null. */
  readonly violation: string | null;
}

/**
 * Runs a program of concurrent clients on the simulated platform; then switches the faults off, has
 * every call of unknown outcome that has a key retried until it is answered, lets all that is on its way
 * arrive, asks for everything once more, and judges.
 *
 * @param d1 is emptied first, so that one database serves many runs
 * @param meddle does something to the database when all is still
 */
export async function simulate(
  seed: number,
  d1: SimulatedD1,
  faultRate: number,
  program: Program,
  meddle?: (d1: SimulatedD1) => void,
): Promise<Run> {
  d1.clear();
  const world = new World(derived(seed, "schedule"));
  const platform = new Platform(world, d1);
  platform.faultRate = faultRate;
  const calls: Call[] = [];
  let clock = 0;
  let still = 0;

  const call = async (client: number, operation: Operation) => {
    const start = clock++;
    const faults = platform.faults;
    await world.turn();
    const outcome = await ask(platform.service, operation);
    calls.push({ client, operation, start, end: clock++, outcome, disturbed: platform.faults > faults });
    return outcome;
  };

  try {
    await world.run(async () => {
      await Promise.all(
        program.map(async (intentions, client) => {
          const memory = new Memory();
          for (const intention of intentions) memory.note(await call(client, memory.decide(intention)));
        }),
      );
      // What is still on its way arrives before or after the retries: both must do.
      platform.faultRate = 0;
      for (const { client, operation, outcome } of [...calls]) {
        if (outcome.tag !== "unknown" || !isChange(operation) || operation.key === null) continue;
        const answer = await call(client, operation);
        if (answer.tag === "unknown") throw new Error(`Still unknown without faults: ${JSON.stringify(operation)}`);
      }
    });
    meddle?.(d1);
    still = clock;
    const payments = d1.rows<{ id: number }>("SELECT id FROM payments ORDER BY id").map(({ id }) => id);
    await world.run(async () => {
      for (const operation of finalOperations(calls, payments)) {
        const { tag } = await call(AFTERWARDS, operation);
        if (tag === "unknown") throw new Error(`Unknown without faults: ${JSON.stringify(operation)}`);
      }
    });
  } catch (error) {
    return { calls, struck: platform.struck, violation: `${error}\n${world.errors.join("\n")}` };
  }
  return { calls, struck: platform.struck, violation: judge(d1, calls, still) };
}

/** Payments that a reader who goes by time has gone past, although they came later. */
const OUT_OF_ORDER = `
SELECT id FROM (SELECT id, created_at, lag(created_at) OVER (PARTITION BY merchant_id ORDER BY id) AS before FROM payments)
WHERE created_at < before`;

/** A payment as its row has it. */
export interface Row {
  id: number;
  order_id: number;
  amount_minor: number;
  currency: string;
  metadata: string;
}

export const ROWS = "SELECT id, order_id, amount_minor, currency, metadata FROM payments";

function judge(d1: SimulatedD1, calls: readonly Call[], still: number): string | null {
  const broken = d1.rows(VIOLATIONS);
  if (broken.length > 0) return `The invariants do not hold: ${JSON.stringify(broken)}`;
  const early = d1.rows(OUT_OF_ORDER);
  if (early.length > 0) return `A payment is older than one before it: ${JSON.stringify(early)}`;
  const keys = d1.rows<{ key: string; payment_id: number }>("SELECT key, payment_id FROM idempotency_keys");
  const holders = new Map(keys.map(({ key, payment_id }) => [key, payment_id]));
  const rows = d1.rows<Row>(ROWS);
  const wrong = judgeRows(calls, rows, holders);
  if (wrong) return wrong;
  const unexplained = findViolation(calls, holders, undefined, still);
  return unexplained
    ? `No order explains the history:\n${unexplained.map((call) => JSON.stringify(call)).join("\n")}`
    : null;
}

/**
 * Holds the payments that there are against the creations that were acknowledged. Every creation is, in the
 * end, if it happened: so each payment is one creation's, and is what that one asked for.
 */
export function judgeRows(
  calls: readonly Call[],
  rows: readonly Row[],
  holders: ReadonlyMap<string, number>,
): string | null {
  // Of several answers the first: it is the one that was promised.
  const creations = new Map(
    [...calls]
      .reverse()
      .flatMap(({ operation, outcome }) =>
        operation.kind === "create" && outcome.tag === "ok" ? [[operation.key, { operation, outcome }] as const] : [],
      ),
  );
  const makers = new Map([...creations].map(([key, { outcome }]) => [outcome.paymentId, key]));
  if (makers.size < creations.size) return `Two creations made one payment: ${JSON.stringify([...creations])}`;
  const ids = new Set(rows.map(({ id }) => id));
  for (const [key, { outcome }] of creations) {
    if (!ids.has(outcome.paymentId)) return `The payment ${outcome.paymentId} of the key ${key} is lost`;
    if (holders.get(key) !== outcome.paymentId) return `The key ${key} does not name its payment ${outcome.paymentId}`;
  }
  for (const { id, ...row } of rows) {
    const creation = creations.get(makers.get(id) ?? "");
    if (!creation) return `Payment ${id} was made for no creation's key`;
    const { orderId, cart } = creation.operation;
    const { minor, currency } = moneyOf(orderId);
    const asked = {
      order_id: orderId,
      amount_minor: minor,
      currency,
      metadata: JSON.stringify(cart === null ? {} : { cart }),
    };
    if (JSON.stringify(row) !== JSON.stringify(asked)) {
      return `Payment ${id} is ${JSON.stringify(row)}, and ${JSON.stringify(asked)} was asked for`;
    }
  }
  return null;
}

/** Metadata, one of them with all that JSON escapes. */
const CARTS = [null, null, "a", 'b "\\\n\u{1f600}'];

/** What is asked back, of 12.34 dollars and of 1,200 yen: parts, too much of one, and what is finer than the other. */
const REFUNDED = ["6", "6.00", "6.17", "0.5", "0.005", "400", "800", "12.34", "1200"];

/**
 * A random program: few payments, few keys, many collisions. Half of them have refunds in parts among what is asked, so that the
 * others go on meeting what the actions alone meet.
 */
export function randomProgram(seed: number): Program {
  const world = new World(derived(seed, "program"));
  const hasRefunds = derived(seed, "with refunds") % 2 === 1;
  const refund = (): Intention => ({
    kind: "refund",
    paymentId: 1 + world.below(3),
    amount: world.random() < 0.2 ? null : world.pick(REFUNDED),
    key: `key-${world.below(3)}-refund`,
    expected: world.random() < 0.2 ? "as seen" : null,
  });
  const operation = (): Intention => {
    if (hasRefunds && world.random() < 0.5) return refund();
    const chance = world.random();
    const key = `key-${world.below(3)}`;
    const paymentId = 1 + world.below(3);
    if (chance < 0.25) return { kind: "create", key, orderId: 1 + world.below(2), cart: world.pick(CARTS) };
    if (chance < 0.35) return { kind: "get", paymentId };
    return {
      kind: "act",
      paymentId,
      action: world.pick(ACTIONS),
      key: world.random() < 0.4 ? `${key}-act` : null,
      expected: world.random() < 0.4 ? "as seen" : null,
    };
  };
  return Array.from({ length: 2 + world.below(3) }, (_, client) => [
    { kind: "create", key: `key-${client % 3}`, orderId: 1, cart: client === 1 ? "a" : null } as const,
    ...Array.from({ length: 1 + world.below(4) }, operation),
  ]);
}

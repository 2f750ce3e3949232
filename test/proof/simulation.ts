import { app } from "../../src/app";
import { ACTIONS } from "../../src/payment/lifecycle";
import { VIOLATIONS } from "../invariants";
import type { SimulatedD1 } from "./d1";
import { ask, type Call, type Operation } from "./history";
import { findViolation } from "./linearizable";
import { type Fault, Platform } from "./platform";
import { World } from "./world";

/** What each client asks, one after the other, while the others ask too. */
export type Program = readonly (readonly Operation[])[];

export interface Run {
  readonly calls: readonly Call[];
  readonly struck: ReadonlyMap<Fault, number>;
  /** What is wrong, or null. */
  readonly violation: string | null;
}

const EXECUTION = { waitUntil() {}, passThroughOnException() {}, props: {} } as unknown as ExecutionContext;

/**
 * Runs a program of concurrent clients on the simulated platform; then switches the faults off, has
 * every call of unknown outcome that has a key retried until it is answered, and judges everything.
 *
 * @param d1 is emptied first, so that one database serves many runs
 */
export async function simulate(seed: number, d1: SimulatedD1, faultRate: number, program: Program): Promise<Run> {
  d1.clear();
  const world = new World(seed);
  const platform = new Platform(world, d1);
  platform.faultRate = faultRate;
  const calls: Call[] = [];
  let clock = 0;

  const send = async (request: Request) => app.fetch(request, platform.env, EXECUTION);
  const call = async (client: number, operation: Operation) => {
    const start = clock++;
    await world.turn();
    const told = await ask(send, "http://test", operation);
    calls.push({ client, operation, start, end: clock++, told });
    return told;
  };

  const { error: consoleError } = console;
  const logged: string[] = [];
  console.error = (line: unknown) => logged.push(JSON.stringify(line));
  try {
    await world.run(async () => {
      await Promise.all(
        program.map(async (operations, client) => {
          for (const operation of operations) await call(client, operation);
        }),
      );
      // What is still on its way arrives before or after the retries: both must do.
      platform.faultRate = 0;
      for (const { client, operation, told } of [...calls]) {
        if (told.tag !== "unknown" || operation.kind === "get" || operation.key === null) continue;
        const answer = await call(client, operation);
        if (answer.tag === "unknown") throw new Error(`Still unknown without faults: ${JSON.stringify(operation)}`);
      }
    });
  } catch (error) {
    return { calls, struck: platform.struck, violation: `${error}\n${logged.join("\n")}` };
  } finally {
    console.error = consoleError;
  }
  return { calls, struck: platform.struck, violation: judge(d1, calls) };
}

function judge(d1: SimulatedD1, calls: readonly Call[]): string | null {
  const broken = d1.rows(VIOLATIONS);
  if (broken.length > 0) return `The invariants do not hold: ${JSON.stringify(broken)}`;
  const keys = d1.rows<{ key: string; payment_id: number }>("SELECT key, payment_id FROM idempotency_keys");
  const holders = new Map(keys.map(({ key, payment_id }) => [key, payment_id]));
  const unexplained = findViolation(calls, holders);
  return unexplained
    ? `No order explains the history:\n${unexplained.map((call) => JSON.stringify(call)).join("\n")}`
    : null;
}

/** A random program: few payments, few keys, many collisions. */
export function randomProgram(world: World): Program {
  const operation = (): Operation => {
    const chance = world.random();
    const key = `key-${world.below(3)}`;
    const paymentId = 1 + world.below(3);
    if (chance < 0.25) return { kind: "create", key, orderId: 1 + world.below(2) };
    if (chance < 0.35) return { kind: "get", paymentId };
    return { kind: "act", paymentId, action: world.pick(ACTIONS), key: world.random() < 0.4 ? `${key}-act` : null };
  };
  return Array.from({ length: 2 + world.below(3) }, (_, client) => [
    { kind: "create", key: `key-${client % 3}`, orderId: 1 } as const,
    ...Array.from({ length: 1 + world.below(4) }, operation),
  ]);
}

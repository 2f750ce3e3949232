import { expect, it } from "vitest";
import { TOKENS } from "../../src/sandbox/tokens";
import { SimulatedD1 } from "./d1";
import { simulateAgain } from "./operations-again";
import type { Asked } from "./operations-judge";
import { Ledger, OPERATION_FAULTS } from "./operations-platform";
import { type OperationsRun, randomOperations, simulateOperations } from "./operations-simulation";
import { FAULTS } from "./platform";
import regressions from "./regressions.json";
import { REPLAY, report, SCALE } from "./scale";

const [d1, ledger] = [new SimulatedD1(), new Ledger()];

/** Of a run at full length, on a machine that does other things too, in milliseconds. */
const LIMIT_MS = 6 * 3_600_000;
/** Of so many histories one is played twice, and heard of otherwise. */
const AGAIN_OF = 8;

/** A history by its seed alone: two in three run under faults. */
async function history(seed: number): Promise<OperationsRun> {
  const run = await simulateOperations(seed, d1, ledger, seed % 3 === 0 ? 0 : 0.08);
  if (run.violation !== null) found(seed, run.violation);
  return run;
}

/** Fails, and says so at once: a long run says what has failed when all of it has ended. */
function found(seed: number, violation: string): never {
  report({ operationViolations: 1 });
  const again = `Seed ${seed}; again: npm run proof -- --replay-operations ${seed}`;
  console.error(`${again}\n${violation}`);
  expect.unreachable(`${again}\n${violation}`);
}

/** Whether an answer names a payment that stands in another's way. */
const isInTheWay = ({ status, answer }: Asked): boolean =>
  status === 409 && typeof answer === "object" && answer !== null && "payment_id" in answer;

it.runIf(REPLAY.operations === undefined).each(regressions.operations)(
  "the history $seed, which once found a defect, finds none",
  async ({ seed }) => {
    await history(seed);
  },
);

it(
  "payments at the sandbox end as its ledger has them, whatever is lost on the way",
  async () => {
    const figures: Record<string, number> = {};
    const add = (name: string, times: number) => {
      figures[name] = (figures[name] ?? 0) + times;
    };
    const { operationHistories: histories, firstSeed } =
      REPLAY.operations === undefined ? SCALE : { operationHistories: 1, firstSeed: REPLAY.operations };
    const seen = {
      tokens: new Set<string>(),
      faults: new Set<string>(),
      ends: new Set<string>(),
      answers: new Set<number>(),
      sealed: 0,
    };
    for (let seed = firstSeed; seed < firstSeed + histories; seed++) {
      const { asked, struck, rows, effects, sealed } = await history(seed);
      seen.sealed += sealed;
      const { payments, leaps, isTold } = randomOperations(seed);
      for (const { token } of payments) seen.tokens.add(token);
      if (payments.some(({ singleOf }) => singleOf !== null)) add("operationsForOneOrder", 1);
      if (isTold) add("operationsTold", 1);
      add("operationLeaps", leaps.length);
      add("operationsInTheWay", asked.filter(isInTheWay).length);
      add("operationsGivenUp", rows.operations.filter(({ state }) => state === "unknown").length);
      for (const { status } of rows.payments) seen.ends.add(status);
      for (const { status } of asked) seen.answers.add(status);
      for (const [fault, times] of struck) {
        seen.faults.add(fault.split(" / ")[0] ?? "");
        add(`${fault.split(" / ")[0]} / operations`, times);
      }
      add("operationHistories", 1);
      add("operationCalls", asked.length);
      add("operations", rows.operations.length);
      add("operationsDone", rows.operations.filter(({ state }) => state === "succeeded").length);
      add("operationItems", rows.items.length);
      add("providerEffects", effects);
    }
    report(figures);
    if (REPLAY.operations !== undefined) return;
    // What never came was never checked.
    const classes = ["operationsForOneOrder", "operationsTold", "operationLeaps", "operationsInTheWay"];
    for (const name of classes) expect(figures[name], name).toBeGreaterThan(0);
    expect(seen.sealed).toBeGreaterThan(0);
    expect([...seen.tokens].sort()).toEqual(Object.keys(TOKENS).sort());
    const ofD1 = FAULTS.filter((fault) => !fault.startsWith("object"));
    expect([...seen.faults]).toEqual(expect.arrayContaining([...OPERATION_FAULTS, ...ofD1]));
    expect([...seen.ends]).toEqual(expect.arrayContaining(["confirmed", "failed", "cancelled", "expired", "refunded"]));
    expect([...seen.answers]).toEqual(expect.arrayContaining([200, 201, 202, 402, 409, 503]));
  },
  LIMIT_MS,
);

it(
  "a payment ends the same, whatever is heard of it and when",
  async () => {
    const { operationHistories, firstSeed } =
      REPLAY.operations === undefined ? SCALE : { operationHistories: AGAIN_OF, firstSeed: REPLAY.operations };
    let [heardOtherwise, operationsAgain] = [0, 0];
    for (let seed = firstSeed; seed < firstSeed + operationHistories / AGAIN_OF; seed++) {
      const { struck, violation } = await simulateAgain(seed, d1, ledger);
      if (violation !== null) found(seed, violation);
      if (struck > 0) heardOtherwise++;
      operationsAgain++;
    }
    report({ operationsAgain });
    if (REPLAY.operations === undefined) expect(heardOtherwise).toBeGreaterThan(0);
  },
  LIMIT_MS,
);

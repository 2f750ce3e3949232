import { expect, it } from "vitest";
import { SimulatedD1 } from "./d1";
import { FAULTS } from "./platform";
import regressions from "./regressions.json";
import { REPLAY, report, SCALE } from "./scale";
import { type Run, randomProgram, simulate } from "./simulation";

const d1 = new SimulatedD1();

/** A history by its seed alone: odd seeds run under faults, even ones without. */
async function history(seed: number): Promise<Run> {
  const run = await simulate(seed, d1, seed % 2 === 1 ? 0.2 : 0, randomProgram(seed));
  if (run.violation !== null) report({ violations: 1 });
  expect(run.violation, `Seed ${seed}; again: npm run proof -- --replay-history ${seed}`).toBeNull();
  return run;
}

it.runIf(REPLAY.history === undefined).each(regressions.histories)(
  "the history $seed, which once found a defect, finds none",
  async ({ seed }) => {
    await history(seed);
  },
);

it("every history of concurrent clients is linearizable, under every class of fault", async () => {
  const figures: Record<string, number> = { histories: 0, calls: 0, unknown: 0, faults: 0 };
  const { histories, firstSeed } = REPLAY.history === undefined ? SCALE : { histories: 1, firstSeed: REPLAY.history };
  const struck = new Map<string, number>();
  const outcome = new Map<string, number>();
  for (let seed = firstSeed; seed < firstSeed + histories; seed++) {
    const run = await history(seed);
    figures.histories = (figures.histories ?? 0) + 1;
    figures.calls = (figures.calls ?? 0) + run.calls.length;
    figures.unknown = (figures.unknown ?? 0) + run.calls.filter(({ outcome }) => outcome.tag === "unknown").length;
    for (const call of run.calls) outcome.set(call.outcome.tag, (outcome.get(call.outcome.tag) ?? 0) + 1);
    for (const [fault, times] of run.struck) struck.set(fault, (struck.get(fault) ?? 0) + times);
  }
  figures.faults = [...struck.values()].reduce((sum, times) => sum + times, 0);
  report({ ...figures, ...Object.fromEntries(struck) });
  if (REPLAY.history !== undefined) return;
  const strikes = [...struck.keys()];
  expect(strikes).toEqual(expect.arrayContaining(FAULTS.map((fault) => `${fault} / payment write`)));
  // A kind of outcome that never came was never checked.
  expect([...outcome.keys()].sort()).toEqual([
    ...["exceeds", "invalid", "key_reused", "not_found", "ok", "outdated", "refund", "refunds", "refused", "unknown"],
  ]);
}, 3_600_000);

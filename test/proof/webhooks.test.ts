import { expect, it } from "vitest";
import { SimulatedD1 } from "./d1";
import regressions from "./regressions.json";
import { REPLAY, report, SCALE } from "./scale";
import { simulateWebhooks, WEBHOOK_FAULTS, type WebhookRun } from "./webhook-simulation";

const d1 = new SimulatedD1();

/** A run by its seed alone: odd seeds run under faults, even ones without. */
async function run(seed: number): Promise<WebhookRun> {
  const result = await simulateWebhooks(seed, d1, seed % 2 === 1 ? 0.3 : 0);
  if (result.violation !== null) report({ webhookViolations: 1 });
  expect(result.violation, `Seed ${seed}; again: npm run proof -- --replay-webhooks ${seed}`).toBeNull();
  return result;
}

it.runIf(REPLAY.webhooks === undefined).each(regressions.webhooks)(
  "the run $seed, which once found a defect, finds none",
  async ({ seed }) => {
    await run(seed);
  },
);

it("every event arrives at every endpoint that wants it, a payment's in order, under every class of fault", async () => {
  const { webhookRuns, firstSeed } =
    REPLAY.webhooks === undefined ? SCALE : { webhookRuns: 1, firstSeed: REPLAY.webhooks };
  const figures = {
    ...{ webhookRuns: 0, webhookEvents: 0, webhookDeliveries: 0, webhookRequests: 0 },
    ...{ webhookPauses: 0, webhookDisabled: 0 },
  };
  const struck = new Map<string, number>();
  for (let seed = firstSeed; seed < firstSeed + webhookRuns; seed++) {
    const result = await run(seed);
    figures.webhookRuns++;
    figures.webhookEvents += result.events;
    figures.webhookDeliveries += result.deliveries;
    figures.webhookRequests += result.requests;
    figures.webhookPauses += result.pauses;
    figures.webhookDisabled += result.disabled;
    for (const [fault, times] of result.struck) struck.set(fault, (struck.get(fault) ?? 0) + times);
  }
  const strikes = [...struck].map(([fault, times]): [string, number] => [`${fault} / webhooks`, times]);
  report({ ...figures, ...Object.fromEntries(strikes) });
  if (REPLAY.webhooks !== undefined) return;
  expect(figures.webhookRequests).toBeGreaterThan(figures.webhookDeliveries);
  expect(figures.webhookPauses).toBeGreaterThan(0);
  expect(figures.webhookDisabled).toBeGreaterThan(0);
  expect([...struck.keys()].sort()).toEqual([...WEBHOOK_FAULTS].sort());
}, 3_600_000);

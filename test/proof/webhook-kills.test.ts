import { expect, it } from "vitest";
import { PORTS } from "./ports.ts";
import { runWebhookKills } from "./webhook-kills.ts";

it("tells every endpoint of every event when it is killed in the middle", { timeout: 240_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const outcome = await runWebhookKills({
    kills: 5,
    minimumChanges: 25,
    seed,
    port: PORTS.webhookKills,
    report: console.log,
  });
  expect(outcome).toMatchObject({ kills: 5, missing: 0, outOfOrder: 0, wrong: 0, findings: [] });
  expect(outcome.events).toBeGreaterThan(20);
  // Had nothing been under way when it was killed, this would have shown nothing.
  expect(outcome.killedBeforeSending + outcome.killedOnTheirWay + outcome.killedBeforeRecording).toBeGreaterThan(0);
});

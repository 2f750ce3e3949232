import { afterAll, beforeAll, expect, it } from "vitest";
import { type BuiltKills, buildKills } from "../proof/operation-kills";
import { PORTS } from "../proof/ports";
import { type Mock, startLocalstripe } from "./mocks";
import { runStripeKills } from "./stripe-kills";

/** At full length 100 and 2,000; STRIPE_KILLS and STRIPE_PAYMENTS say so. */
const KILLS = Number(process.env.STRIPE_KILLS ?? 3);
const PAYMENTS = Number(process.env.STRIPE_PAYMENTS ?? 60);
const SEED = Number(process.env.STRIPE_SEED ?? Math.floor(Math.random() * 2 ** 31));

let [built, mock]: [BuiltKills?, Mock?] = [];
beforeAll(async () => {
  [built, mock] = await Promise.all([buildKills(), startLocalstripe()]);
}, 240_000);
afterAll(async () => {
  built?.remove();
  await mock?.stop();
});

it("moves money once at localstripe, which knows no keys, when it is killed and answers are lost", {
  timeout: 3_600_000,
}, async () => {
  if (!built || !mock) throw new Error("Nothing was started");
  console.log(`Seed ${SEED}: ${KILLS} kills, ${PAYMENTS} payments or more`);
  const outcome = await runStripeKills(built, mock, {
    ...{ kills: KILLS, payments: PAYMENTS, seed: SEED, port: PORTS.operationKills },
    report: console.log,
  });
  const { findings, ...figures } = outcome;
  console.log(JSON.stringify(figures));
  expect(findings.join("\n"), `Seed ${SEED}`).toBe("");
  expect(figures.kills).toBe(KILLS);
  expect(figures.payments).toBeGreaterThanOrEqual(PAYMENTS);
  // Had nothing been lost, this would have shown nothing.
  expect(Math.min(figures.lost, figures.unknown, figures.refunds)).toBeGreaterThan(0);
});

import { expect, it } from "vitest";
import { SECRETS_KEYS } from "../../bench/seed";
import { runOperationKills } from "./operation-kills";
import { PORTS } from "./ports";
import { report, SCALE } from "./scale";

it("moves money once at the sandbox, and has a row for it, when it is killed and answers are lost", {
  timeout: 3_600_000,
}, async () => {
  const { operationKills: kills, operationKillsSeed, killedPayments, operationKillsRounds: rounds } = SCALE;
  const seed = operationKillsSeed ?? Math.floor(Math.random() * 2 ** 31);
  console.log(`Seed ${seed}: ${kills} kills, ${killedPayments} payments or more`);
  const { figures, findings } = await runOperationKills({
    ...{ kills, payments: killedPayments, rounds, seed, port: PORTS.operationKills, secrets: SECRETS_KEYS },
    report: console.log,
  });
  report({ ...prefixed(figures), operationKillFindings: findings.length });
  expect(findings, `Seed ${seed}`).toEqual([]);
  expect(figures.kills).toBe(kills);
  expect(figures.payments).toBeGreaterThanOrEqual(killedPayments);
  // Had nothing been under way, and nothing been lost, this would have shown nothing.
  expect(figures.killedWithoutName + figures.killedUnderWay + figures.killedBeforeRecording).toBeGreaterThan(0);
  for (const name of ["requestLost", "answerLost", "effects", "succeeded", "unknown", "replays"] as const) {
    expect(figures[name], name).toBeGreaterThan(0);
  }
});

function prefixed(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, times]) => [`${name} / operation kills`, times]));
}

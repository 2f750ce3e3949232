import { expect, it } from "vitest";
import { runKills } from "./kills.ts";
import { PORTS } from "./ports.ts";

it("loses, doubles and contradicts nothing when it is killed while clients write", { timeout: 120_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const outcome = await runKills({ kills: 3, seed, minimumWrites: 150, port: PORTS.kills, report: console.log });
  expect(outcome).toMatchObject({ seed, kills: 3, lost: 0, doubled: 0, contradicted: 0, findings: [] });
  expect(outcome.acknowledged).toBeGreaterThanOrEqual(150);
  // Had nothing been under way when it was killed, this would have shown nothing.
  expect(outcome.unknown).toBeGreaterThan(0);
  expect(outcome.replays).toBeGreaterThan(0);
});

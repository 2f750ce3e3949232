import { expect } from "vitest";
import { VIOLATIONS } from "../invariants.ts";

/** Fails with every violation of the storage's invariants. */
export async function assertInvariants(db: D1Database): Promise<void> {
  const { results } = await db.prepare(VIOLATIONS).all();
  expect(results).toEqual([]);
}

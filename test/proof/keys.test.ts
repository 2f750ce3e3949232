import { expect, it } from "vitest";
import { SimulatedD1 } from "./d1";
import { Platform } from "./platform";
import { World } from "./world";

/** What SECURITY.md promises: a revocation is felt everywhere within 30 s. */
const KEY_CACHE_TTL_MS = 30_000;

/** Has a key used now, then its row changed behind the service's back, then used after each of these times. */
async function answersAfter(change: (now: number) => string, ...milliseconds: number[]): Promise<number[]> {
  const [world, d1] = [new World(1), new SimulatedD1()];
  const { service } = new Platform(world, d1);
  const headers = { Authorization: `Bearer ${service.key}` };
  const use = async () => {
    const { status } = await service.send(new Request(`${service.origin}/api/v1/payments`, { headers }));
    return status;
  };
  return world.run(async () => {
    const answers = [await use()];
    const start = Date.now();
    d1.rows(`UPDATE api_keys SET ${change(start)}`);
    for (const time of milliseconds) {
      await world.wait(start + time - Date.now());
      answers.push(await use());
    }
    return answers;
  });
}

it("a key that is revoked elsewhere is refused once it is no longer remembered", async () => {
  const answers = await answersAfter((now) => `revoked_at = ${now}`, KEY_CACHE_TTL_MS, 10 * KEY_CACHE_TTL_MS);
  expect(answers).toEqual([200, 401, 401]);
});

it("a key is refused from the moment on at which it expires", async () => {
  const soon = KEY_CACHE_TTL_MS + 1_000;
  // Looked up again, and so remembered, shortly before it expires.
  const answers = await answersAfter((now) => `expires_at = ${now + soon}`, soon - 2, soon, soon + KEY_CACHE_TTL_MS);
  expect(answers).toEqual([200, 200, 401, 401]);
});

/** Waiting for a payment: GET with wait_for. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { PaymentObject } from "../../../src/operation/object";
import { SCOPE_NAMES } from "../../../src/scopes";
import { client, newKey, newMerchant, paymentIn } from "../client";
import { type Around, instrumentD1, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { countWaits, objectOf, placesLeft, usedKey } from "./watching";

const api = client();

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const waitFor = (id: number, statuses: string, timeout = 30, asker = api, headers = {}) =>
  asker.request("GET", `/api/v1/payments/${id}?wait_for=${statuses}&timeout=${timeout}`, { headers });

/** A client whose D1 round trips are counted, and `whileWaiting`, which is called when its nth one has been answered. */
function counted(key: string, nth = Number.NaN, whileWaiting = () => {}) {
  const meter = meterD1(env.DB);
  let trips = 0;
  const db = instrumentD1(meter.db, async (roundTrip) => {
    const answer = await roundTrip();
    if (++trips === nth) whileWaiting();
    return answer;
  });
  return { meter, asker: client({ ...env, DB: db }, { key }) };
}

describe("a payment that is waited for", () => {
  it("is answered when another client confirms it, and not at the next look", async () => {
    const { id } = await paymentIn("pending");
    // The key is looked up, and the payment read: from then on it waits.
    const { meter, asker } = counted(await usedKey(), 2, () => void api.run(id, "confirm"));
    const started = performance.now();
    const answer = await waitFor(id, "confirmed", 30, asker);
    expect([answer.status, answer.body.status, answer.headers.get("ETag")]).toEqual([200, "confirmed", '"2"']);
    // Told once: one look, in which it is so, and before the one of every five seconds.
    expect(meter.trips).toBe(3);
    expect(performance.now() - started).toBeLessThan(4_500);
  });

  it("is answered as it is after the time", async () => {
    const { id } = await paymentIn("pending");
    const started = Date.now();
    const { status, body } = await waitFor(id, "confirmed,failed", 1);
    expect([status, body.status]).toEqual([200, "pending"]);
    expect(Date.now() - started).toBeGreaterThanOrEqual(990);
  });

  it.each([
    ["one status", "confirmed"],
    ["one of several", "failed,confirmed"],
    ["one of several, repeated", "failed&wait_for=confirmed"],
  ])("is answered at once where it is in %s already", async (_, statuses) => {
    const { id } = await paymentIn("confirmed");
    const { meter, asker } = counted(await usedKey());
    expect((await waitFor(id, statuses, 60, asker)).body.status).toBe("confirmed");
    expect(meter.trips).toBe(2);
  });

  it("goes on waiting after a change to another status", async () => {
    const { id } = await paymentIn("pending");
    const waits = countWaits();
    const { meter, asker } = counted(await usedKey());
    const waiting = waitFor(id, "refunded", 30, asker);
    await vi.waitUntil(() => waits.count === 1);
    await api.run(id, "confirm");
    await vi.waitUntil(() => waits.count === 2);
    await api.run(id, "refund");
    expect((await waiting).body.status).toBe("refunded");
    expect(meter.trips).toBe(4);
  });

  it("is found by looking when the change went past its object", async () => {
    const { id } = await paymentIn("pending");
    // As another instance of the object would.
    const other = client(envWithD1(env.DB));
    const { meter, asker } = counted(await usedKey(), 2, () => void other.run(id, "confirm"));
    expect((await waitFor(id, "confirmed", 1, asker)).body.status).toBe("confirmed");
    expect(meter.trips).toBe(3);
  });

  it("is looked at again when its object is aborted, and waited for on", async () => {
    const { id } = await paymentIn("pending");
    const { meter, asker } = counted(await usedKey());
    const waits = countWaits();
    const waiting = waitFor(id, "confirmed", 30, asker);
    await vi.waitUntil(() => waits.count === 1);
    expect(meter.trips).toBe(2);
    await runInDurableObject(objectOf(id), (_, state) => state.abort("as by an outage")).catch(() => {});
    // It looks again, and waits in the object that has come instead.
    await vi.waitUntil(() => waits.count === 2);
    expect(meter.trips).toBe(3);
    await api.run(id, "confirm");
    expect((await waiting).body.status).toBe("confirmed");
    expect(meter.trips).toBe(4);
  });

  it("is not told of another payment's change", async () => {
    const [one, other] = [await paymentIn("pending"), await paymentIn("pending")];
    const { meter, asker } = counted(await usedKey(), 2, () => void api.run(other.id, "confirm"));
    expect((await waitFor(one.id, "confirmed", 1, asker)).body.status).toBe("pending");
    expect(meter.trips).toBe(3);
  });

  it("of another merchant is not found, at once", async () => {
    const { id } = await paymentIn("pending");
    const stranger = client(undefined, { key: await newKey(["payments:read"], await newMerchant()) });
    expect((await waitFor(id, "confirmed", 60, stranger)).status).toBe(404);
    expect((await waitFor(9_007_199_254_740_991, "confirmed", 60)).status).toBe(404);
  });

  it("answers 304 when it is what If-None-Match names, then", async () => {
    const { id } = await paymentIn("pending");
    expect((await waitFor(id, "confirmed", 1, api, { "If-None-Match": '"1"' })).status).toBe(304);
    const { asker } = counted(await usedKey(), 2, () => void api.run(id, "confirm"));
    const changed = await waitFor(id, "confirmed", 30, asker, { "If-None-Match": '"1"' });
    expect([changed.status, changed.body.status]).toEqual([200, "confirmed"]);
  });
});

describe("the object tells", () => {
  /** An object whose D1 behaves like this, with somebody who waits in it: what an action is answered, and when it was told. */
  async function told(id: number, around: Around, action: "confirm" | "refund") {
    return runInDurableObject(objectOf(id), async (_, state) => {
      const object = new PaymentObject(state, { ...env, DB: instrumentD1(env.DB, around) });
      // Longer than a test may last.
      const waiting = object
        .enter(60_000)
        ?.changed(1, 60_000)
        .then(() => "told");
      const names = { requestId: "r", commitId: crypto.randomUUID(), keyId: null };
      const origin = { merchantId: 1, ...names, now: Date.now() };
      const { result } = await object.run(origin, { action, idempotency: null, expected: null });
      return [result.tag, await Promise.race([waiting, scheduler.wait(0).then(() => "not told")])];
    });
  }

  it("of a change, and not of a refusal", async () => {
    const { id } = await paymentIn("pending");
    expect(await told(id, (roundTrip) => roundTrip(), "refund")).toEqual(["refused", "not told"]);
    expect(await told(id, (roundTrip) => roundTrip(), "confirm")).toEqual(["changed", "told"]);
  });

  it("of an answer that was lost, which may be that of a change", async () => {
    const { id } = await paymentIn("pending");
    const loses: Around = async (roundTrip) => {
      await roundTrip();
      throw new Error("D1_ERROR: Network connection lost.");
    };
    expect(await told(id, loses, "confirm")).toEqual(["outage", "told"]);
    expect((await api.get(id)).body.status).toBe("confirmed");
  });
});

describe("refused, with the name of the parameter, is", () => {
  it.each([
    ["a timeout without wait_for", "timeout=30", "timeout", "Only with wait_for"],
    ["an unknown status", "wait_for=paid", "wait_for", /^Must be one or several of pending, /],
    [
      "an unknown status, with a timeout",
      "wait_for=paid&timeout=30",
      "wait_for",
      /^Must be one or several of pending, /,
    ],
    ["one unknown status of two", "wait_for=confirmed,paid", "wait_for", /^Must be one or several of pending, /],
    ["an empty list", "wait_for=", "wait_for", /^Must be one or several of pending, /],
    ["no time", "wait_for=failed&timeout=0", "timeout", "Must be an integer from 1 to 60"],
    ["too long a time", "wait_for=failed&timeout=61", "timeout", "Must be an integer from 1 to 60"],
    ["half a second", "wait_for=failed&timeout=1.5", "timeout", "Must be an integer from 1 to 60"],
    ["a time that is given twice", "wait_for=failed&timeout=1&timeout=2", "timeout", "Must be given once"],
  ])("%s", async (_, query, parameter, detail) => {
    const { id } = await paymentIn("pending");
    const { status, body } = await api.request("GET", `/api/v1/payments/${id}?${query}`);
    expect([status, body.errors]).toEqual([
      422,
      [{ parameter, detail: typeof detail === "string" ? detail : expect.stringMatching(detail) }],
    ]);
  });
});

describe("at once", () => {
  it("five requests wait for a payment, and a sixth is refused", async () => {
    const { id } = await paymentIn("pending");
    const asked = Array.from({ length: 6 }, () => waitFor(id, "confirmed", 10));
    const refused = await Promise.race(asked);
    expect([refused.status, refused.body.type, refused.body.detail, refused.headers.get("Retry-After")]).toEqual([
      429,
      "/problems/too-many-waiting",
      "Five requests are waiting for this payment already",
      "5",
    ]);
    // Nobody who acts, or does not wait, is held up by them.
    expect((await api.get(id)).body.status).toBe("pending");
    expect((await api.run(id, "confirm")).status).toBe(200);
    const statuses = (await Promise.all(asked)).map(({ status, body }) => `${status} ${body.status}`);
    expect(statuses.sort()).toEqual([...Array(5).fill("200 confirmed"), "429 429"]);
    // All places are free again.
    await expect.poll(() => placesLeft(objectOf(id))).toBe(5);
  });

  it("a hundred requests of a merchant wait, and no more; other merchants' do", async () => {
    const merchant = await newMerchant();
    const own = client(undefined, { key: await newKey(SCOPE_NAMES, merchant) });
    const { id } = await paymentIn("pending", own);
    const places: Disposable[] = [];
    for (let n = 0; n < 100; n++) {
      const place = await env.MERCHANT_WAITS.getByName(String(merchant)).enter(60_000);
      if (place) places.push(place);
    }
    expect(places).toHaveLength(100);
    const refused = await waitFor(id, "confirmed", 1, own);
    expect([refused.status, refused.body.type, refused.body.detail, refused.headers.get("Retry-After")]).toEqual([
      429,
      "/problems/too-many-waiting",
      "A hundred requests of the merchant are waiting already",
      "5",
    ]);
    // What does not wait is answered, and so are others.
    expect((await waitFor(id, "pending", 1, own)).status).toBe(200);
    expect((await waitFor((await paymentIn("pending")).id, "confirmed", 1)).status).toBe(200);
    places[0]?.[Symbol.dispose]();
    const left = () => placesLeft(env.MERCHANT_WAITS.getByName(String(merchant)));
    await expect.poll(left).toBe(1);
    expect((await waitFor(id, "confirmed", 1, own)).status).toBe(200);
    // It has given its place back.
    await expect.poll(left).toBe(1);
    for (const place of places) place[Symbol.dispose]();
  });
});

it("a key that is revoked meanwhile gets no answer but 401", async () => {
  const { id } = await paymentIn("pending");
  const key = await usedKey();
  const { asker } = counted(key, 2, async () => {
    await api.request("POST", `/api/v1/api-keys/${publicId(key)}/revoke`);
    // Another isolate remembers it for 30 s.
    vi.setSystemTime(Date.now() + 30_000);
    await api.run(id, "confirm");
  });
  expect((await waitFor(id, "confirmed", 60, asker)).status).toBe(401);
});

it("an object that is out of reach refuses nobody: the payment is looked at after the time", async () => {
  const { id } = await paymentIn("pending");
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const broken = {
    getByName: () => ({ enter: () => Promise.reject(new Error("The object is out of reach")) }),
  } as unknown as Env["PAYMENT"];
  const asker = client({ ...env, PAYMENT: broken });
  expect((await waitFor(id, "confirmed", 1, asker)).body.status).toBe("pending");
  expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({ message: "wait not counted" });
});

/** The stream of a payment's events. */
import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { app } from "../../../src/app";
import { publicId } from "../../../src/auth/api-key";
import { administrator, type Body, client, newKey, newMerchant, paymentIn } from "../client";
import { instrumentD1 } from "../d1";
import { countWaits, objectOf, placesLeft, usedKey } from "./watching";

const api = client();

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

interface Told {
  id: string;
  event: string;
  data: unknown;
}

const pathOf = (id: number, timeout?: number) =>
  `/api/v1/payments/${id}/stream${timeout === undefined ? "" : `?timeout=${timeout}`}`;

/** What a stream has told, read as a client reads it. */
class Reading {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  readonly response: Response;
  text = "";

  constructor(response: Response) {
    if (!response.body) throw new Error("An answer without a body");
    this.response = response;
    this.#reader = response.body.getReader();
  }

  /** Reads on; false at the end. */
  async read(): Promise<boolean> {
    const { done, value } = await this.#reader.read();
    if (value) this.text += this.#decoder.decode(value);
    return !done;
  }

  get events(): Told[] {
    const found = this.text.matchAll(/^id: (.*)\nevent: (.*)\ndata: (.*)\n\n/gm);
    return [...found].map(([, id = "", event = "", data = ""]) => ({ id, event, data: JSON.parse(data) }));
  }

  /** Reads until so many events have come, or the end. */
  async until(count: number): Promise<Told[]> {
    while (this.events.length < count && (await this.read())) {}
    return this.events;
  }

  async toTheEnd(): Promise<Told[]> {
    return this.until(Number.POSITIVE_INFINITY);
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

interface Options {
  key: string;
  timeout?: number;
  last?: string | undefined;
  bindings?: Partial<Env>;
}

async function open(id: number, { key, timeout, last, bindings }: Options): Promise<Reading> {
  const headers = { Authorization: `Bearer ${key}`, ...(last !== undefined && { "Last-Event-ID": last }) };
  const request = new Request(`http://localhost${pathOf(id, timeout)}`, { headers });
  const response = await app.fetch(request, { ...env, ...bindings }, createExecutionContext());
  expect(response.status).toBe(200);
  return new Reading(response);
}

const historyOf = async (id: number) =>
  (await api.request<{ data: (Body & { id: string })[] }>("GET", `/api/v1/payments/${id}/events`)).body.data;

describe("a stream", () => {
  it("tells each event that there is, then each one as it happens, as the history has them", async () => {
    const { id } = await paymentIn("pending");
    const stream = await open(id, { key: await usedKey() });
    expect(Object.fromEntries(stream.response.headers)).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store",
    });
    expect((await stream.until(1)).map((told) => told.id)).toEqual([`evt_${id}_1`]);
    expect(stream.text).toMatch(/^retry: 1000\n\nid: /);
    await api.run(id, "confirm", "confirm-it");
    await stream.until(2);
    await api.run(id, "refund");
    const told = await stream.until(3);
    await stream.cancel();
    const history = await historyOf(id);
    expect(told.map(({ data }) => data)).toEqual(history);
    expect(told.map(({ id, event }) => [id, event])).toEqual(history.map(({ id, type }) => [id, type]));
  });

  it("ends with what there is when it is given no time, also for a client of the document", async () => {
    const { id } = await paymentIn("refunded");
    const stream = await open(id, { key: await usedKey(), timeout: 0 });
    expect((await stream.toTheEnd()).map(({ event }) => event)).toEqual([
      "payment.created",
      "payment.confirmed",
      "payment.refunded",
    ]);
    const { status, body } = await api.request("GET", pathOf(id, 0), { headers: { "Last-Event-ID": `evt_${id}_3` } });
    expect([status, body]).toEqual([200, "retry: 1000\n\n"]);
  });

  it("ends after its time", async () => {
    const { id } = await paymentIn("pending");
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    const started = Date.now();
    vi.setSystemTime(started);
    const stream = await open(id, { key: await usedKey() });
    await stream.until(1);
    // Five minutes are not over yet.
    vi.setSystemTime(started + 299_999);
    await api.run(id, "confirm");
    expect(await stream.until(2)).toHaveLength(2);
    vi.setSystemTime(started + 300_000);
    await api.run(id, "refund");
    await stream.toTheEnd();
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    const [line] = lines.filter(({ message }) => message === "stream");
    expect(line).toMatchObject({ end: "complete", duration_ms: 300_000, d1_trips: expect.any(Number) });
    await expect.poll(() => placesLeft(objectOf(id))).toBe(5);
  });

  it("ends after its time also when nothing happens", async () => {
    const { id } = await paymentIn("pending");
    const stream = await open(id, { key: await usedKey(), timeout: 1 });
    expect(await stream.toTheEnd()).toHaveLength(1);
  });

  it("looks again when its object is aborted, and says that it is alive", async () => {
    const { id } = await paymentIn("pending");
    const waits = countWaits();
    const stream = await open(id, { key: await usedKey() });
    await stream.until(1);
    const next = stream.read();
    await vi.waitUntil(() => waits.count === 1);
    await runInDurableObject(objectOf(id), (_, state) => state.abort("as by an outage")).catch(() => {});
    await next;
    expect(stream.text).toMatch(/\n\n: alive\n\n$/);
    await api.run(id, "confirm");
    expect((await stream.until(2)).map(({ event }) => event)).toEqual(["payment.created", "payment.confirmed"]);
    await stream.cancel();
  });

  it("gives its place back when its client goes away", async () => {
    const { id } = await paymentIn("pending");
    const stream = await open(id, { key: await usedKey() });
    await stream.until(1);
    expect(await placesLeft(objectOf(id))).toBe(4);
    await stream.cancel();
    await expect.poll(() => placesLeft(objectOf(id))).toBe(5);
  });

  it("breaks off when D1 does, and the log says why", async () => {
    const { id } = await paymentIn("pending");
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    // The key, and the events.
    let left = 2;
    const db = instrumentD1(env.DB, (roundTrip) =>
      left-- > 0 ? roundTrip() : Promise.reject(new Error("D1_ERROR: no such table: payments: SQLITE_ERROR")),
    );
    const stream = await open(id, { key: await usedKey(), bindings: { DB: db } });
    await stream.until(1);
    await api.run(id, "confirm");
    await expect(stream.until(2)).rejects.toThrow();
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toContainEqual(expect.objectContaining({ message: "stream broken off" }));
    await expect.poll(() => placesLeft(objectOf(id))).toBe(5);
  });

  it("costs nothing to HEAD, and waits for nothing", async () => {
    const { id } = await paymentIn("pending");
    const { status, body, headers } = await api.request("HEAD", pathOf(id));
    expect([status, body, headers.get("Content-Type")]).toEqual([200, null, "text/event-stream"]);
    expect(await placesLeft(objectOf(id))).toBe(5);
  });
});

describe("Last-Event-ID", () => {
  it("goes on after that event, without a gap or a repetition, while actions race", async () => {
    const key = await usedKey();
    for (let round = 0; round < 5; round++) {
      const { id } = await paymentIn("pending");
      const told: Told[] = [];
      const acting = api.run(id, "confirm").then(() => api.run(id, "refund"));
      while (told.length < 3) {
        const stream = await open(id, { key, last: told.at(-1)?.id });
        // What comes in one piece is read in one piece, and then the client loses its connection.
        told.push(...(await stream.until(1)));
        await stream.cancel();
      }
      await acting;
      expect(told.map((event) => event.id)).toEqual([1, 2, 3].map((sequence) => `evt_${id}_${sequence}`));
    }
  });

  it.each([
    ["another payment's event", (id: number) => `evt_${id + 1}_1`],
    ["an event that has not happened", (id: number) => `evt_${id}_2`],
    ["an event of no payment", () => "evt_m1_1"],
    ["no event", () => "1"],
  ])("that is %s is refused", async (_, last) => {
    const { id } = await paymentIn("pending");
    const { status, body } = await api.request("GET", pathOf(id, 0), { headers: { "Last-Event-ID": last(id) } });
    const detail = "Must be the id of an event of this payment, as in the stream";
    expect([status, body.errors]).toEqual([422, [{ detail, header: "Last-Event-ID" }]]);
  });
});

describe("a stream is refused", () => {
  it("to another merchant, as what there is not", async () => {
    const { id } = await paymentIn("pending");
    const stranger = client(undefined, { key: await newKey(["events:read"], await newMerchant()) });
    for (const unknown of [id, 9_007_199_254_740_991]) {
      const { status, body } = await stranger.request("GET", pathOf(unknown));
      expect([status, body.type]).toEqual([404, "/problems/payment-not-found"]);
    }
    expect(await placesLeft(objectOf(id))).toBe(5);
  });

  it("to a key without its scope", async () => {
    const { id } = await paymentIn("pending");
    const reader = client(undefined, { key: await newKey(["payments:read", "payments:write"]) });
    expect((await reader.request("GET", pathOf(id, 0))).status).toBe(403);
  });

  it.each(["-1", "301", "1.5", "", "01"])("with a timeout of %j", async (timeout) => {
    const { id } = await paymentIn("pending");
    const { status, body } = await api.request("GET", `/api/v1/payments/${id}/stream?timeout=${timeout}`);
    const detail = "Must be an integer from 0 to 300";
    expect([status, body.errors]).toEqual([422, [{ detail, parameter: "timeout" }]]);
  });

  it("as the sixth of a payment, whether they stream or wait", async () => {
    const { id } = await paymentIn("pending");
    const key = await usedKey();
    const streams = [];
    for (let n = 0; n < 5; n++) streams.push(await open(id, { key }));
    for (const path of [pathOf(id), `/api/v1/payments/${id}?wait_for=confirmed`]) {
      const { status, body, headers } = await api.request("GET", path);
      expect([status, body.type, headers.get("Retry-After")]).toEqual([429, "/problems/too-many-waiting", "5"]);
    }
    // What does not wait takes no place.
    expect((await api.request("GET", pathOf(id, 0))).status).toBe(200);
    for (const stream of streams) await stream.cancel();
    await expect.poll(() => placesLeft(objectOf(id))).toBe(5);
  });
});

describe("a stream ends, and tells no more,", () => {
  async function opened() {
    const merchant = await newMerchant();
    const owner = client(undefined, { key: await newKey(undefined, merchant) });
    const { id } = await paymentIn("pending", owner);
    const key = await usedKey(merchant, ["events:read"]);
    const stream = await open(id, { key });
    await stream.until(1);
    return { merchant, owner, id, key, stream };
  }

  it("when its key is revoked", async () => {
    const { owner, id, key, stream } = await opened();
    await owner.request("POST", `/api/v1/api-keys/${publicId(key)}/revoke`);
    // Here at once, in other isolates within 30 s.
    await owner.run(id, "confirm");
    expect(await stream.toTheEnd()).toHaveLength(1);
  });

  it("when its key is revoked in another isolate, once that is remembered no longer", async () => {
    const { owner, id, key, stream } = await opened();
    await env.DB.prepare("UPDATE api_keys SET revoked_at = 1 WHERE id = ?").bind(publicId(key)).run();
    vi.setSystemTime(Date.now() + 30_000);
    await owner.run(id, "confirm");
    expect(await stream.toTheEnd()).toHaveLength(1);
  });

  it("when nothing happens either, no later than the key is remembered", async () => {
    const { key, stream } = await opened();
    await env.DB.prepare("UPDATE api_keys SET revoked_at = 1 WHERE id = ?").bind(publicId(key)).run();
    // The next pause is as long as the key is still remembered.
    vi.setSystemTime(Date.now() + 29_990);
    const started = performance.now();
    await stream.read();
    expect(await stream.toTheEnd()).toHaveLength(1);
    expect(performance.now() - started).toBeLessThan(9_000);
  });

  it("when its key expires", async () => {
    const { id, owner, key, stream } = await opened();
    await env.DB.prepare("UPDATE api_keys SET expires_at = ?1 WHERE id = ?2").bind(Date.now(), publicId(key)).run();
    vi.setSystemTime(Date.now() + 30_000);
    await owner.run(id, "confirm");
    expect(await stream.toTheEnd()).toHaveLength(1);
  });

  it("when its merchant is disabled", async () => {
    const { merchant, stream, owner, id } = await opened();
    await owner.run(id, "confirm");
    expect(await stream.until(2)).toHaveLength(2);
    await administrator().request("POST", `/api/v1/merchants/${merchant}/disable`);
    await runInDurableObject(objectOf(id, merchant), (_, state) => state.abort("as by an outage")).catch(() => {});
    expect(await stream.toTheEnd()).toHaveLength(2);
  });
});

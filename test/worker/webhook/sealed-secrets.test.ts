/** The secrets of webhook endpoints are stored sealed, each in its own row; and what becomes of deliveries when one does not open. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { open } from "../../../src/auth/seal";
import { makeSecretsKeys, secretsKeys } from "../../../src/auth/secret-keys";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import { client } from "../client";
import { instrumentD1 } from "../d1";
import { envWithD1 } from "../objects";
import { answers, Receiver } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  DAY_MS,
  disablings,
  ENDPOINTS,
  HOUR,
  MINUTE,
  run,
  SECOND,
  type Shop,
  seedPayments,
  stopClock,
  type WebhookEndpoint,
  watch,
} from "./shop";

/** How long nothing is sent to an endpoint whose secret does not open. */
const PAUSE_MS = 5 * MINUTE;
const UNSIGNED = "Not sent: this service could not open the endpoint's secret";

vi.setConfig({ testTimeout: 20_000 });

const output = watch();

interface Stored {
  secret: string;
  previous_secret: string | null;
}

async function stored({ id }: WebhookEndpoint): Promise<Stored> {
  const row = await env.DB.prepare("SELECT secret, previous_secret FROM webhook_endpoints WHERE id = ?")
    .bind(id)
    .first<Stored>();
  return row ?? { secret: "", previous_secret: null };
}

const setSecret = ({ id }: WebhookEndpoint, secret: string, column = "secret") =>
  env.DB.prepare(`UPDATE webhook_endpoints SET ${column} = ? WHERE id = ?`).bind(secret, id).run();

async function roll(shop: Shop, { path }: WebhookEndpoint, overlap_seconds: number): Promise<string> {
  const { status, body } = await shop.api.request<{ secret: string }>("POST", `${path}/roll`, {
    body: { overlap_seconds },
  });
  expect(status).toBe(201);
  return body.secret;
}

/** What the log has said of secrets that do not open, which the test has expected. */
function complaints(): { endpoint_id: number; cause: string }[] {
  const lines = output.complained.mock.calls.map(([line]) => JSON.parse(String(line)));
  output.complained.mockClear();
  expect(lines.map(({ message }) => message)).toEqual(lines.map(() => "webhook secret not opened"));
  return lines;
}

/** Has an endpoint's object send what is due, under other keys. */
const runUnder = ({ stub }: WebhookEndpoint, SECRETS_KEYS: string) =>
  runInDurableObject(stub, (_, state) => new WebhookEndpointObject(state, { ...env, SECRETS_KEYS }).alarm());

describe("a secret", () => {
  it("is stored sealed for its endpoint alone, and so is the one before it", async () => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    const opened = (sealed: string | null, id = endpoint.id, merchantId = shop.id, column = "secret") =>
      open(
        sealed ?? "",
        { account: "webhook_endpoints", merchantId, field: `webhook_endpoints/${id}/${column}` },
        secretsKeys(env),
      );
    const { secret: first } = await stored(endpoint);
    expect(await opened(first)).toEqual({ tag: "opened", text: endpoint.secret });
    const second = await roll(shop, endpoint, 60);
    const { secret, previous_secret } = await stored(endpoint);
    expect(previous_secret).toBe(first);
    expect(await opened(secret)).toEqual({ tag: "opened", text: second });
    const elsewhere = [
      opened(secret, other.id),
      opened(secret, endpoint.id, 1),
      opened(secret, endpoint.id, shop.id, "url"),
    ];
    expect(await Promise.all(elsewhere)).toEqual(elsewhere.map(() => ({ tag: "not_authentic" })));
  });

  it("is opened once in a run, however much is sent", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await seedPayments(shop, endpoint, 12);
    const decrypt = vi.spyOn(crypto.subtle, "decrypt");
    await run(endpoint);
    expect([endpoint.receiver.received.length, decrypt.mock.calls.length]).toEqual([12, 1]);
    endpoint.receiver.secrets.push(await roll(shop, endpoint, 60));
    for (let n = 0; n < 6; n++) await aPayment(shop);
    decrypt.mockClear();
    await run(endpoint);
    expect([endpoint.receiver.received.length, decrypt.mock.calls.length]).toEqual([18, 2]);
  });

  it("that is rolled while a run is on signs what comes after it", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    await aPayment(shop);
    endpoint.receiver.next(async () => {
      endpoint.receiver.secrets.push(await roll(shop, endpoint, 0));
      await aPayment(shop);
      await endpoint.stub.wake();
      return new Response(null, { status: 204 });
    });
    await run(endpoint);
    expect(endpoint.receiver.received.map(({ signedBy }) => signedBy)).toEqual(
      endpoint.receiver.secrets.map((secret) => [secret]),
    );
  });
});

describe("creations at once", () => {
  it("that take one id both succeed, each with a secret that signs", async () => {
    const shop = await aShop();
    let other = 0;
    // Between the look for the next id and the insert, somebody else takes it.
    const meets = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      const isLook = JSON.stringify(answer).includes(`"results":[{"id":`);
      if (isLook && other === 0) other = (await anEndpoint(shop)).id;
      return answer;
    });
    const receiver = new Receiver();
    const by = client(envWithD1(meets), { key: shop.key });
    const { status, body } = await by.request<{ id: number; secret: string }>("POST", ENDPOINTS, {
      body: { url: receiver.url },
      headers: { "Idempotency-Key": "met" },
    });
    expect([status, other > 0, body.id > other]).toEqual([201, true, true]);
    receiver.secrets.push(body.secret);
    const { body: tested } = await shop.api.request<{ succeeded: boolean }>("POST", `${ENDPOINTS}/${body.id}/test`);
    expect([tested.succeeded, receiver.received[0]?.signedBy]).toEqual([true, [body.secret]]);
    const again = await shop.api.request("POST", ENDPOINTS, {
      body: { url: receiver.url },
      headers: { "Idempotency-Key": "met" },
    });
    expect([again.status, again.body.id]).toEqual([200, body.id]);
  });

  it("that meet each time end with a 503, and leave nothing", async () => {
    const shop = await aShop();
    const meets = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      const isLook = JSON.stringify(answer).includes(`"results":[{"id":`);
      if (isLook) {
        await env.DB.prepare(
          `INSERT INTO webhook_endpoints (id, merchant_id, url, secret, created_at, updated_at, deleted_at)
           WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
           SELECT (SELECT max(id) FROM webhook_endpoints) + i, 1, 'https://shop.example.com/', NULL, 1, 1, 1 FROM n`,
        ).run();
      }
      return answer;
    });
    await anEndpoint(shop);
    const by = client(envWithD1(meets), { key: shop.key, outages: true });
    const { status } = await by.request("POST", ENDPOINTS, { body: { url: new Receiver().url } });
    expect(status).toBe(503);
    output.complained.mockClear();
    const { body } = await shop.api.request<{ data: object[] }>("GET", ENDPOINTS);
    expect(body.data).toHaveLength(1);
  });
});

describe("a secret that does not open", () => {
  it("since two rows were exchanged, fails what is sent to those two, and to nobody else", async () => {
    const shop = await aShop();
    const [one, two, third] = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)];
    const [secretOfOne, secretOfTwo] = [(await stored(one)).secret, (await stored(two)).secret];
    await setSecret(one, secretOfTwo);
    await setSecret(two, secretOfOne);
    const now = stopClock();
    const id = await aPayment(shop);
    for (const endpoint of [one, two, third]) await run(endpoint);

    expect(third.receiver.ids).toEqual([`evt_${id}_1`]);
    for (const endpoint of [one, two]) {
      expect(endpoint.receiver.received).toEqual([]);
      expect(await endpoint.delivery()).toMatchObject({
        status: "pending",
        attempt_count: 1,
        attempts: [{ http_status: null, error: UNSIGNED, answer: "" }],
        next_attempt_at: new Date(now + PAUSE_MS).toISOString(),
      });
      expect(await endpoint.get()).toMatchObject({ enabled: true, failing_since: null });
    }
    const cause = "It was altered, or was sealed for another place";
    const fields = { message: "webhook secret not opened", merchant_id: shop.id, cause };
    const said = complaints();
    expect(said).toEqual([one, two].map(({ id: endpoint_id }) => ({ ...fields, endpoint_id })));
    const lines = JSON.stringify([said, output.logged.mock.calls]);
    for (const text of [one.secret, two.secret, secretOfOne, secretOfTwo]) expect(lines).not.toContain(text);

    // Once the rows are as they were, what has waited is sent.
    await setSecret(one, secretOfOne);
    await setSecret(two, secretOfTwo);
    vi.setSystemTime(now + PAUSE_MS);
    for (const endpoint of [one, two]) {
      await run(endpoint);
      expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`]);
      expect(await endpoint.delivery()).toMatchObject({ status: "succeeded", attempt_count: 2 });
    }
  });

  it("since its key is not listed, is tried for days, disables nothing, and gives nothing up", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const [, keyId = ""] = (await stored(endpoint)).secret.split(".");
    const others = makeSecretsKeys(new Date());
    const now = stopClock();
    const id = await aPayment(shop);
    // More often than there are pauses after failures, and for longer than an endpoint may only fail.
    const days = Array.from({ length: 16 }, (_, n) => now + (n * DAY_MS) / 2);
    for (const time of days) {
      vi.setSystemTime(time);
      await runUnder(endpoint, others);
    }
    expect(complaints().map(({ endpoint_id, cause }) => [endpoint_id, cause])).toEqual(
      days.map(() => [endpoint.id, `SECRETS_KEYS does not list the key ${keyId}, which has sealed it`]),
    );
    expect(await endpoint.delivery()).toMatchObject({ status: "pending", attempt_count: days.length });
    expect([await endpoint.get(), await disablings(endpoint)]).toMatchObject([
      { enabled: true, failing_since: null },
      [],
    ]);

    // With the key in its place again, also behind another. The pauses after failures begin with the first of them.
    vi.setSystemTime(now + 10 * DAY_MS);
    vi.spyOn(Math, "random").mockReturnValue(0);
    endpoint.receiver.next(answers(500));
    await runUnder(endpoint, `${others},${env.SECRETS_KEYS}`);
    expect(await endpoint.delivery()).toMatchObject({
      status: "pending",
      next_attempt_at: new Date(now + 10 * DAY_MS + 5 * SECOND).toISOString(),
    });
    vi.setSystemTime(now + 10 * DAY_MS + 5 * SECOND);
    await runUnder(endpoint, `${others},${env.SECRETS_KEYS}`);
    expect([endpoint.receiver.ids, await endpoint.statuses()]).toEqual([[`evt_${id}_1`, `evt_${id}_1`], ["succeeded"]]);
  });

  it("ends a failing endpoint's time no sooner", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    endpoint.receiver.next(answers(500));
    await aPayment(shop);
    await run(endpoint);
    expect((await endpoint.get()).failing_since).toBe(new Date(now).toISOString());
    vi.setSystemTime(now + 6 * DAY_MS);
    await runUnder(endpoint, makeSecretsKeys(new Date()));
    expect(complaints()).toHaveLength(1);
    expect(await endpoint.get()).toMatchObject({ enabled: true, failing_since: new Date(now).toISOString() });
  });

  it("costs five attempts in five minutes, however much is due and whoever wakes it", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { secret } = await stored(endpoint);
    await setSecret(endpoint, `${secret}A`);
    const now = stopClock();
    await seedPayments(shop, endpoint, 12);
    const attempts = async () => {
      const { results } = await env.DB.prepare("SELECT attempted FROM webhook_deliveries WHERE endpoint_id = ?")
        .bind(endpoint.id)
        .all<{ attempted: number }>();
      return results.reduce((sum, { attempted }) => sum + attempted, 0);
    };
    await run(endpoint);
    expect([await attempts(), complaints().length]).toEqual([5, 1]);
    for (const time of [now, now + MINUTE, now + PAUSE_MS - 1]) {
      vi.setSystemTime(time);
      await endpoint.stub.wake();
      expect(await endpoint.alarm()).toBe(now + PAUSE_MS);
      await runDurableObjectAlarm(endpoint.stub);
    }
    expect(await attempts()).toBe(5);
    vi.setSystemTime(now + PAUSE_MS);
    await run(endpoint);
    // Those that have been due longest are next.
    const { results } = await env.DB.prepare(
      "SELECT attempted FROM webhook_deliveries WHERE endpoint_id = ? ORDER BY position",
    )
      .bind(endpoint.id)
      .all<{ attempted: number }>();
    expect(results.map(({ attempted }) => attempted)).toEqual([...new Array(10).fill(1), 0, 0]);
    expect(complaints()).toHaveLength(1);
    await setSecret(endpoint, secret);
    vi.setSystemTime(now + 2 * PAUSE_MS);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(12);
  });

  it("keeps the order of a payment's events", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { secret } = await stored(endpoint);
    await setSecret(endpoint, "whsec_in_clear");
    const now = stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    await run(endpoint);
    expect([complaints().length, await endpoint.statuses()]).toEqual([1, ["pending", "waiting"]]);
    await setSecret(endpoint, secret);
    vi.setSystemTime(now + PAUSE_MS);
    await run(endpoint);
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_2`]);
  });

  it("is mended by a roll, also by one with an overlap, for what cannot be opened signs nothing", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    await setSecret(endpoint, "v1.lost.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA");
    const now = stopClock();
    await aPayment(shop);
    await run(endpoint);
    expect(complaints()).toHaveLength(1);
    const secret = await roll(shop, endpoint, 7 * 24 * 3_600);
    endpoint.receiver.secrets.push(secret);
    vi.setSystemTime(now + PAUSE_MS);
    await run(endpoint);
    expect(endpoint.receiver.received.map(({ signedBy }) => signedBy)).toEqual([[secret]]);
    expect(complaints().map(({ cause }) => cause)).toEqual([
      "SECRETS_KEYS does not list the key lost, which has sealed it",
    ]);
  });

  it("while the one before it does, sends nothing: a receiver may know the newest alone", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { secret } = await stored(endpoint);
    stopClock();
    await roll(shop, endpoint, 3_600);
    await setSecret(endpoint, (await stored(endpoint)).secret.slice(0, -1));
    expect((await stored(endpoint)).previous_secret).toBe(secret);
    await aPayment(shop);
    await run(endpoint);
    expect([endpoint.receiver.received, complaints().length]).toEqual([[], 1]);
  });

  it("is what a test event says, too", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    await setSecret(endpoint, (await stored(await anEndpoint(shop))).secret);
    const { status, body } = await shop.api.request<object>("POST", `${endpoint.path}/test`);
    expect([status, body]).toMatchObject([200, { succeeded: false, http_status: null, error: UNSIGNED, answer: "" }]);
    expect([endpoint.receiver.received, complaints().length]).toEqual([[], 1]);
  });

  it("of an endpoint whose overlap is over is not looked at", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const now = stopClock();
    endpoint.receiver.secrets.push(await roll(shop, endpoint, 3_600));
    await setSecret(endpoint, "broken", "previous_secret");
    vi.setSystemTime(now + HOUR);
    await aPayment(shop);
    await run(endpoint);
    expect(endpoint.receiver.received).toHaveLength(1);
  });
});

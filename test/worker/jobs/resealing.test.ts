/** The job that seals anew what an older key has sealed, for every column that holds sealed texts. */
import { createScheduledController, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../src";
import { open, type SealedPlace, seal } from "../../../src/auth/seal";
import { makeSecretsKeys } from "../../../src/auth/secret-keys";
import { resealAll } from "../../../src/jobs/resealing";
import { SEALED_COLUMNS } from "../../../src/jobs/sealed-columns";
import { PaymentObject } from "../../../src/operation/object";
import { client, ORDER } from "../client";
import { instrumentD1, losesNth, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { advanceSandbox, ask, newPayment, operationsOf } from "../operation/shop";
import { newMerchant } from "../payment-list";
import { anEndpoint, type Shop, watch } from "../webhook/shop";

const DAY_MS = 86_400_000;
const NOW = Date.now();
/** Texts that one run looks at: the statements of one invocation on Cloudflare's free plan are 50. */
const TEXTS_PER_RUN = 2_300;
const MAX_STATEMENTS = 50;
const MAX_LOGGED = 20;

vi.setConfig({ testTimeout: 20_000 });

const OLD = env.SECRETS_KEYS ?? "";
const NEW = makeSecretsKeys(new Date(NOW));
const ROTATED = `${NEW},${OLD}`;
const idOf = (keys: string) => keys.split(":")[0] ?? "";
const [OLD_ID, NEW_ID] = [idOf(OLD), idOf(NEW)];

const reseal = (keys = ROTATED, now = NOW, db = env.DB) => resealAll(db, keys, now);

const output = watch();

/** The lines of the log's errors, which the test has expected. */
function complaints() {
  const lines = output.complained.mock.calls.map(([line]) => JSON.parse(String(line)));
  output.complained.mockClear();
  return lines;
}

async function rows<T>(sql: string): Promise<T[]> {
  return (await env.DB.prepare(sql).all<T>()).results;
}

// The job is about all that is sealed: each test has its own, and no walk has begun.
beforeEach(async () => {
  await env.DB.batch([
    env.DB.prepare("DELETE FROM job_positions"),
    env.DB.prepare(
      "UPDATE webhook_endpoints SET deleted_at = 1, secret = NULL, previous_secret = NULL, previous_secret_ends_at = NULL",
    ),
    env.DB.prepare("DELETE FROM provider_accounts"),
    env.DB.prepare("UPDATE payments SET payment_method = NULL"),
    env.DB.prepare("UPDATE operations SET request = NULL"),
  ]);
});
afterEach(() => {
  vi.restoreAllMocks();
});

const aShop = async (): Promise<Shop> => {
  const merchant = await newMerchant();
  return { ...merchant, unheard: merchant.api };
};

const roll = (shop: Shop, path: string) =>
  shop.api.request<{ secret: string }>("POST", `${path}/roll`, { body: { overlap_seconds: 3_600 } });

/** An account at a provider, whose secrets are sealed under the oldest key. */
async function anAccount(merchantId: number, secrets: { api_key: string; webhook_secret: string | null }) {
  const id = 1 + ((await env.DB.prepare("SELECT max(id) AS id FROM provider_accounts").first<number>("id")) ?? 0);
  const sealed = (column: "api_key" | "webhook_secret") =>
    seal(
      secrets[column] ?? "",
      { account: "provider_accounts", merchantId, field: `provider_accounts/${id}/${column}` },
      OLD,
    );
  await env.DB.prepare(
    `INSERT INTO provider_accounts (id, merchant_id, provider, mode, name, api_key, api_key_hint, webhook_secret, created_at, updated_at)
     VALUES (?, ?, 'stripe', 'test', 'Shop', ?, 'sk_test_…', ?, 1, 1)`,
  )
    .bind(id, merchantId, await sealed("api_key"), secrets.webhook_secret && (await sealed("webhook_secret")))
    .run();
  return id;
}

/** Every sealed text that there is, with the column that it stands in. */
async function sealedTexts(): Promise<[column: string, text: string][]> {
  const found: [string, string][] = [];
  for (const { table, column } of SEALED_COLUMNS) {
    const texts = await rows<{ text: string }>(`SELECT ${column} AS text FROM ${table} WHERE ${column} IS NOT NULL`);
    found.push(...texts.map(({ text }) => [`${table}.${column}`, text] satisfies [string, string]));
  }
  return found;
}

const keysOf = (texts: readonly (readonly [string, string])[]) => texts.map(([, text]) => text.split(".")[1]);

describe("the job", () => {
  it("seals anew whatever an older key has sealed, wherever it stands, and what is sealed goes on without that key", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const { secret } = (await roll(shop, endpoint.path)).body;
    endpoint.receiver.secrets.push(secret);
    const account = await anAccount(shop.id, { api_key: "sk_test_1", webhook_secret: "whsec_1" });
    const pending = await newPayment({ payment_method: "test_ok" });
    const unsent = await newPayment();
    await ask(unsent.id, "confirm", { payment_method: "test_lost_request" });

    const before = await sealedTexts();
    expect(before.map(([column]) => column)).toEqual(SEALED_COLUMNS.map(({ table, column }) => `${table}.${column}`));
    expect(new Set(keysOf(before))).toEqual(new Set([OLD_ID]));
    const result = await reseal();
    expect(result).toEqual({
      steps: before.length,
      finished: true,
      begun_at: new Date(NOW).toISOString(),
      newest: NEW_ID,
      by_key: { [NEW_ID]: before.length },
      resealed: before.length,
      unopened: 0,
      overtaken: 0,
      left: 0,
    });
    const after = await sealedTexts();
    expect(keysOf(after)).toEqual(before.map(() => NEW_ID));

    // The old key is gone.
    const under = { ...env, SECRETS_KEYS: NEW };
    await shop.unheard.create(ORDER);
    await runInDurableObject(endpoint.stub, async (object, { storage }) => {
      await storage.deleteAlarm();
      const other = Reflect.construct(object.constructor, [Reflect.get(object, "ctx"), under]);
      await other.alarm();
    });
    expect(endpoint.receiver.received.map(({ signedBy }) => signedBy)).toEqual([endpoint.receiver.secrets]);
    const opened = ([text = "", column = ""]: string[]) =>
      open(
        text,
        { account: "provider_accounts", merchantId: shop.id, field: `provider_accounts/${account}/${column}` },
        NEW,
      );
    const [stored] = await rows<{ api_key: string; webhook_secret: string }>("SELECT * FROM provider_accounts");
    expect(await opened([stored?.api_key ?? "", "api_key"])).toEqual({ tag: "opened", text: "sk_test_1" });
    expect(await opened([stored?.webhook_secret ?? "", "webhook_secret"])).toEqual({ tag: "opened", text: "whsec_1" });
    const later = client(envWithD1(env.DB, () => {}, { SECRETS_KEYS: NEW }));
    const confirmed = await later.request("POST", `/api/v1/payments/${pending.id}/confirm`);
    expect([confirmed.status, confirmed.body.status]).toEqual([200, "confirmed"]);
    await advanceSandbox(60_000);
    await runInDurableObject(env.PAYMENT.getByName(`1:${unsent.id}`), async (_, state) => {
      const origin = { merchantId: 1, keyId: null, requestId: "test", commitId: crypto.randomUUID(), now: Date.now() };
      await new PaymentObject(state, under).sync(origin);
    });
    expect((await operationsOf(unsent.id)).map(({ state }) => state)).toEqual(["succeeded"]);
  });

  it("leaves what the newest key has sealed as it is, and rests for a day", async () => {
    const shop = await aShop();
    await anEndpoint(shop);
    const before = await sealedTexts();
    const first = await reseal(OLD);
    expect(first).toMatchObject({ finished: true, by_key: { [OLD_ID]: 1 }, resealed: 0, left: 0 });
    expect(await sealedTexts()).toEqual(before);
    const meter = meterD1(env.DB);
    expect(await reseal(OLD, NOW + DAY_MS - 1, meter.db)).toEqual({ ...first, steps: 0 });
    expect(meter.trips).toBe(1);
    await anEndpoint(shop);
    expect(await reseal(OLD, NOW + DAY_MS)).toMatchObject({ by_key: { [OLD_ID]: 2 }, finished: true });
  });

  it("begins as soon as another key is the newest, also while it is under way", async () => {
    const shop = await aShop();
    await anEndpoint(shop);
    await reseal(OLD);
    expect(await reseal(ROTATED, NOW + 1)).toMatchObject({ resealed: 1, by_key: { [NEW_ID]: 1 }, finished: true });
    // Under way behind everything that there is.
    const at = { column: "payments.payment_method", after: [Number.MAX_SAFE_INTEGER] };
    const position = JSON.stringify({
      newest: NEW_ID,
      begun_at: NOW,
      at,
      by_key: { [NEW_ID]: 7 },
      resealed: 1,
      unopened: 2,
      overtaken: 3,
    });
    await env.DB.prepare("UPDATE job_positions SET position = ?").bind(position).run();
    const next = makeSecretsKeys(new Date(NOW));
    const result = await reseal(`${next},${ROTATED}`, NOW + 2);
    const counted = { resealed: 1, unopened: 0, overtaken: 0, by_key: { [idOf(next)]: 1 } };
    expect(result).toMatchObject({ ...counted, begun_at: new Date(NOW + 2).toISOString(), finished: true });
    expect(keysOf(await sealedTexts())).toEqual([idOf(next)]);
  });

  it("goes on where it was, and begins anew where a release has taken its column away", async () => {
    const shop = await aShop();
    const [one] = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)];
    const under = async (at: object) => {
      const position = {
        newest: NEW_ID,
        begun_at: NOW,
        at,
        by_key: { [NEW_ID]: 5 },
        resealed: 5,
        unopened: 0,
        overtaken: 0,
      };
      await env.DB.prepare("INSERT OR REPLACE INTO job_positions VALUES ('sealed_texts', ?, 1)")
        .bind(JSON.stringify(position))
        .run();
    };
    await under({ column: "webhook_endpoints.secret", after: [one.id] });
    expect(await reseal()).toMatchObject({ resealed: 7, by_key: { [NEW_ID]: 7 }, finished: true });
    expect(keysOf(await sealedTexts())).toEqual([OLD_ID, NEW_ID, NEW_ID]);
    await under({ column: "webhook_endpoints.gone", after: [1] });
    expect(await reseal()).toMatchObject({ resealed: 1, by_key: { [NEW_ID]: 3 }, finished: true });
  });

  it("logs what no listed key opens with where it stands, counts it, leaves it, and goes on", async () => {
    const shop = await aShop();
    const endpoints = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)];
    const [swapped, other, lost, sound] = endpoints;
    if (!swapped || !other || !lost || !sound) throw new Error("An endpoint is missing");
    const [first = "", second = ""] = (await sealedTexts()).map(([, text]) => text);
    const set = (text: string, id: number) =>
      env.DB.prepare("UPDATE webhook_endpoints SET secret = ? WHERE id = ?").bind(text, id).run();
    await set(second, swapped.id);
    await set("whsec_c2VjcmV0", other.id);
    await set(first.replace(OLD_ID, "lost"), lost.id);
    const payment = await newPayment({ payment_method: "test_ok" });
    await env.DB.prepare("UPDATE payments SET payment_method = ? WHERE id = ?").bind(second, payment.id).run();
    const before = await sealedTexts();

    expect(await reseal()).toMatchObject({
      finished: true,
      by_key: { [NEW_ID]: 1, [OLD_ID]: 2, none: 1, lost: 1 },
      resealed: 1,
      unopened: 4,
      left: 4,
    });
    const after = await sealedTexts();
    expect(after.filter(([, text], at) => text !== before[at]?.[1])).toEqual([
      [`webhook_endpoints.secret`, after[3]?.[1]],
    ]);
    const altered = "It was altered, or was sealed for another place";
    const line = { message: "sealed text not opened", merchant_id: shop.id, cause: altered };
    const said = complaints();
    expect(said).toEqual([
      { ...line, where: `webhook_endpoints/${swapped.id}/secret` },
      { ...line, where: `webhook_endpoints/${other.id}/secret` },
      {
        ...line,
        where: `webhook_endpoints/${lost.id}/secret`,
        cause: "SECRETS_KEYS does not list the key lost, which has sealed it",
      },
      { ...line, merchant_id: 1, where: `payments/${payment.id}/payment_method` },
    ]);
    for (const [, text] of before) expect(JSON.stringify(said)).not.toContain(text);
    // Also what the newest key has sealed.
    const [{ secret } = { secret: "" }] = await rows<{ secret: string }>(
      `SELECT secret FROM webhook_endpoints WHERE id = ${sound.id}`,
    );
    await set(secret, swapped.id);
    expect(await reseal(ROTATED, NOW + DAY_MS)).toMatchObject({ unopened: 4, by_key: { [NEW_ID]: 2 }, left: 3 });
    complaints();
  });

  it("leaves a writer's text that came first, in the same column and in the one that it was moved to", async () => {
    const shop = await aShop();
    const [rolled, deleted] = [await anEndpoint(shop), await anEndpoint(shop)];
    const payment = await newPayment({ payment_method: "test_ok" });
    let secret = "";
    const beside = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      const text = JSON.stringify(answer);
      if (secret === "" && text.includes('"sealed":"v1.') && text.includes('"merchant_id"')) {
        secret = (await roll(shop, rolled.path)).body.secret;
        await shop.api.request("DELETE", deleted.path);
      }
      if (text.includes('"created_by":')) await ask(payment.id, "cancel");
      return answer;
    });
    const result = await reseal(ROTATED, NOW, beside);
    // The one before the roll, where it is now; and not the new one, which a writer with the old keys has sealed.
    expect(result).toMatchObject({ resealed: 1, overtaken: 3, by_key: { [NEW_ID]: 1 } });
    expect(keysOf(await sealedTexts())).toEqual([OLD_ID, NEW_ID]);
    expect(await reseal(ROTATED, NOW + DAY_MS)).toMatchObject({ resealed: 1, overtaken: 0, by_key: { [NEW_ID]: 2 } });
    rolled.receiver.secrets.push(secret);
    await shop.api.create(ORDER);
    await runInDurableObject(rolled.stub, async (object, { storage }) => {
      await storage.deleteAlarm();
      const other = Reflect.construct(object.constructor, [Reflect.get(object, "ctx"), { ...env, SECRETS_KEYS: NEW }]);
      await other.alarm();
    });
    expect(rolled.receiver.received.map(({ signedBy }) => signedBy)).toEqual([rolled.receiver.secrets]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9])("does the same when the answer of round trip %i is lost", async (n) => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    await roll(shop, endpoint.path);
    await newPayment({ payment_method: "test_ok" });
    const result = await reseal(ROTATED, NOW, losesNth(env.DB, n));
    expect(result).toMatchObject({ finished: true, resealed: 3, overtaken: 0, by_key: { [NEW_ID]: 3 } });
    expect(await reseal(ROTATED, NOW + 1)).toEqual({ ...result, steps: 0 });
    expect(keysOf(await sealedTexts())).toEqual([NEW_ID, NEW_ID, NEW_ID]);
  });

  it("breaks off when D1 does, and the next run begins where the last one has begun", async () => {
    const shop = await aShop();
    await anEndpoint(shop);
    await newPayment({ payment_method: "test_ok" });
    let trips = 0;
    const broken = instrumentD1(env.DB, (roundTrip) => {
      if (++trips > 3) throw new Error("D1_ERROR: D1 is overloaded");
      return roundTrip();
    });
    await expect(reseal(ROTATED, NOW, broken)).rejects.toThrow("Out of reach");
    expect(keysOf(await sealedTexts())).toEqual([NEW_ID, OLD_ID]);
    expect(await reseal()).toMatchObject({ finished: true, resealed: 1, by_key: { [NEW_ID]: 2 } });
  });

  it("may run twice at once", async () => {
    const shop = await aShop();
    for (let n = 0; n < 5; n++) await anEndpoint(shop);
    const results = await Promise.all([reseal(), reseal(), reseal()]);
    expect(results.reduce((sum, { resealed }) => sum + resealed, 0)).toBe(5);
    expect(keysOf(await sealedTexts())).toEqual(new Array(5).fill(NEW_ID));
    const [{ position } = { position: "" }] = await rows<{ position: string }>("SELECT position FROM job_positions");
    expect(JSON.parse(position)).toMatchObject({ at: null, newest: NEW_ID });
    // What the next walk finds is what there is.
    expect(await reseal(ROTATED, NOW + DAY_MS)).toMatchObject({ by_key: { [NEW_ID]: 5 }, resealed: 0, overtaken: 0 });
  });

  it("takes as many statements as an invocation may, logs some lines, and goes on with the next run", async () => {
    const count = TEXTS_PER_RUN + 1;
    const merchant = await newMerchant();
    await env.DB.prepare(
      `INSERT INTO webhook_endpoints (merchant_id, url, secret, created_at, updated_at)
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       SELECT ?, 'https://shop.example.com/', 'v1.lost.' || i || '.', 1, 1 FROM n`,
    )
      .bind(count, merchant.id)
      .run();
    // Some that are to be sealed anew are in each step.
    const first = (await env.DB.prepare("SELECT max(id) AS id FROM webhook_endpoints").first<number>("id")) ?? 0;
    const ids = Array.from({ length: 24 }, (_, n) => first - 100 * n).filter((id) => id > first - count);
    const place = (id: number): SealedPlace => {
      return { account: "webhook_endpoints", merchantId: merchant.id, field: `webhook_endpoints/${id}/secret` };
    };
    const update = env.DB.prepare("UPDATE webhook_endpoints SET secret = ? WHERE id = ?");
    await env.DB.batch(
      await Promise.all(ids.map(async (id) => update.bind(await seal("whsec_AAAA", place(id), OLD), id))),
    );
    const meter = meterD1(env.DB);
    const run = await reseal(ROTATED, NOW, meter.db);
    expect(run).toMatchObject({ finished: false, unopened: TEXTS_PER_RUN - 23, resealed: 23 });
    expect(meter.trips).toBeLessThanOrEqual(MAX_STATEMENTS);
    // It reads its own rows, and, to replace some, those: no other.
    expect(meter.rowsRead).toBeLessThan(2 * TEXTS_PER_RUN);
    expect(complaints()).toHaveLength(MAX_LOGGED);
    const next = await reseal(ROTATED, NOW + 600_000);
    expect(next).toMatchObject({
      finished: true,
      unopened: count - ids.length,
      resealed: ids.length,
      begun_at: run.begun_at,
    });
    expect(next.by_key).toEqual({ lost: count - ids.length, [NEW_ID]: ids.length });
    await env.DB.prepare("DELETE FROM webhook_endpoints WHERE merchant_id = ?").bind(merchant.id).run();
  });

  it("reads no payment that has no means of payment, and no operation that is settled", async () => {
    const merchant = await newMerchant();
    const many = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)`;
    await env.DB.batch([
      env.DB.prepare(
        `INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, event_positions)
         ${many} SELECT ?1, 1, 100, 'USD', 'pending', 'internal', 1, 1, 1, json_array(i) FROM n`,
      ).bind(merchant.id),
      env.DB.prepare(
        `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
         SELECT merchant_id, event_positions ->> '$[0]', id, 1, 'payment.created', json_object('order_id', 1, 'amount_minor', 100,
           'currency', 'USD', 'status', 'pending', 'provider', 'internal'), 'seed', 1 FROM payments WHERE merchant_id = ?1`,
      ).bind(merchant.id),
      env.DB.prepare(
        `INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, request_id, created_at, updated_at)
         SELECT merchant_id, id, 1, 'authorize', 100, 'succeeded', 'request', 'seed', 1, 1 FROM payments WHERE merchant_id = ?1`,
      ).bind(merchant.id),
    ]);
    const { id } = await newPayment({ payment_method: "test_ok" });
    await env.DB.prepare("UPDATE operations SET due_at = NULL WHERE state = 'succeeded'").run();
    const meter = meterD1(env.DB);
    expect(await reseal(ROTATED, NOW, meter.db)).toMatchObject({ resealed: 1, finished: true });
    expect(meter.rowsRead).toBeLessThan(100);
    await ask(id, "cancel");
    await env.DB.prepare("DELETE FROM operations WHERE merchant_id = ?").bind(merchant.id).run();
  });

  it.each(["", "no keys", `${NEW},${NEW}`])("does nothing under SECRETS_KEYS %j", async (keys) => {
    await expect(reseal(keys)).rejects.toThrow("Set the secret SECRETS_KEYS");
    expect(await rows("SELECT * FROM job_positions")).toEqual([]);
  });

  it("is what its cron starts, and says what it found", async () => {
    const shop = await aShop();
    await anEndpoint(shop);
    const run = (SECRETS_KEYS: string) =>
      worker.scheduled(createScheduledController({ scheduledTime: NOW, cron: "*/10 * * * *" }), {
        ...env,
        SECRETS_KEYS,
      });
    output.logged.mockClear();
    await run(ROTATED);
    await run(ROTATED);
    expect(output.logged.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      {
        message: "sealed texts",
        finished: true,
        begun_at: new Date(NOW).toISOString(),
        newest: NEW_ID,
        by_key: { [NEW_ID]: 1 },
        resealed: 1,
        unopened: 0,
        overtaken: 0,
        left: 0,
      },
    ]);
  });
});

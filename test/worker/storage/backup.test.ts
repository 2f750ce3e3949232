/** What a backup reveals of secrets: nothing. Every secret that was used is looked for in every column of every table. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, expect, it, vi } from "vitest";
import { readSecretsKeys } from "../../../src/auth/secret-keys";
import { SEALED_COLUMNS } from "../../../src/jobs/sealed-columns";
import { client, ORDER } from "../client";
import { signIn } from "../dashboard/visitor";
import { newMerchant } from "../payment-list";
import { Receiver } from "../receiver";
import { UNHEARD } from "../webhook/shop";

vi.setConfig({ testTimeout: 30_000 });

// What goes on by itself meets no other network.
afterAll(() => vi.restoreAllMocks());

/** Everything that an export of the database has, by table and column. */
async function dump(): Promise<Map<string, string>> {
  const { results: tables } = await env.DB.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
  ).all<{ name: string }>();
  const columns = new Map<string, string>();
  for (const { name } of tables) {
    const { results } = await env.DB.prepare(`SELECT * FROM "${name}"`).all();
    for (const [column, value] of results.flatMap((row) => Object.entries(row))) {
      const text = value instanceof ArrayBuffer ? Buffer.from(value).toString("latin1") : String(value);
      columns.set(`${name}.${column}`, `${columns.get(`${name}.${column}`) ?? ""}\n${text}`);
    }
  }
  return columns;
}

/** The ways in which bytes may stand in a text: as they are, in hex, and in base64 with any number of bytes before them. */
function spellings(bytes: Buffer): string[] {
  const hex = bytes.toString("hex");
  const base64 = [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64url");
    // What the bytes before and after have a part in is left out.
    const inner = text.slice(before === 0 ? 0 : before + 1, text.length - ((before + bytes.length) % 3 === 0 ? 0 : 1));
    return [inner, inner.replaceAll("-", "+").replaceAll("_", "/")];
  });
  return [bytes.toString("utf8"), hex, hex.toUpperCase(), ...base64];
}

/** Of some secrets, by what they are: the columns in which one stands, in whatever spelling. */
function revealed(columns: ReadonlyMap<string, string>, secrets: Readonly<Record<string, string | Buffer>>): string[] {
  return Object.entries(secrets).flatMap(([what, secret]) => {
    const bytes = Buffer.from(secret);
    expect(bytes.length, what).toBeGreaterThan(6);
    const found = [...columns].filter(([, text]) => spellings(bytes).some((spelling) => text.includes(spelling)));
    return found.map(([column]) => `${what} in ${column}`);
  });
}

/** The network: Stripe, which takes every key and leaves each payment to the payer's browser, and receivers of webhooks. */
function listen(clientSecret: string): void {
  const made = { amount: 0, currency: "", metadata: {} };
  const answer = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    if (url.hostname !== "api.stripe.com") return new Response(null, { status: 204 });
    if (url.searchParams.has("limit")) return Response.json({ object: "list", data: [], has_more: false, url: "/v1/" });
    if (request.method === "POST") {
      const fields = [...new URLSearchParams(await request.text())];
      const value = (name: string) => fields.find(([field]) => field === name)?.[1] ?? "";
      const pairs = fields.flatMap(([name, text]) => {
        const [, pair] = /^metadata\[(\w+)\]$/.exec(name) ?? [];
        return pair === undefined ? [] : [[pair, text] as const];
      });
      Object.assign(made, {
        amount: Number(value("amount")),
        currency: value("currency"),
        metadata: Object.fromEntries(pairs),
      });
    }
    return Response.json({
      ...{ id: "pi_3Nirh62eZvKYlo2C0Dg1WX1w", object: "payment_intent", amount_capturable: 0, amount_received: 0 },
      ...{ status: "requires_payment_method", capture_method: "automatic", created: 1_795_000_000 },
      ...{ client_secret: clientSecret, cancellation_reason: null, next_action: null, last_payment_error: null },
      ...{ latest_charge: null, livemode: false, description: null, payment_method: null },
      ...made,
    });
  };
  vi.spyOn(globalThis, "fetch").mockImplementation((input, init) => answer(new Request(input, init)));
}

const deliveriesMade = () =>
  env.DB.prepare("SELECT count(*) AS made FROM webhook_deliveries WHERE state = 'succeeded'").first<number>("made");

it("a backup has none of the secrets that were used, in clear, in base64 or in hex", async () => {
  const clientSecret = "pi_3Nirh62eZvKYlo2C0Dg1WX1w_secret_Dm43xiq1k0ywrRRjDoi8y1gkM";
  listen(clientSecret);
  const { id: merchantId, key } = await newMerchant();
  const api = client(UNHEARD, { key });
  const post = async <B = { id: number; secret: string }>(path: string, body: object, statuses = [200, 201, 202]) => {
    const answer = await api.request<B>("POST", `/api/v1${path}`, {
      body,
      headers: { "Idempotency-Key": crypto.randomUUID() },
    });
    expect(statuses, JSON.stringify(answer.body)).toContain(answer.status);
    return answer.body;
  };

  const endpoint = await post("/webhook-endpoints", { url: new Receiver().url });
  const { secret: rolled } = await post(`/webhook-endpoints/${endpoint.id}/roll`, { overlap_seconds: 3_600 });
  const account = {
    api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    webhook_secret: "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z",
  };
  await post("/provider-accounts", { provider: "stripe", name: "Shop", ...account });
  // One that will be confirmed by its token, one whose payer has something to do, one of which nobody knows, one that is
  // decided, and one that the payer's browser confirms.
  const tokens = ["pm_1Nirh62eZvKYlo2CKw9qX0aB", "test_action_ok", "test_lost_request", "test_declined"];
  const [stored = "", asked = "", lost = "", declined = ""] = tokens;
  await post("/payments", { ...ORDER, provider: "stripe", payment_method: stored });
  for (const token of [asked, lost, declined]) {
    const { id } = await post("/payments", { ...ORDER, provider: "sandbox" });
    await post(`/payments/${id}/confirm`, { payment_method: token }, [202, 402]);
  }
  const inBrowser = await post("/payments", { ...ORDER, provider: "stripe" });
  const confirmed = await post<{ next_action: object }>(`/payments/${inBrowser.id}/confirm`, {});
  expect(confirmed.next_action).toMatchObject({ type: "client", client_secret: clientSecret });
  const visitor = await signIn(key);
  const cookie = visitor.cookie ?? "";
  await env.WEBHOOK_ENDPOINT.getByName(`${merchantId}:${endpoint.id}`).wake();
  await expect.poll(deliveriesMade, { timeout: 10_000 }).toBeGreaterThan(0);

  const columns = await dump();
  const bytesOf = (secret: string) => Buffer.from(secret.slice("whsec_".length), "base64");
  const secrets = {
    "the webhook secret": endpoint.secret,
    "its bytes": bytesOf(endpoint.secret),
    "the rolled webhook secret": rolled,
    "the bytes of the rolled one": bytesOf(rolled),
    "the account's key": account.api_key,
    "the account's webhook secret": account.webhook_secret,
    "the client secret": clientSecret,
    ...Object.fromEntries(tokens.map((token) => [`the token ${token}`, token])),
    "the API key": key,
    "the secret of the API key": key.split("_").slice(2).join("_"),
    "the administrator's key": env.ADMIN_KEY ?? "",
    "the session's cookie": cookie.slice(cookie.indexOf("=") + 1),
    ...Object.fromEntries(
      (readSecretsKeys(env.SECRETS_KEYS ?? "") ?? []).map(({ id, key: bytes }) => [
        `the key ${id}`,
        Buffer.from(bytes),
      ]),
    ),
  };
  expect(revealed(columns, secrets)).toEqual([]);

  // What was looked for is there, sealed; and what the job that seals anew does not know of is sealed nowhere.
  const sealed = [...columns].filter(([, text]) => /(^|["\n])v1\.[\w-]{1,32}\.[\w-]{16}\./.test(text));
  expect(sealed.map(([column]) => column).sort()).toEqual(
    SEALED_COLUMNS.map(({ table, column }) => `${table}.${column}`).sort(),
  );
  // What is told later is sent to nobody, and nobody asks Stripe.
  const payment = env.PAYMENT.getByName(`${merchantId}:${inBrowser.id}`);
  await runInDurableObject(payment, (_, { storage }) => storage.deleteAlarm());
  await api.request("DELETE", `/api/v1/webhook-endpoints/${endpoint.id}`);
});

it("the search finds a secret in each spelling", () => {
  const secret = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
  const bytes = Buffer.from(secret);
  const within = (prefix: string) => Buffer.concat([Buffer.from(prefix), bytes, Buffer.from("|end")]);
  for (const text of [
    `{"a":"${secret}"}`,
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    ...["", "1", "12", "123"].flatMap((prefix) => [
      within(prefix).toString("base64"),
      within(prefix).toString("base64url"),
    ]),
  ]) {
    expect(revealed(new Map([["table.column", text]]), { secret })).toEqual(["secret in table.column"]);
  }
  expect(revealed(new Map([["table.column", "whsec_another"]]), { secret })).toEqual([]);
});

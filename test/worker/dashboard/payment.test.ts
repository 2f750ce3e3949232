/** One payment on the dashboard: what is shown of it, and what can be done. */
import { env, exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ACTIONS, outcome, STATUSES } from "../../../src/payment/lifecycle";
import { type Body, client, newKey, ORDER, paymentIn } from "../client";
import { newMerchant } from "../payment-list";
import { answers } from "../receiver";
import { anEndpoint, aPayment, aShop, run, stopClock, watch } from "../webhook/shop";
import { type Page, signIn, type Visitor } from "./visitor";

const output = watch();
const HOSTILE = `<script>alert("x")</script>&amp;'"</textarea>\n<img src=x>`;
const pathOf = (id: number) => `/dashboard/payments/${id}`;

function lastCost(): { route: string; d1_trips: number; d1_rows_read: number } {
  const lines = output.logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  return lines.filter(({ message, route }) => message === "request" && route?.startsWith("/dashboard")).at(-1);
}

async function aVisitor() {
  const merchant = await newMerchant();
  return { ...merchant, visitor: await signIn(merchant.key) };
}

/** The actions that a page of a payment leads to. */
const offered = ({ html }: Page): string[] => [...html.matchAll(/id="do-(\w+)"/g)].map(([, name = ""]) => name);

/** A payment at the sandbox. */
async function atSandbox(api: ReturnType<typeof client>, more: object = {}): Promise<Body> {
  const { status, body } = await api.create({ ...ORDER, provider: "sandbox", ...more });
  expect(status).toBe(201);
  return body;
}

const idempotencyKeyOf = ({ html }: Page): string => /name="idempotency_key" value="([^"]+)"/.exec(html)?.[1] ?? "";

describe("a payment", () => {
  it("is shown whole in two round trips: amounts, facts, timeline, operations, refunds", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = await atSandbox(api, { reference: "ref-7", description: "Two books", metadata: { cart: "c-7" } });
    await api.request("POST", `/api/v1/payments/${id}/confirm`, { body: { payment_method: "test_ok" } });
    const refund = { body: { amount: 40, reason: "Came back" }, headers: { "Idempotency-Key": "part" } };
    await api.request("POST", `/api/v1/payments/${id}/refunds`, refund);
    const page = await visitor.open(pathOf(id));
    expect([page.status, lastCost().d1_trips]).toEqual([200, 2]);
    for (const text of ["$99.99 USD", "ref-7", "Two books", "c-7", "Captured $99.99", "Left to refund $59.99"]) {
      expect(page.text).toContain(text);
    }
    for (const text of [
      "Refund succeeded",
      "Confirmed",
      "Created",
      "by key pay_",
      "Came back",
      "authorize",
      "1 call",
    ]) {
      expect(page.text).toContain(text);
    }
    expect(page.html).toMatch(new RegExp(`data-stream="/dashboard/payments/${id}/stream\\?after=evt_${id}_\\d"`));
  });

  it("says why it failed, in words for support and for the customer", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = await atSandbox(api);
    await api.request("POST", `/api/v1/payments/${id}/confirm`, {
      body: { payment_method: "test_insufficient_funds" },
    });
    const { text } = await visitor.open(pathOf(id));
    expect(text).toContain("The account has not enough money");
    expect(text).toContain("Tell the customer: “There is not enough money on the card. Use another card.”");
    expect(text).toContain("insufficient_funds");
  });

  it("shows each event at each endpoint, why it was not taken, and sends it again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    stopClock();
    const id = await aPayment(shop);
    endpoint.receiver.next(answers(500, HOSTILE));
    await run(endpoint);
    const visitor = await signIn(shop.key);
    const page = await visitor.open(pathOf(id));
    expect(page.text).toContain("failing Answered 500. The server has failed.");
    const retry = `/dashboard/webhooks/${endpoint.id}/deliveries/evt_${id}_1/retry`;
    expect(page.html).toContain(`action="${retry}"`);
    const sent = await visitor.send(retry, { back: pathOf(id) });
    expect([sent.status, sent.location]).toEqual([303, `${pathOf(id)}?notice=delivery_retried`]);
    await run(endpoint);
    expect((await visitor.open(pathOf(id))).text).toContain("delivered");
  });

  it("escapes what others have written, wherever it stands", async () => {
    const { visitor, api } = await aVisitor();
    const texts = { reference: HOSTILE, description: HOSTILE, metadata: { "<b>name</b>": HOSTILE } };
    const { id } = (await api.create({ ...ORDER, ...texts })).body;
    await api.run(id, "confirm");
    const refund = { body: { reason: HOSTILE }, headers: { "Idempotency-Key": "r" } };
    await api.request("POST", `/api/v1/payments/${id}/refunds`, refund);
    await api.request("PATCH", `/api/v1/payments/${id}`, { body: { description: `${HOSTILE}2` } });
    for (const path of [pathOf(id), `${pathOf(id)}/edit`, "/dashboard/payments", "/dashboard/events"]) {
      const { html } = await visitor.open(path);
      expect(html).toContain("&lt;script&gt;");
      for (const tag of ["<script>alert", "<b>name", "<img src=x"]) expect(html).not.toContain(tag);
    }
  });

  it("is not there for another merchant, nor under a name that is none", async () => {
    const [{ visitor }, theirs] = [await aVisitor(), await newMerchant()];
    const { id } = (await theirs.api.create(ORDER)).body;
    for (const action of ["", "/refund", "/edit"]) expect((await visitor.open(pathOf(id) + action)).status).toBe(404);
    expect((await visitor.open("/dashboard/payments/x")).status).toBe(422);
  });

  it("shows and offers what the key may see and do", async () => {
    const { id: merchant, api } = await aVisitor();
    const { id } = await paymentIn("confirmed", api);
    const reader = await signIn(await newKey(["payments:read"], merchant));
    const page = await reader.open(pathOf(id));
    expect([page.status, offered(page)]).toEqual([200, []]);
    for (const text of ["Timeline", "Webhooks"]) expect(page.text).not.toContain(text);
    expect(page.html).not.toContain("data-stream");
    expect((await reader.open(`${pathOf(id)}/refund`)).status).toBe(403);
    expect((await reader.send(`${pathOf(id)}/refund`, { amount: "1" })).status).toBe(403);
    const clerk = await signIn(await newKey(["payments:read", "refunds:write"], merchant));
    expect(offered(await clerk.open(pathOf(id)))).toEqual(["refund"]);
  });
});

describe("the actions", () => {
  it.each(STATUSES)("of a payment that is %s are those of its lifecycle", async (status) => {
    const { visitor, api } = await aVisitor();
    const { id } = await paymentIn(status, api);
    const allowed = ACTIONS.filter((action) => outcome(status, action) === "changed");
    expect(offered(await visitor.open(pathOf(id))).filter((name) => name !== "edit")).toEqual(allowed);
    for (const action of ACTIONS) {
      const page = await visitor.open(`${pathOf(id)}/${action}`);
      expect([action, page.status]).toEqual([action, allowed.includes(action) ? 200 : 409]);
    }
  });

  it("take no amount that may have been meant as another", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create(ORDER)).body;
    await api.run(id, "confirm");
    for (const amount of ["1.000", "1,000", "1e1", "1'0", "-1", ""]) {
      const refused = await visitor.fill(`${pathOf(id)}/refund`, { amount });
      expect([amount, refused.status]).toEqual([amount, 422]);
      expect(refused.html).toContain(`value="${amount.replace("'", "&#39;")}"`);
    }
    expect((await api.get(id)).body.amount_refunded).toBe(0);
    await visitor.fill(`${pathOf(id)}/refund`, { amount: "1.50" });
    expect((await api.get(id)).body.amount_refunded).toBe(1.5);
  });

  it("confirm, refund a part and then the rest, each with its amount", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create(ORDER)).body;
    expect((await visitor.open(`${pathOf(id)}/confirm`)).text).toContain("Confirm $99.99");
    const confirmed = await visitor.fill(`${pathOf(id)}/confirm`);
    expect(confirmed.location).toBe(`${pathOf(id)}?notice=payment_confirmed`);
    expect((await visitor.open(confirmed.location ?? "")).text).toContain("The payment is confirmed.");
    const part = await visitor.fill(`${pathOf(id)}/refund`, { amount: "40,5", reason: "One book" });
    expect(part.location).toBe(`${pathOf(id)}?notice=refund_succeeded`);
    const form = await visitor.open(`${pathOf(id)}/refund`);
    expect(form.text).toContain("$59.49 is left to give back of $99.99");
    expect(form.html).toMatch(/name="amount"[^>]* value="59.49"/);
    await visitor.fill(`${pathOf(id)}/refund`, { amount: "59.49" });
    expect((await api.get(id)).body).toMatchObject({ status: "refunded", amount_refunded: 99.99 });
  });

  it("do nothing twice, however often a form is sent", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = await paymentIn("confirmed", api);
    const key = idempotencyKeyOf(await visitor.open(`${pathOf(id)}/refund`));
    const fields = { amount: "10", reason: "", idempotency_key: key };
    const sent = await Promise.all([1, 2, 3].map(() => visitor.send(`${pathOf(id)}/refund`, fields)));
    expect(sent.map(({ status }) => status)).toEqual([303, 303, 303]);
    expect((await api.get(id)).body.amount_refunded).toBe(10);
    // The same form with another amount is another wish: it is said, and is not done.
    const other = await visitor.send(`${pathOf(id)}/refund`, { ...fields, amount: "20" });
    expect(other.status).toBe(409);
    expect(idempotencyKeyOf(other)).not.toBe(key);
    expect((await api.get(id)).body.amount_refunded).toBe(10);
  });

  it("are refused in words, with what is left and what was typed, under the same key", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = await paymentIn("confirmed", api);
    const first = await visitor.open(`${pathOf(id)}/refund`);
    // Another window is faster.
    await visitor.fill(`${pathOf(id)}/refund`, { amount: "90" });
    const fields = { amount: "99.99", reason: `All of "it"`, idempotency_key: idempotencyKeyOf(first) };
    const refused = await visitor.send(`${pathOf(id)}/refund`, fields);
    expect(refused.status).toBe(409);
    expect(refused.text).toContain("At most 9.99 USD can be refunded");
    expect(refused.html).toContain('value="All of &quot;it&quot;"');
    expect([idempotencyKeyOf(refused), refused.text.includes("$9.99 is left")]).toEqual([fields.idempotency_key, true]);
    for (const amount of ["", " ", "1,000", "-1", "x", "1e9"]) {
      const wrong = await visitor.fill(`${pathOf(id)}/refund`, { amount });
      expect([amount, wrong.status >= 400]).toEqual([amount, true]);
    }
    expect((await visitor.send(`${pathOf(id)}/refund`, { idempotency_key: "no-amount" })).status).toBe(422);
    expect((await api.get(id)).body.amount_refunded).toBe(90);
    await visitor.fill(`${pathOf(id)}/refund`, { amount: "9.99" });
    const over = await visitor.send(`${pathOf(id)}/refund`, fields);
    expect([over.status, over.text.includes("The payment is refunded now")]).toEqual([409, true]);
  });

  it("tell what is declined from what is not decided yet", async () => {
    const { visitor, api } = await aVisitor();
    const confirm = async (token: string, more: object = {}) => {
      const { id } = await atSandbox(api, more);
      return { id, page: await visitor.fill(`${pathOf(id)}/confirm`, { payment_method: token }) };
    };
    const form = await visitor.open(`${pathOf((await atSandbox(api)).id)}/confirm`);
    expect(form.html).toContain('<option value="test_action_ok">');
    const declined = await confirm("test_declined");
    expect([declined.page.status, declined.page.text.includes("The provider declined it")]).toEqual([402, true]);
    expect(declined.page.text).toContain("Tell the customer: “The card was declined.");
    const waiting = await confirm("test_delayed_ok");
    expect(waiting.page.location).toBe(`${pathOf(waiting.id)}?notice=action_undecided`);
    const held = await confirm("test_ok", { capture_method: "manual" });
    expect(held.page.location).toBe(`${pathOf(held.id)}?notice=payment_authorized`);
    const capture = await visitor.open(`${pathOf(held.id)}/capture`);
    expect(capture.text).toContain("$99.99 is held");
    const captured = await visitor.fill(`${pathOf(held.id)}/capture`, { amount: "60" });
    expect(captured.location).toBe(`${pathOf(held.id)}?notice=payment_captured`);
    expect((await api.get(held.id)).body).toMatchObject({ status: "confirmed", amount_captured: 60 });
    const failing = await confirm("test_refund_fails");
    const refund = await visitor.fill(`${pathOf(failing.id)}/refund`, { amount: "5" });
    expect(refund.text).toContain("The refund has failed");
    const pending = await confirm("test_refund_pending");
    const asked = await visitor.fill(`${pathOf(pending.id)}/refund`, { amount: "5" });
    expect(asked.location).toBe(`${pathOf(pending.id)}?notice=refund_undecided`);
    const synced = await visitor.send(`${pathOf(pending.id)}/sync`);
    expect(synced.location).toBe(`${pathOf(pending.id)}?notice=payment_synced`);
  });

  it("cancel and end a payment, with why", async () => {
    const { visitor, api } = await aVisitor();
    const [one, other] = [await paymentIn("pending", api), await paymentIn("pending", api)];
    const cancelled = await visitor.fill(`${pathOf(one.id)}/cancel`, { reason: "Out of stock" });
    expect(cancelled.location).toBe(`${pathOf(one.id)}?notice=payment_cancelled`);
    await visitor.fill(`${pathOf(other.id)}/fail`, { code: "fraud_suspected", message: "Looks odd" });
    const { failure } = (await api.get(other.id)).body;
    expect(failure).toMatchObject({ code: "fraud_suspected", message: "Looks odd" });
  });
});

describe("the edit", () => {
  /** Every field of the form as a browser sends it: each line break as two characters, none in a field of one line. */
  function fieldsOf({ html }: Page): [string, string][] {
    const decode = (text: string) =>
      text.replaceAll(
        /&(lt|gt|quot|#39|amp);/g,
        (_, name) => ({ lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" })[String(name)] ?? "",
      );
    const tags = [...html.matchAll(/<input\b[^>]*?name="(\w+)"[^>]*>|<textarea\b[^>]*?name="(\w+)"[^>]*>([^<]*)/g)];
    return tags.map(([tag, input, area, text = ""]) => {
      const value = decode(input ? (/ value="([^"]*)"/.exec(tag)?.[1] ?? "") : text.replace(/^\n/, ""));
      const sent = input && !tag.includes("hidden") ? value.replaceAll(/[\r\n]/g, "") : value.replaceAll("\n", "\r\n");
      return [input ?? area ?? "", sent];
    });
  }
  const change = (fields: [string, string][], name: string, to: string): [string, string][] => {
    const at = fields.findIndex(([one, value]) => one === name && value === "");
    return fields.map((field, n): [string, string] => (n === at ? [name, to] : field));
  };

  it("changes what was changed, and leaves what others have changed meanwhile", async () => {
    const { visitor, api } = await aVisitor();
    const metadata = { cart: "c-7", "na\nme": HOSTILE, gone: "1" };
    const { id } = (await api.create({ ...ORDER, description: "old\ntext", metadata })).body;
    const fields = fieldsOf(await visitor.open(`${pathOf(id)}/edit`));
    // Untouched, nothing is asked for.
    expect((await visitor.send(`${pathOf(id)}/edit`, fields)).location).toBe(pathOf(id));
    expect((await api.get(id)).headers.get("ETag")).toBe('"1"');
    await api.request("PATCH", `/api/v1/payments/${id}`, { body: { metadata: { cart: "c-8" } } });
    const named = change(fields, "name", "new");
    const at = named.findIndex(([name, value]) => name === "name" && value === "new");
    const valued = named.map(([name, value], n): [string, string] => [
      name,
      n === at + 1 ? "2" : name === "name" && value === "gone" ? "" : name === "description" ? "now" : value,
    ]);
    const saved = await visitor.send(`${pathOf(id)}/edit`, valued);
    expect(saved.location).toBe(`${pathOf(id)}?notice=payment_edited`);
    const { body } = await api.get(id);
    expect(body.metadata).toEqual({ cart: "c-8", "na\nme": HOSTILE, new: "2" });
    expect(body.description).toBe("now");
    const { text } = await visitor.open(pathOf(id));
    expect(text).toContain("gone: 1 removed");
  });

  it("is refused with what was typed", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create(ORDER)).body;
    const fields = change(fieldsOf(await visitor.open(`${pathOf(id)}/edit`)), "name", "a=b");
    const refused = await visitor.send(`${pathOf(id)}/edit`, fields);
    expect([refused.status, refused.html.includes('value="a=b"')]).toEqual([422, true]);
    const odd = await visitor.send(`${pathOf(id)}/edit`, [
      ["name", "x"],
      ["value", "1"],
      ["original", "{"],
    ]);
    expect(odd.status).toBe(303);
    expect((await api.get(id)).body.metadata).toEqual({ x: "1" });
  });
});

describe("the stream", () => {
  const open = (visitor: Visitor, path: string, headers: Record<string, string> = {}) =>
    exports.default.fetch(
      new Request(`http://localhost${path}`, {
        headers: { Cookie: visitor.cookie ?? "", ...headers },
        redirect: "manual",
      }),
    );

  /** What a stream says until it has said this. */
  async function until(response: Response, text: string | null): Promise<string> {
    const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader();
    for (let said = ""; ; ) {
      const { value, done } = await reader.read();
      said += value ?? "";
      if (done || (text !== null && said.includes(text))) {
        await reader.cancel();
        return said;
      }
    }
  }

  it("tells what comes after what the page shows, and then after what it has told", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create(ORDER)).body;
    const response = await open(visitor, `${pathOf(id)}/stream?after=evt_${id}_1`);
    expect(response.headers.get("Content-Type")).toBe("text/event-stream");
    expect(response.headers.get("Set-Cookie")).toBeNull();
    await api.run(id, "confirm");
    const said = await until(response, "event: payment.confirmed");
    expect(said).not.toContain("payment.created");
    const again = await open(visitor, `${pathOf(id)}/stream?after=evt_${id}_1`, { "Last-Event-ID": `evt_${id}_2` });
    await api.run(id, "refund");
    expect(await until(again, "event: payment.refunded")).not.toContain("payment.confirmed");
  });

  it("ends with its key, after which it leads to the sign-in", async () => {
    const { visitor, api, key } = await aVisitor();
    const { id } = (await api.create(ORDER)).body;
    const response = await open(visitor, `${pathOf(id)}/stream?after=evt_${id}_1`);
    const [, keyId = ""] = key.split("_");
    const admin = client(undefined, { key: env.ADMIN_KEY });
    expect((await admin.request("POST", `/api/v1/api-keys/${keyId}/revoke`)).status).toBe(200);
    expect(await until(response, null)).not.toContain("event:");
    const next = await open(visitor, `${pathOf(id)}/stream?after=evt_${id}_1`);
    expect([next.status, next.headers.get("Location")?.startsWith("/dashboard/sign-in")]).toEqual([303, true]);
  }, 30_000);
});

import { describe, expect, it, vi } from "vitest";
import { newKey } from "../client";
import { answers, drops } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  HOUR,
  run,
  type Shop,
  stopClock,
  type WebhookEndpoint,
  watch,
} from "../webhook/shop";
import { signIn } from "./visitor";

const output = watch();

/** What the last request to the dashboard has cost in D1, from the service's own log. */
function lastCost(): { route: string; d1_trips: number; d1_rows_read: number } {
  const lines = output.logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  return lines.filter(({ message, route }) => message === "request" && route?.startsWith("/dashboard")).at(-1);
}

const HOSTILE = `<script>alert("answer")</script> & 'quotes'`;

/** A shop with an endpoint that has refused one event. */
async function aRefusal(): Promise<{ shop: Shop; endpoint: WebhookEndpoint; event: string }> {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  stopClock();
  const event = `evt_${await aPayment(shop)}_1`;
  endpoint.receiver.next(answers(500, HOSTILE));
  await run(endpoint);
  return { shop, endpoint, event };
}

describe("the endpoints", () => {
  it("say what they are for while there are none", async () => {
    const shop = await aShop();
    const visitor = await signIn(shop.key);
    const page = await visitor.open("/dashboard/webhooks");
    expect(page.status).toBe(200);
    expect(page.text).toContain("No webhook endpoint yet");
    expect(lastCost().d1_trips).toBeLessThanOrEqual(3);
  });

  it("are made by a form, whose secret is shown once, however often it is sent", async () => {
    const shop = await aShop();
    const visitor = await signIn(shop.key);
    const fields = {
      url: "https://hooks.example.com/in",
      idempotency_key: crypto.randomUUID(),
      types: "payment.confirmed",
    };
    const made = await visitor.send("/dashboard/webhooks/new", fields);
    expect(made.status).toBe(201);
    expect(made.html).toMatch(/value="whsec_[\w+/]+=*"/);
    const again = await visitor.send("/dashboard/webhooks/new", fields);
    expect(again.html).not.toContain("whsec_");
    expect(again.text).toContain("The form was sent twice");
    const list = await visitor.open("/dashboard/webhooks");
    expect(list.text.match(/hooks\.example\.com/g)).toHaveLength(1);
    expect(list.text).toContain("1 of 17 types");
  });

  it("refuse a URL in the API's words, with what was typed", async () => {
    const visitor = await signIn((await aShop()).key);
    const refused = await visitor.fill("/dashboard/webhooks/new", { url: `http://${HOSTILE}` });
    expect(refused.status).toBe(422);
    expect(refused.text).toContain("url: ");
    expect(refused.html).not.toContain("<script>alert");
    expect(refused.html).toContain("http://&lt;script&gt;");
  });

  it("are not shown to a key without the scope, nor changed by one that may not read events", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const reader = await signIn(await newKey(["payments:read"], shop.id));
    const refused = await reader.open("/dashboard/webhooks");
    expect([refused.status, refused.text.includes("webhooks:manage")]).toEqual([403, true]);
    const manager = await signIn(await newKey(["webhooks:manage"], shop.id));
    const path = `/dashboard/webhooks/${endpoint.id}`;
    const page = await manager.open(path);
    expect(page.status).toBe(200);
    expect(page.html).not.toContain(`${path}/edit`);
    expect((await manager.send(`${path}/edit`, { url: "https://other.example.com/" })).status).toBe(403);
    expect((await endpoint.get()).url).toBe(endpoint.receiver.url);
  });

  it("of another merchant are not there", async () => {
    const endpoint = await anEndpoint(await aShop());
    const stranger = await signIn((await aShop()).key);
    for (const path of ["", "/edit", "/roll", "/deliveries/evt_1_1"]) {
      expect((await stranger.open(`/dashboard/webhooks/${endpoint.id}${path}`)).status).toBe(404);
    }
    for (const path of ["/disable", "/delete", "/roll", "/test"]) {
      const { status } = await stranger.send(`/dashboard/webhooks/${endpoint.id}${path}`);
      expect([path, status]).toEqual([path, path === "/delete" ? 303 : 404]);
    }
    expect(await endpoint.get()).toMatchObject({ enabled: true });
  });
});

describe("a delivery that failed", () => {
  it("says why, with the answer as it was, in three trips", async () => {
    const { shop, endpoint, event } = await aRefusal();
    const visitor = await signIn(shop.key);
    const list = await visitor.open(`/dashboard/webhooks/${endpoint.id}`);
    expect(list.text).toContain("failing since");
    expect(list.text).toContain("Answered 500");
    expect(lastCost().d1_trips).toBeLessThanOrEqual(3);
    const page = await visitor.open(`/dashboard/webhooks/${endpoint.id}/deliveries/${event}`);
    expect(page.text).toContain("The server has failed. Look into its log");
    expect(page.text).toContain(HOSTILE);
    expect(page.html).not.toContain("<script>alert");
    expect(lastCost().d1_trips).toBeLessThanOrEqual(3);
  });

  it("is sent again from there, and from the payment, and from nowhere else", async () => {
    const { shop, endpoint, event } = await aRefusal();
    const visitor = await signIn(shop.key);
    const own = `/dashboard/webhooks/${endpoint.id}/deliveries/${event}`;
    await visitor.open(own);
    expect((await visitor.send(`${own}/retry`)).location).toBe(`${own}?notice=delivery_retried`);
    await run(endpoint);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
    expect((await visitor.open(`${own}?notice=delivery_retried`)).text).toContain("It is sent again now.");
    for (const [back, leadsTo] of [
      ["/dashboard/payments/7", "/dashboard/payments/7"],
      ["//evil.example.com/dashboard/payments/7", own],
      ["https://evil.example.com", own],
    ] as const) {
      const { location } = await visitor.send(`${own}/retry`, { back });
      expect(location).toBe(`${leadsTo}?notice=delivery_retried`);
    }
  });

  it("whose event is still to wait is refused in words", async () => {
    const { shop, endpoint, event } = await aRefusal();
    const id = Number(event.split("_")[1]);
    await shop.unheard.run(id, "confirm", crypto.randomUUID());
    const visitor = await signIn(shop.key);
    await visitor.open("/dashboard/webhooks");
    const refused = await visitor.send(`/dashboard/webhooks/${endpoint.id}/deliveries/evt_${id}_2/retry`);
    expect(refused.status).toBe(409);
    expect(refused.text).toContain("It waits for an earlier event of the same payment");
  });
});

describe("what is done to an endpoint", () => {
  it("is tried by a test event, whose answer is shown", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const visitor = await signIn(shop.key);
    const path = `/dashboard/webhooks/${endpoint.id}/test`;
    expect((await visitor.fill(path)).text).toContain("The endpoint took the test event");
    endpoint.receiver.next(answers(404, HOSTILE));
    const refused = await visitor.fill(path);
    expect(refused.text).toContain("Nothing takes POST requests at this URL");
    expect(refused.html).not.toContain("<script>alert");
    endpoint.receiver.next(drops);
    expect((await visitor.fill(path)).text).toContain("The endpoint did not take the test event");
  });

  it("is disabled, enabled, edited, rolled and deleted, each by its form", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const visitor = await signIn(shop.key);
    const path = `/dashboard/webhooks/${endpoint.id}`;
    expect((await visitor.fill(`${path}/disable`)).location).toBe(`${path}?notice=endpoint_disabled`);
    expect(await endpoint.get()).toMatchObject({ enabled: false, disabled_reason: "requested" });
    expect((await visitor.open(path)).text).toContain("Somebody disabled it.");
    expect((await visitor.fill(`${path}/enable`)).location).toBe(`${path}?notice=endpoint_enabled`);
    const { url } = endpoint.receiver;
    await visitor.fill(`${path}/edit`, { url: `${url}/2`, types: "payment.refunded" });
    expect(await endpoint.get()).toMatchObject({ enabled: true, url: `${url}/2`, types: ["payment.refunded"] });
    await visitor.fill(`${path}/edit`, { url });
    expect(await endpoint.get()).toMatchObject({ url, all_types: true });
    const rolled = await visitor.fill(`${path}/roll`, { overlap_seconds: "0" });
    expect(rolled.html).toMatch(/value="whsec_[\w+/]+=*"/);
    expect(rolled.html).not.toContain(endpoint.secret);
    expect((await visitor.fill(`${path}/delete`)).location).toBe("/dashboard/webhooks?notice=endpoint_deleted");
    expect((await visitor.open(path)).status).toBe(404);
  });

  it("is replayed for a time", async () => {
    const { shop, endpoint } = await aRefusal();
    const visitor = await signIn(shop.key);
    const path = `/dashboard/webhooks/${endpoint.id}/replay`;
    const wrong = await visitor.fill(path, { from: "2026-01-16", to: "2026-01-16" });
    expect([wrong.status, wrong.text.includes("Must be later than from")]).toEqual([422, true]);
    // What is still to be sent is not sent twice.
    expect((await visitor.fill(path, { from: "2020-01-01", to: "2100-01-01" })).text).toContain(
      "0 events are sent again",
    );
    vi.setSystemTime(Date.now() + HOUR);
    await run(endpoint);
    const later = await signIn(shop.key);
    expect((await later.fill(path, { from: "2020-01-01", to: "2100-01-01" })).text).toContain("1 event is sent again");
  });
});

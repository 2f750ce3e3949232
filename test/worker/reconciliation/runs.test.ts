/** Runs of reconciliation, at a provider in memory: what they find, and what they leave to whoever was woken. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { client, newKey, newMerchant } from "../client";
import { DAY_MS, disputeOf, forgetRuns, HOUR_MS, refundOf, Shop } from "./ledger";

let shop: Shop;
beforeEach(async () => {
  await forgetRuns();
  shop = await Shop.open();
});

const count = async (table: string) =>
  (await env.DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<number>("n")) ?? 0;

describe("where both are alike", () => {
  it("a run compares all of it, finds nothing, wakes nobody and asks for nothing singly", async () => {
    await shop.both();
    await shop.both({ status: "authorized" }, { status: "authorized", capturedMinor: 0 });
    await shop.both({ refunds: { re_1: 400 }, disputes: ["dp_1"] });
    await shop.both({ status: "expired" }, { status: "cancelled", capturedMinor: 0 });
    const run = await shop.reconcile();
    expect(run).toMatchObject({ state: "done", compared: 6, differing: 0, items: "{}", failure: null, due_at: null });
    expect(run.finished_at).toBeGreaterThanOrEqual(run.started_at);
    expect([shop.woken, await shop.items()]).toEqual([[], []]);
    expect(shop.ledger.asked).toEqual(["list payments first", "list refunds first", "list disputes first"]);
    expect([await count("reconciliation_seen"), await count("reconciliation_looks")]).toEqual([0, 0]);
  });

  it("a run takes every page of each list", async () => {
    shop.ledger.pageSize = 2;
    const ids: number[] = [];
    for (let payments = 0; payments < 5; payments++) ids.push((await shop.both()).id);
    const run = await shop.reconcile();
    expect(run).toMatchObject({ state: "done", compared: 5, differing: 0 });
    expect(shop.ledger.asked).toEqual([
      ...["list payments first", "list payments 2", "list payments 4", "list refunds first", "list disputes first"],
    ]);
  });

  it("a run of nothing comes to its end at once", async () => {
    const id = await shop.begin();
    expect(await shop.advance()).toEqual({ steps: 6, done: 1, failed: 0 });
    expect(await shop.run(id)).toMatchObject({ state: "done", compared: 0, due_at: null });
  });
});

describe("what differs", () => {
  it("is an item once it differs the same way a minute later, and its payment was woken in between", async () => {
    const { id } = await shop.both({ status: "processing" }, { status: "captured" });
    const run = await shop.begin();
    await shop.advance();
    expect([shop.woken, await shop.items()]).toEqual([[id], []]);
    shop.now += 59_000;
    await shop.advance();
    expect(await shop.items()).toEqual([]);
    shop.now += 1_000;
    await shop.advance();
    const detail = "The provider says captured, and the payment is processing here";
    const [item] = await shop.items();
    expect(item).toMatch(new RegExp(`^status_mismatch ${id} pi_\\d+: ${detail}$`));
    expect(await shop.run(run)).toMatchObject({
      ...{ state: "done", differing: 1, items: '{"status_mismatch":1}', compared: 1 },
    });
    expect(shop.woken).toEqual([id]);
  });

  it("is told of by an event of its payment that has the item's id, once", async () => {
    const { id } = await shop.both({ status: "processing" });
    await shop.reconcile();
    const item = await env.DB.prepare("SELECT id, account FROM reconciliation_items WHERE payment_id = ?")
      .bind(id)
      .first();
    expect(item).toMatchObject({ account: shop.account });
    const events = [{ payment_id: id, item: expect.objectContaining({ ...item, kind: "status_mismatch" }) }];
    expect(await shop.itemEvents()).toEqual(events);
    // It is found again on the next day, and is neither another item nor told of again.
    const again = await shop.reconcile();
    expect(again).toMatchObject({ differing: 1, items: '{"status_mismatch":1}' });
    expect(await shop.itemEvents()).toEqual(events);
    expect((await shop.items()).length).toBe(1);
  });

  it("is delivered to the merchant's webhook endpoints, as any other event", async () => {
    const api = client(undefined, { key: await newKey(undefined, shop.merchantId) });
    const { body: endpoint } = await api.request("POST", "/api/v1/webhook-endpoints", {
      body: { url: "https://shop.example.com/hooks", types: ["reconciliation.item_opened"] },
    });
    await shop.both({ status: "processing" });
    shop.list();
    await shop.reconcile();
    const { results } = await env.DB.prepare(
      `SELECT event.type, delivery.state FROM webhook_deliveries AS delivery
       JOIN events AS event ON event.position = delivery.position AND event.merchant_id = ? WHERE endpoint_id = ?`,
    )
      .bind(shop.merchantId, endpoint.id)
      .all();
    expect(results).toEqual([{ type: "reconciliation.item_opened", state: "pending" }]);
    expect(shop.enqueued).toEqual([{ endpoint_id: endpoint.id, position: expect.any(Number) }]);
  });

  it("is no item where waking its payment settles it", async () => {
    const { id, there } = await shop.both();
    there.refunds.push(refundOf("re_new", 300));
    shop.onWake = async () => {
      // As the payment's object adopts it.
      await env.DB.prepare(
        `INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, provider_reference, request_id,
           created_at, updated_at) VALUES (?, ?, 9, 'refund', 300, 'succeeded', 'provider', 're_new', 'r', 1, 1)`,
      )
        .bind(shop.merchantId, id)
        .run();
      shop.onWake = async () => {};
    };
    const run = await shop.reconcile();
    expect(run).toMatchObject({ state: "done", differing: 1, items: "{}" });
    expect([shop.woken, await shop.items()]).toEqual([[id], []]);
  });

  it("is looked at once more where it has changed since", async () => {
    const { there } = await shop.both({ status: "processing" }, { status: "authorized", capturedMinor: 0 });
    const run = await shop.begin();
    await shop.advance();
    Object.assign(there, { status: "captured", capturedMinor: 1_000 });
    shop.now += 60_000;
    await shop.advance();
    expect([await shop.items(), shop.woken.length]).toEqual([[], 2]);
    await shop.finish(run);
    expect((await shop.items()).map((item) => item.split(": ")[1])).toEqual([
      "The provider says captured, and the payment is processing here",
    ]);
  });

  it("is an item at the fifth look, though it changes from look to look", async () => {
    const { there } = await shop.both({ status: "processing" }, { status: "authorized", capturedMinor: 0 });
    shop.onWake = async () => {
      there.amountMinor++;
    };
    await shop.reconcile();
    expect(shop.ledger.asked.filter((call) => call.startsWith("observe")).length).toBe(4);
    expect((await shop.items()).length).toBe(1);
  });

  it("is asked for at the second look: what was listed may be old by then", async () => {
    const { there } = await shop.both({ status: "processing" }, { status: "captured" });
    const run = await shop.begin();
    await shop.advance();
    Object.assign(there, { status: "processing", capturedMinor: 0 });
    expect(await shop.finish(run)).toMatchObject({ state: "done", items: "{}" });
    expect(await shop.items()).toEqual([]);
  });

  it("is each thing by itself, with the payment's own id where it is known", async () => {
    const foreign = shop.list({ refunds: [refundOf("re_f", 100)], disputes: [disputeOf("dp_f", 100)] });
    const { id: late } = await shop.both({ status: "expired", reference: "pi_late" });
    const { id: dear, there } = await shop.both({}, { amountMinor: 1_100 });
    const { id: disputed } = await shop.both({}, { disputes: [disputeOf("dp_1", 500)] });
    const other = await shop.store({ reference: "pi_mine" });
    shop.list({ reference: "pi_other", paymentId: other, status: "authorized", capturedMinor: 0 });
    const run = await shop.reconcile();
    const items = await shop.items();
    expect(items.sort()).toEqual(
      [
        `missing_here 0 ${foreign.reference}: The provider captured 10 EUR of a payment that is not known here`,
        `unknown_refund 0 re_f: The provider has a refund of 1 EUR of the payment ${foreign.reference}, which is not known here`,
        `unknown_dispute 0 dp_f: The provider has a dispute over 1 EUR of the payment ${foreign.reference}, which is not known here`,
        `late_success ${late} pi_late: The provider captured 10 EUR of a payment that is expired`,
        `amount_mismatch ${dear} ${there.reference}: The provider has 11 EUR where the payment is of 10 EUR`,
        `unknown_dispute ${disputed} dp_1: The provider has a dispute over 5 EUR that is missing here; its payment is confirmed`,
        `missing_here ${other} pi_other: The provider holds 10 EUR for a payment that has the name pi_mine at the provider here`,
        `missing_there ${other} pi_mine: The provider does not know this payment of 10 EUR, which is confirmed here`,
      ].sort(),
    );
    expect(JSON.parse(run.items)).toEqual({
      ...{
        missing_here: 2,
        unknown_refund: 1,
        unknown_dispute: 2,
        late_success: 1,
        amount_mismatch: 1,
        missing_there: 1,
      },
    });
    // What is of no payment here has no event.
    expect((await shop.itemEvents()).map(({ payment_id }) => payment_id).sort()).toEqual(
      [late, dear, disputed, other, other].sort(),
    );
  });

  it("is not another merchant's payment, whatever the provider was told", async () => {
    const stranger = await Shop.open();
    const id = await stranger.store({ reference: "pi_stranger" });
    shop.list({ reference: "pi_stranger", paymentId: id });
    await shop.reconcile();
    expect(await shop.items()).toEqual([
      "missing_here 0 pi_stranger: The provider captured 10 EUR of a payment that is not known here",
    ]);
    expect([shop.woken, await stranger.items()]).toEqual([[], []]);
  });

  it("is not a payment of another provider that has the same id", async () => {
    const id = await shop.store({ provider: "internal", reference: "pi_same" });
    shop.list({ reference: "pi_same", paymentId: id });
    await shop.reconcile();
    expect((await shop.items()).length).toBe(1);
    expect(shop.woken).toEqual([]);
  });

  it("is found among the names that the journal alone has", async () => {
    const id = await shop.store({ status: "pending", reference: null });
    await env.DB.prepare(
      `INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, provider_reference, request_id, due_at,
         created_at, updated_at) VALUES (?, ?, 1, 'authorize', 1000, 'open', 'request', 'pi_named', 'r', 1, 1, 1)`,
    )
      .bind(shop.merchantId, id)
      .run();
    shop.list({ reference: "pi_named", paymentId: id, status: "open", capturedMinor: 0 });
    const run = await shop.reconcile();
    expect([run.differing, await shop.items()]).toEqual([0, []]);
  });
});

describe("whose a refund or a dispute is", () => {
  it("is asked for where the list does not say", async () => {
    shop.ledger.isTerse = true;
    const { id } = await shop.both({ refunds: { re_known: 300 } });
    const { id: other, there } = await shop.both();
    there.refunds.push(refundOf("re_new", 100));
    const foreign = shop.list({ refunds: [refundOf("re_foreign", 100)] });
    const run = await shop.reconcile();
    expect(shop.ledger.asked.filter((call) => call.startsWith("locate")).length).toBeGreaterThanOrEqual(3);
    expect(shop.woken).toContain(other);
    expect(shop.woken).not.toContain(id);
    expect((await shop.items()).filter((item) => item.includes("refund of")).sort()).toEqual([
      `unknown_refund 0 re_foreign: The provider has a refund of 1 EUR of the payment ${foreign.reference}, which is not known here`,
      `unknown_refund ${other} re_new: The provider has a refund of 1 EUR that is missing here; its payment is confirmed`,
    ]);
    expect(JSON.parse(run.items)).toMatchObject({ unknown_refund: 2 });
  });
});

describe("what no list had", () => {
  it("is asked for singly, of the account and the time alone", async () => {
    const missing = await shop.store({ reference: "pi_gone" });
    await shop.store({ reference: null, status: "pending" });
    await shop.store({ provider: "internal", reference: null });
    await shop.store({ reference: "pi_elsewhere", accountId: shop.accountId + 1_000_000 });
    const run = await shop.reconcile({ from: shop.now - 2 * HOUR_MS });
    expect(shop.ledger.asked.filter((call) => call.startsWith("observe"))).toEqual([
      "observe pi_gone",
      "observe pi_gone",
    ]);
    expect(await shop.items()).toEqual([
      `missing_there ${missing} pi_gone: The provider does not know this payment of 10 EUR, which is confirmed here`,
    ]);
    expect(run).toMatchObject({ state: "done", compared: 1, differing: 1, items: '{"missing_there":1}' });
  });

  it("is looked for by what happened in the time: before it and after it is not asked for", async () => {
    const at = shop.now - 10 * HOUR_MS;
    await shop.store({ reference: "pi_before", at: at - 1 });
    await shop.store({ reference: "pi_first", at });
    await shop.store({ reference: "pi_last", at: at + HOUR_MS - 1 });
    await shop.store({ reference: "pi_after", at: at + HOUR_MS });
    await shop.reconcile({ from: at, to: at + HOUR_MS });
    const asked = new Set(shop.ledger.asked.filter((call) => call.startsWith("observe")));
    expect([...asked].sort()).toEqual(["observe pi_first", "observe pi_last"]);
  });

  it("is compared whole where the provider has it: made before the time, and refunded in it", async () => {
    const { there } = await shop.both({ refunds: { re_1: 400 } }, { createdAt: shop.now - 3 * DAY_MS });
    there.refunds.splice(0, 1);
    const run = await shop.reconcile();
    expect((await shop.items()).map((item) => item.split(": ")[1])).toEqual([
      "The provider gave back 0 EUR, and not 4 EUR",
    ]);
    expect(run).toMatchObject({ differing: 1, items: '{"amount_mismatch":1}' });
  });

  it("is nothing where the provider has it, alike", async () => {
    await shop.both({}, { createdAt: shop.now - 3 * DAY_MS });
    const run = await shop.reconcile();
    expect([run.compared, run.differing, await shop.items()]).toEqual([1, 0, []]);
  });

  it("is asked for twice, a minute apart, before it is missed", async () => {
    await shop.store({ reference: "pi_slow" });
    const run = await shop.begin();
    await shop.advance();
    expect((await shop.run(run)).state).toBe("running");
    const [payment] = await env.DB.prepare("SELECT id FROM payments WHERE provider_reference = 'pi_slow'").raw<
      [number]
    >();
    shop.list({ reference: "pi_slow", paymentId: payment?.[0] ?? null });
    expect(await shop.finish(run)).toMatchObject({ state: "done", items: "{}" });
  });

  it("is found among thousands of events", async () => {
    const at = shop.now - 5 * HOUR_MS;
    await shop.store({ reference: "pi_old", at: at - 1 });
    await env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
       SELECT ?, i, NULL, NULL, 'webhook_endpoint.disabled', '{"id":1}', 'r', ? FROM n`,
    )
      .bind(shop.merchantId, at)
      .run();
    await shop.follow();
    await shop.store({ reference: "pi_new", at: at + 1 });
    const run = await shop.reconcile({ from: at });
    await env.DB.prepare("DELETE FROM events WHERE merchant_id = ? AND payment_id IS NULL").bind(shop.merchantId).run();
    await env.DB.prepare("DELETE FROM events WHERE merchant_id = ?").bind(shop.merchantId).run();
    await env.DB.prepare("DELETE FROM payments WHERE merchant_id = ?").bind(shop.merchantId).run();
    expect(run.state).toBe("done");
    expect((await shop.items()).map((item) => item.split(" ")[2])).toEqual(["pi_new:"]);
  });
});

describe("an item that a person has resolved", () => {
  it("stays resolved while the same is found, and opens again where something else is", async () => {
    const { id, there } = await shop.both({ status: "processing" });
    await shop.reconcile();
    const resolve = env.DB.prepare(
      "UPDATE reconciliation_items SET resolved_at = 1, resolution = 'Seen to' WHERE payment_id = ?",
    );
    await resolve.bind(id).run();
    const stateOf = async () =>
      env.DB.prepare("SELECT resolution, detail FROM reconciliation_items WHERE payment_id = ?").bind(id).first();
    await shop.reconcile();
    expect(await stateOf()).toMatchObject({ resolution: "Seen to" });
    Object.assign(there, { status: "cancelled", capturedMinor: 0 });
    await shop.reconcile();
    expect(await stateOf()).toEqual({
      resolution: null,
      detail: "The provider says cancelled, and the payment is processing here",
    });
    expect((await shop.itemEvents()).length).toBe(2);
  });
});

describe("an item of no payment that a person has resolved", () => {
  it("stays resolved while the same is found, and opens again where something else is", async () => {
    const foreign = shop.list({ status: "authorized", capturedMinor: 0 });
    await shop.reconcile();
    await env.DB.prepare("UPDATE reconciliation_items SET resolved_at = 1, resolution = 'Theirs' WHERE reference = ?")
      .bind(foreign.reference)
      .run();
    const resolution = () =>
      env.DB.prepare("SELECT resolution FROM reconciliation_items WHERE reference = ?")
        .bind(foreign.reference)
        .first<string | null>("resolution");
    await shop.reconcile();
    expect(await resolution()).toBe("Theirs");
    Object.assign(foreign, { status: "captured", capturedMinor: 1_000 });
    await shop.reconcile();
    expect([await resolution(), await shop.items()]).toEqual([
      null,
      [`missing_here 0 ${foreign.reference}: The provider captured 10 EUR of a payment that is not known here`],
    ]);
  });
});

describe("more than a thousand things that differ", () => {
  it("end the run as failed: it is another account's ledger", async () => {
    for (let payments = 0; payments < 1_003; payments++) shop.list();
    const run = await shop.reconcile();
    expect(run).toMatchObject({
      state: "failed",
      failure: expect.stringMatching(/^More than 1,000 things differ\. Check/),
    });
    expect([(await shop.items()).length <= 1_005, await count("reconciliation_looks")]).toEqual([true, 0]);
    expect(await newMerchant()).toBeGreaterThan(0);
  }, 120_000);
});

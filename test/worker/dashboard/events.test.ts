/** The feed on the dashboard: newest first, filtered, page by page. */
import { describe, expect, it } from "vitest";
import { newKey, ORDER, paymentIn } from "../client";
import { newMerchant } from "../payment-list";
import { watch } from "../webhook/shop";
import { type Page, signIn } from "./visitor";

const output = watch();
const EVENTS = "/dashboard/events";

function lastCost(): { d1_trips: number } {
  const lines = output.logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  return lines.filter(({ message, route }) => message === "request" && route?.startsWith("/dashboard")).at(-1);
}

async function aVisitor() {
  const merchant = await newMerchant();
  return { ...merchant, visitor: await signIn(merchant.key) };
}

const idsOf = ({ html }: Page) => [...html.matchAll(/<details id="(evt_\w+)"/g)].map(([, id]) => id);

describe("the events", () => {
  it("say that nothing has happened while nothing has", async () => {
    const { visitor } = await aVisitor();
    expect((await visitor.open(EVENTS)).text).toContain("Nothing has happened yet");
    expect(lastCost().d1_trips).toBeLessThanOrEqual(2);
  });

  it("are newest first, with who did them and all that they say, and look again by themselves", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = await paymentIn("refunded", api);
    const page = await visitor.open(EVENTS);
    expect(idsOf(page)).toEqual([3, 2, 1].map((n) => `evt_${id}_${n}`));
    expect(page.text).toContain(`Refunded Payment ${id}`);
    expect(page.text).toContain("by key pay_");
    expect(page.text).toContain(`"idempotency_key"`);
    expect(page.html).toContain(`href="/dashboard/payments/${id}"`);
    expect(page.html).toContain('data-poll-ms="5000"');
  });

  it("are filtered by type, payment and day, and lead on to older ones", async () => {
    const { visitor, api } = await aVisitor();
    const payments: number[] = [];
    for (let n = 0; n < 11; n++) payments.push((await paymentIn("confirmed", api)).id);
    const [first = 0, last = 0] = [payments.at(0), payments.at(-1)];
    const asked = async (query: string) => idsOf(await visitor.open(`${EVENTS}?${query}`));
    expect(await asked("type=payment.created&type=payment.failed")).toHaveLength(11);
    expect(await asked(`payment_id=${first}&type=`)).toEqual([`evt_${first}_2`, `evt_${first}_1`]);
    const today = (await api.get(last)).body.created_at.slice(0, 10);
    expect(await asked(`created_from=${today}&created_to=${today}`)).toHaveLength(20);
    expect(await asked("created_to=2020-01-01")).toEqual([]);
    const newest = await visitor.open(EVENTS);
    const older = /href="([^"]*cursor=[^"]*)"[^>]*>\s*Older/.exec(newest.html)?.[1]?.replaceAll("&amp;", "&") ?? "";
    const page = await visitor.open(older);
    expect(idsOf(page)).toEqual([`evt_${first}_2`, `evt_${first}_1`]);
    expect(page.html).not.toContain("data-poll-ms");
    expect(page.html).toMatch(/href="\/dashboard\/events"[^>]*>\s*Newest/);
  });

  it("refuse a filter in the API's words, and a key that may not read them", async () => {
    const { visitor, id, api } = await aVisitor();
    await api.create(ORDER);
    const refused = await visitor.open(`${EVENTS}?payment_id=x`);
    expect([refused.status, refused.text.includes("payment_id: Must be an integer")]).toEqual([422, true]);
    const reader = await signIn(await newKey(["payments:read"], id));
    expect((await reader.open(EVENTS)).status).toBe(403);
  });
});

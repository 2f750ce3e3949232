/** Disputes in the dashboard: by their deadline, with what they mean for the money. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { newKey, newMerchant } from "../client";
import { seedPayments } from "../payment-seed";
import { signIn, type Visitor } from "./visitor";

const PATH = "/dashboard/disputes";
const [HOUR, DAY] = [3_600_000, 86_400_000];
const HOSTILE = "<script>alert('reason')</script>";

let merchant: number;
let visitor: Visitor;
let payment: number;

beforeEach(async () => {
  merchant = await newMerchant();
  visitor = await signIn(await newKey(["payments:read"], merchant));
  const [seeded] = await seedPayments(merchant, [{ order_id: 1, status: "confirmed", created_at: 1_000 }]);
  payment = seeded?.id ?? 0;
});

interface Row {
  readonly reference: string;
  readonly state: string;
  readonly reason?: string | null;
  readonly due_at?: number | null;
  readonly created_at?: number;
}

async function store(...rows: readonly Row[]): Promise<void> {
  for (const { reference, state, reason = "fraudulent", due_at = null, created_at = Date.now() - DAY } of rows) {
    await env.DB.prepare(
      `INSERT INTO disputes (merchant_id, payment_id, reference, amount_minor, state, reason, due_at, created_at, updated_at)
       VALUES (?, ?, ?, 1234, ?, ?, ?, ?, ?)`,
    )
      .bind(merchant, payment, reference, state, reason, due_at, created_at, created_at)
      .run();
  }
}

describe("the disputes", () => {
  it("say where they would come from while there are none", async () => {
    const page = await visitor.open(PATH);
    expect([page.status, page.text.includes("When a payer objects to a payment at their bank")]).toEqual([200, true]);
  });

  it("stand by their deadline, the most urgent first, and the decided ones after them", async () => {
    const now = Date.now();
    await store(
      { reference: "dp_later", state: "open", due_at: now + 9 * DAY + HOUR },
      { reference: "dp_none", state: "inquiry" },
      { reference: "dp_lost", state: "lost", due_at: now + DAY, created_at: now - 2 * DAY },
      { reference: "dp_soon", state: "open", due_at: now + 5 * HOUR + 60_000, reason: HOSTILE },
      { reference: "dp_won", state: "won", created_at: now - DAY },
      { reference: "dp_over", state: "open", due_at: now - HOUR },
    );
    const { html, text } = await visitor.open(PATH);
    expect(text.match(/dp_\w+/g)).toEqual(["dp_over", "dp_soon", "dp_later", "dp_none", "dp_won", "dp_lost"]);
    const row = (reference: string) => (text.split(reference)[1] ?? "").split("Payment ")[0] ?? "";
    expect(row("dp_over")).toMatch(/^ deadline passed /);
    expect(row("dp_soon")).toMatch(/^ 5 hours left .* \$12\.34 open The amount is taken back until it is decided\. /);
    expect(row("dp_soon")).toContain(HOSTILE);
    expect(html).not.toContain("<script>alert");
    expect(row("dp_later")).toMatch(/^ 9 days left /);
    expect(row("dp_none")).toMatch(/^ The provider names none .* inquiry The bank asks first/);
    expect(row("dp_lost")).not.toContain(" left");
    expect(html).toContain(`href="/dashboard/payments/${payment}"`);
    expect(text).toContain("a dispute that nobody answers is lost");
  });

  it("that are decided go on, on further pages", async () => {
    await store(
      ...Array.from({ length: 21 }, (_, n) => ({ reference: `dp_${n}_`, state: "won", created_at: 1_000 + n })),
    );
    const first = await visitor.open(PATH);
    const [, next = ""] = /href="([^"]*cursor=[^"]*)"/.exec(first.html) ?? [];
    const second = await visitor.open(next.replaceAll("&amp;", "&"));
    expect(second.text.match(/dp_\d+_/g)).toEqual(["dp_0_"]);
    expect(first.text.match(/dp_\d+_/g)).toHaveLength(20);
    const refused = await visitor.open(`${PATH}?cursor=nothing`);
    expect([refused.status, refused.text.includes("To answer")]).toEqual([422, true]);
  });

  it("of a payment are on its page, with what is left of their time", async () => {
    await store({ reference: "dp_open", state: "open", due_at: Date.now() + 2 * DAY + HOUR });
    const { text } = await visitor.open(`/dashboard/payments/${payment}`);
    expect(text).toMatch(
      /open \$12\.34 : fraudulent, since .* The amount is taken back until .* 2 days left .* dp_open/,
    );
  });

  it("of another merchant are not there, and a key without the scope does not see the section", async () => {
    await store({ reference: "dp_open", state: "open" });
    const stranger = await signIn(await newKey(["payments:read"], await newMerchant()));
    expect((await stranger.open(PATH)).text).not.toContain("dp_open");
    const other = await signIn(await newKey(["webhooks:manage"], merchant));
    expect((await other.open(PATH)).status).toBe(403);
    expect((await other.open("/dashboard/webhooks")).html).not.toContain(`href="${PATH}"`);
  });
});

/** Reconciliation in the dashboard: what each item means, what to do about it, and resolving it. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { RECONCILIATION } from "../../../src/provider/reconciliation";
import { newKey, newMerchant } from "../client";
import { seedPayments } from "../payment-seed";
import { signIn, type Visitor } from "./visitor";

const PATH = "/dashboard/reconciliation";
const HOSTILE = `<script>alert("detail")</script>`;

let merchant: number;
let key: string;
let visitor: Visitor;

beforeEach(async () => {
  merchant = await newMerchant();
  key = await newKey(undefined, merchant);
  visitor = await signIn(key);
});

const ROW = {
  ...{ payment_id: 0, account: null as string | null, kind: "missing_here", reference: "pi_1", detail: "Found" },
  ...{ created_at: 1_000, resolved_at: null as number | null, resolution: null as string | null },
};
const RESOLVED = { resolved_at: 2_000, resolution: "Given back at the provider" };

/** Stores an item of the merchant; its id. */
async function store(row: Partial<typeof ROW> = {}): Promise<number> {
  const { payment_id, account, kind, reference, detail, created_at, resolved_at, resolution } = { ...ROW, ...row };
  const made = await env.DB.prepare(
    `INSERT INTO reconciliation_items (merchant_id, payment_id, account, kind, reference, detail, created_at, resolved_at, resolution)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
  )
    .bind(merchant, payment_id, account, kind, reference, detail, created_at, resolved_at, resolution)
    .first<number>("id");
  return made ?? 0;
}

describe("the list", () => {
  it("says that nothing is open, and where the resolved ones are", async () => {
    await store(RESOLVED);
    const page = await visitor.open(PATH);
    expect([page.status, page.text.includes("Nothing is open")]).toEqual([200, true]);
    expect(page.text).not.toContain("pi_1");
    expect((await visitor.open(`${PATH}?state=all`)).text).toContain("Resolved: Given back at the provider");
  });

  it("has what was found of each open item, and what to do about it, newest first", async () => {
    const [seeded] = await seedPayments(merchant, [{ order_id: 1, status: "failed", created_at: 1_000 }]);
    const payment = seeded?.id ?? 0;
    const old = await store({ kind: "late_success", payment_id: payment, reference: "pi_old", account: "stripe_3" });
    const young = await store({ kind: "unknown_dispute", reference: "dp_young", created_at: 5_000, detail: HOSTILE });
    await store({ kind: "missing_there", reference: "pi_resolved", ...RESOLVED });
    const { html, text } = await visitor.open(PATH);
    expect(text.match(/(pi|dp)_(old|young|resolved)/g)).toEqual(["dp_young", "pi_old"]);
    expect(text).toContain(`Unknown dispute ${HOSTILE} ${RECONCILIATION.unknown_dispute.remedy} open`);
    expect(text).toContain(
      `Late success Found ${RECONCILIATION.late_success.remedy} open Payment ${payment} pi_old stripe_3`,
    );
    expect(html).not.toContain("<script>alert");
    for (const path of [
      `${PATH}/${old}`,
      `${PATH}/${young}`,
      `/dashboard/payments/${payment}`,
      "/dashboard/providers/stripe_3",
    ]) {
      expect(html).toContain(`href="${path}"`);
    }
  });

  it("is filtered by state, kind, account and payment, also as a file", async () => {
    await store({ reference: "pi_a", kind: "late_success", account: "stripe_3", payment_id: 7 });
    await store({ reference: "pi_b", kind: "late_success", account: "mollie_4" });
    await store({ reference: "pi_c", kind: "missing_here", account: "stripe_3", ...RESOLVED });
    const found = async (query: string) => {
      const [page, file] = [await visitor.open(PATH + query), await visitor.open(`${PATH}.csv${query}`)];
      const names = page.text.match(/pi_\w/g) ?? [];
      expect(file.html.match(/pi_\w/g) ?? []).toEqual(names);
      return names.sort().join(" ");
    };
    expect(await found("")).toBe("pi_a pi_b");
    expect(await found("?state=all&kind=&account=")).toBe("pi_a pi_b pi_c");
    expect(await found("?state=resolved")).toBe("pi_c");
    expect(await found("?kind=late_success&account=stripe_3")).toBe("pi_a");
    expect(await found("?payment_id=7")).toBe("pi_a");
    expect(await found("?kind=amount_mismatch")).toBe("");
    const refused = await visitor.open(`${PATH}?account=Stripe`);
    expect([refused.status, refused.text.includes("Must be the id of a provider account")]).toEqual([422, true]);
    expect((await visitor.open(`${PATH}.csv?account=Stripe`)).status).toBe(422);
  });

  it("comes as a file that spreadsheets open, with its filters", async () => {
    await store({ detail: '=HYPERLINK("x")' });
    const page = await visitor.open(`${PATH}?state=all`);
    expect(page.html).toContain(`href="${PATH}.csv?state=all"`);
    const file = await visitor.open(`${PATH}.csv?state=all`);
    expect(file.headers.get("Content-Disposition")).toBe('attachment; filename="reconciliation.csv"');
    expect(file.headers.get("Content-Type")).toContain("text/csv");
    expect(file.html).toMatch(/^\ufeff?id,payment_id,account,kind,/);
    expect(file.html).not.toContain(",=HYPERLINK");
  });

  it("goes on, on further pages with the same filters", async () => {
    for (let n = 0; n < 21; n++) await store({ reference: `pi_${n}_`, created_at: 1_000 + n });
    await store({ reference: "pi_other_", kind: "late_success", created_at: 500 });
    const first = await visitor.open(`${PATH}?kind=missing_here`);
    const [, next = ""] = /href="([^"]*cursor=[^"]*)"/.exec(first.html) ?? [];
    const second = await visitor.open(next.replaceAll("&amp;", "&"));
    expect([first.text.match(/pi_\w+_/g)?.length, second.text.match(/pi_\w+_/g)]).toEqual([20, ["pi_0_"]]);
  });
});

describe("an item", () => {
  it("says what it means, what to do, and leads to the payment and the account", async () => {
    const id = await store({ kind: "status_mismatch", payment_id: 12, account: "stripe_3", detail: HOSTILE });
    const { html, text } = await visitor.open(`${PATH}/${id}`);
    const { means, remedy } = RECONCILIATION.status_mismatch;
    for (const said of ["Status mismatch", HOSTILE, means, remedy]) expect(text).toContain(said);
    for (const path of [`${PATH}/${id}/resolve`, "/dashboard/payments/12", "/dashboard/providers/stripe_3"]) {
      expect(html).toContain(`href="${path}"`);
    }
    expect(html).not.toContain("<script>alert");
  });

  it("is resolved with a reason, which stands there with who gave it", async () => {
    const id = await store();
    const sent = await visitor.fill(`${PATH}/${id}/resolve`, { resolution: ` Paid <b>out</b>\r\nby hand ` });
    expect([sent.status, sent.location]).toEqual([303, `${PATH}/${id}?notice=item_resolved`]);
    const page = await visitor.open(sent.location ?? "");
    expect(page.text).toContain("The item is resolved.");
    expect(page.text).toContain(`by pay_${publicId(key)}_… Why Paid <b>out</b> by hand`);
    expect(page.html).not.toContain(`${PATH}/${id}/resolve`);
    const row = env.DB.prepare("SELECT resolution FROM reconciliation_items WHERE id = ?").bind(id);
    expect(await row.first("resolution")).toBe("Paid <b>out</b>\nby hand");
    const trail = await visitor.open("/dashboard/account");
    expect(trail.html).toContain(`<a href="${PATH}/${id}">Item ${id}</a>`);
  });

  it("that somebody else has resolved keeps their reason", async () => {
    const id = await store();
    const form = await visitor.open(`${PATH}/${id}/resolve`);
    expect(form.status).toBe(200);
    await (await signIn(key)).fill(`${PATH}/${id}/resolve`, { resolution: "Theirs" });
    const sent = await visitor.send(`${PATH}/${id}/resolve`, { resolution: "Mine" });
    expect([sent.status, sent.location]).toEqual([303, `${PATH}/${id}?notice=item_was_resolved`]);
    expect((await visitor.open(sent.location ?? "")).text).toContain("Why Theirs");
    expect((await visitor.open(`${PATH}/${id}/resolve`)).location).toBe(`${PATH}/${id}?notice=item_was_resolved`);
  });

  it("is not resolved without a reason, and a refused one is still there", async () => {
    const id = await store();
    for (const resolution of ["", " \r\n ", "x".repeat(501)]) {
      const page = await visitor.fill(`${PATH}/${id}/resolve`, { resolution });
      expect([page.status, page.text.includes("Must be 1 to 500 characters long")]).toEqual([422, true]);
      if (resolution.trim() !== "") expect(page.html).toContain(resolution);
    }
    expect((await visitor.open(`${PATH}/${id}`)).text).toContain("What to do");
  });

  it("is resolved by nobody who may only read, and is not there for other merchants", async () => {
    const id = await store();
    const reader = await signIn(await newKey(["payments:read"], merchant));
    const page = await reader.open(`${PATH}/${id}`);
    expect([page.status, page.html.includes("/resolve")]).toEqual([200, false]);
    expect((await reader.open(`${PATH}/${id}/resolve`)).status).toBe(403);
    expect((await reader.send(`${PATH}/${id}/resolve`, { resolution: "x" })).status).toBe(403);
    const stranger = await signIn(await newKey(undefined, await newMerchant()));
    for (const path of [`${PATH}/${id}`, `${PATH}/${id}/resolve`]) expect((await stranger.open(path)).status).toBe(404);
    expect((await stranger.send(`${PATH}/${id}/resolve`, { resolution: "x" })).status).toBe(404);
    expect((await visitor.open(`${PATH}/${id}`)).text).toContain("What to do");
  });

  it("stands on its payment's page while it is open", async () => {
    const [seeded] = await seedPayments(merchant, [{ order_id: 1, status: "failed", created_at: 1_000 }]);
    const payment = seeded?.id ?? 0;
    const id = await store({ kind: "late_success", payment_id: payment });
    const path = `/dashboard/payments/${payment}`;
    const page = await visitor.open(path);
    expect(page.text).toContain("The provider says something else");
    expect(page.text).toContain(RECONCILIATION.late_success.remedy);
    expect(page.html).toContain(`href="${PATH}/${id}"`);
    await visitor.fill(`${PATH}/${id}/resolve`, { resolution: "Seen to" });
    expect((await visitor.open(path)).text).not.toContain("The provider says something else");
  });
});

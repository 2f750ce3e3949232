/** The payments of the dashboard: the list with its filters, its search and its file. */
import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { ORDER } from "../client";
import { newMerchant } from "../payment-list";
import { seedPayments } from "../payment-seed";
import { watch } from "../webhook/shop";
import { signIn, type Visitor } from "./visitor";

const output = watch();
const PAYMENTS = "/dashboard/payments";
const HOSTILE = `<script>alert("x")</script>&amp;'"=1+1`;

/** What the last request to the dashboard has cost in D1, from the service's own log. */
function lastCost(): { route: string; d1_trips: number; d1_rows_read: number } {
  const lines = output.logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  return lines.filter(({ message, route }) => message === "request" && route?.startsWith("/dashboard")).at(-1);
}

/** A merchant with somebody who has signed in with a key that has every scope. */
async function aVisitor() {
  const merchant = await newMerchant();
  return { ...merchant, visitor: await signIn(merchant.key) };
}

/** The ids of the payments that a page lists, in its order. */
const listed = ({ html }: { html: string }): number[] =>
  [...html.matchAll(/class="whole-row" href="\/dashboard\/payments\/(\d+)"/g)].map(([, id]) => Number(id));

/** Where the link with this text leads; null where there is none. */
const linkTo = ({ html }: { html: string }, text: string): string | null => {
  const found = [...html.matchAll(/<a\b[^>]*href="([^"]*)"[^>]*>([^<]*)<\/a>/g)].find(
    ([, , name]) => name?.trim() === text,
  );
  return found?.[1]?.replaceAll("&amp;", "&") ?? null;
};

describe("the list", () => {
  it("says how to create the first payment while there is none", async () => {
    const { visitor } = await aVisitor();
    const page = await visitor.open(PAYMENTS);
    expect([page.status, page.text.includes("No payment yet")]).toEqual([200, true]);
    expect(page.text).toContain("curl http://localhost/api/v1/payments");
    expect(lastCost().d1_trips).toBeLessThanOrEqual(3);
  });

  it("filters by all that the API filters by", async () => {
    const { visitor, api } = await aVisitor();
    const create = async (more: object) => (await api.create({ ...ORDER, ...more })).body;
    const one = await create({ reference: "ref-1", amount: 5, currency: "EUR", metadata: { cart: "c 7", shop: "a" } });
    const other = await create({ order_id: 43, amount: 50, metadata: { cart: "c 7" } });
    await api.run(other.id, "confirm");
    const today = one.created_at.slice(0, 10);
    const asked: [query: string, ids: number[]][] = [
      ["", [other.id, one.id]],
      ["status=confirmed", [other.id]],
      ["status=confirmed&status=pending", [other.id, one.id]],
      ["reference=ref-1", [one.id]],
      ["reference=+ref-1+&currency=&order_id=", [one.id]],
      ["order_id=43", [other.id]],
      ["currency=eur", [one.id]],
      ["currency=USD&amount_min=50&amount_max=50", [other.id]],
      ["metadata=cart%3Dc+7&metadata=shop%3Da", [one.id]],
      // A day is all of it.
      [`created_from=${today}&created_to=${today}`, [other.id, one.id]],
      [`created_to=${one.created_at}`, [one.id]],
    ];
    for (const [query, ids] of asked) {
      const page = await visitor.open(`${PAYMENTS}?${query}`);
      expect([query, page.status, listed(page)]).toEqual([query, 200, ids]);
      expect(lastCost().d1_trips).toBeLessThanOrEqual(2);
    }
    const filled = await visitor.open(`${PAYMENTS}?reference=ref-1&status=pending&metadata=shop%3Da`);
    expect(filled.html).toMatch(/name="reference"[^>]* value="ref-1"/);
    expect(filled.html).toMatch(/value="pending" checked/);
    expect(filled.html).toMatch(/<details open[^>]*><summary>More filters/);
  });

  it("says what none matches, and refuses a filter in the API's words", async () => {
    const { visitor, api } = await aVisitor();
    await api.create(ORDER);
    const none = await visitor.open(`${PAYMENTS}?reference=nothing`);
    expect(none.text).toContain("No payment matches these filters");
    expect(linkTo(none, "Clear all filters")).toBe(PAYMENTS);
    const refused = await visitor.open(`${PAYMENTS}?amount_min=5`);
    expect([refused.status, refused.text.includes("Required with amount_min")]).toEqual([422, true]);
  });

  it("pages through 10,000 payments in both directions, each page as small as the first", async () => {
    const { visitor, id } = await aVisitor();
    for (let n = 0; n < 10; n++) {
      await seedPayments(
        id,
        Array.from({ length: 1_000 }, (_, m) => ({ created_at: 1 + n * 1_000 + m })),
      );
    }
    const first = await visitor.open(PAYMENTS);
    expect(listed(first)).toHaveLength(20);
    expect(linkTo(first, "Newer")).toBeNull();
    const second = await visitor.open(linkTo(first, "Older") ?? "");
    const back = await visitor.open(linkTo(second, "Newer") ?? "");
    expect(listed(back)).toEqual(listed(first));
    expect(linkTo(back, "Newer") === null || listed(await visitor.open(linkTo(back, "Newer") ?? "")).length === 0).toBe(
      true,
    );
    const large = await visitor.open(`${PAYMENTS}?limit=100&status=pending`);
    const cost = lastCost();
    expect(listed(large)).toHaveLength(100);
    expect(cost.d1_trips).toBeLessThanOrEqual(2);
    expect(cost.d1_rows_read).toBeLessThanOrEqual(2_500);
    expect(new TextEncoder().encode(large.html).byteLength).toBeLessThanOrEqual(120_000);
    // The filter finds nothing in what one page looks at, and leads further.
    const none = await visitor.open(`${PAYMENTS}?status=refunded`);
    expect([listed(none), none.text.includes("None so far")]).toEqual([[], true]);
    expect(linkTo(none, "Look further")).toMatch(/status=refunded&cursor=/);
  }, 60_000);
});

describe("the search", () => {
  const found = async (visitor: Visitor, text: string) =>
    visitor.open(`${PAYMENTS}?${new URLSearchParams({ q: text })}`);

  it("leads to the one payment that a text names", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create({ reference: "ref: 1", amount: 1, metadata: { cart: "c-7" } })).body;
    await api.create({ reference: "other", amount: 1 });
    for (const text of [
      `${id}`,
      ` #${id} `,
      `evt_${id}_1`,
      `re_${id}_2`,
      "ref: 1",
      "cart:c-7",
      "cart=c-7",
      "cart: c-7",
    ]) {
      const { location } = await found(visitor, text);
      expect([text, location]).toEqual([text, `${PAYMENTS}/${id}`]);
      expect(lastCost().d1_trips).toBeLessThanOrEqual(2);
    }
  });

  it("leads to the payment that a provider calls so", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create({ reference: "a", amount: 1, currency: "USD", provider: "sandbox" })).body;
    const body = { payment_method: "test_ok" };
    const paid = await api.request("POST", `/api/v1/payments/${id}/confirm`, { body });
    expect((await found(visitor, `${paid.body.provider_reference}`)).location).toBe(`${PAYMENTS}/${id}`);
    expect((await found(visitor, "spay_000000")).location).toBeNull();
  });

  it("shows all that a text may mean, by what it was found, and where the rest is", async () => {
    const { visitor, api } = await aVisitor();
    const { id } = (await api.create({ reference: "1", amount: 1 })).body;
    for (let n = 0; n < 21; n++) await api.create({ order_id: id, amount: 1 });
    const page = await found(visitor, String(id));
    expect(page.text).toContain(`Found by payment ${id}`);
    expect(page.text).toContain(`Found by order ${id}`);
    expect(linkTo(page, "All of these")).toBe(`${PAYMENTS}?order_id=${id}`);
    expect(listed(page)).toHaveLength(21);
  });

  it.each([
    ["", 200],
    [HOSTILE, 200],
    ["9".repeat(16), 200],
    ["x".repeat(600), 200],
    ["a:b\0", 200],
    ["#evt_1_1", 200],
  ] as const)("says that nothing is %j", async (text, status) => {
    const { visitor, api } = await aVisitor();
    await api.create(ORDER);
    const page = await found(visitor, text);
    expect(page.status).toBe(status);
    expect(page.text.includes("Nothing found")).toBe(text !== "");
    expect(page.html).not.toContain("<script>alert");
  });

  it("finds nobody else's", async () => {
    const [{ visitor }, theirs] = [await aVisitor(), await newMerchant()];
    const { id } = (await theirs.api.create({ reference: "theirs", amount: 1 })).body;
    for (const text of [String(id), "theirs"]) expect((await found(visitor, text)).text).toContain("Nothing found");
  });
});

describe("the file", () => {
  /** A file, to the byte: what reads a text leaves out the byte order mark. */
  async function download(visitor: Visitor, path: string) {
    const headers = { Cookie: visitor.cookie ?? "" };
    const response = await exports.default.fetch(new Request(`http://localhost${path}`, { headers }));
    expect(response.status).toBe(200);
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await response.arrayBuffer());
    return { headers: response.headers, text };
  }

  it("is the API's, with what Excel needs for its accents, and the filters of the page", async () => {
    const { visitor, api } = await aVisitor();
    await api.create({ reference: "Müller é", amount: 1 });
    await api.create({ reference: "other", amount: 1 });
    const page = await visitor.open(`${PAYMENTS}?reference=${encodeURIComponent("Müller é")}`);
    const path = linkTo(page, "Download as CSV") ?? "";
    const file = await download(visitor, path);
    expect(file.headers.get("Content-Type")).toBe("text/csv; charset=utf-8");
    expect(file.headers.get("Content-Disposition")).toBe('attachment; filename="payments.csv"');
    const lines = file.text.split("\r\n");
    expect(file.text.codePointAt(0)).toBe(0xfeff);
    expect([lines.length, lines[1]?.includes(",Müller é,")]).toEqual([3, true]);
  });

  it("says in its name and its last line that it is a part, and where the next one is", async () => {
    const { visitor, id } = await aVisitor();
    for (let n = 0; n < 51; n++) {
      await seedPayments(
        id,
        Array.from({ length: 1_000 }, (_, m) => ({ created_at: 1 + n * 1_000 + m })),
      );
    }
    const first = await download(visitor, `${PAYMENTS}.csv?currency=USD`);
    expect(first.headers.get("Content-Disposition")).toBe('attachment; filename="payments-part-1.csv"');
    const lines = first.text.split("\r\n");
    const [, next = ""] = /^More payments: http:\/\/localhost(.*)$/.exec(lines.at(-2) ?? "") ?? [];
    expect(next).toMatch(/^\/dashboard\/payments\.csv\?currency=USD&cursor=[\w-]+&part=2$/);
    const second = await download(visitor, next);
    expect(second.headers.get("Content-Disposition")).toBe('attachment; filename="payments-part-2.csv"');
    const idsOf = (text: string) => text.match(/^\d+(?=,)/gm) ?? [];
    const ids = [...idsOf(first.text), ...idsOf(second.text)];
    expect([ids.length, new Set(ids).size, second.text.includes("More payments")]).toEqual([51_000, 51_000, false]);
  }, 120_000);

  it("refuses what the API refuses, on a page", async () => {
    const { visitor } = await aVisitor();
    const refused = await visitor.open(`${PAYMENTS}.csv?status=paid`);
    expect([refused.status, refused.headers.get("Content-Type")]).toEqual([422, "text/html; charset=utf-8"]);
  });
});

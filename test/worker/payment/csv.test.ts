import { describe, expect, it } from "vitest";
import { client, ORDER } from "../client";
import { exported, HEAD, parse } from "../payment-file";
import { list, newMerchant, pathOf, type Query } from "../payment-list";
import { seedPayments } from "../payment-seed";

describe("the file", () => {
  it("has a line of names, then each payment as the list shows it", async () => {
    const { api } = await newMerchant();
    await api.create({ order_id: 1, amount: 0.5, currency: "EUR" });
    const { body } = await api.create({ order_id: 2, amount: 5000, currency: "JPY", metadata: { cart: "c-7" } });
    await api.run(body.id, "confirm");
    const [head, ...records] = parse(await exported(api));
    expect(head?.join(",")).toBe(HEAD);
    const { data } = await list(api);
    expect(records).toEqual(
      data.map(({ metadata, ...shown }) => [
        ...Object.values(shown).map((value) => (value === null ? "" : String(value))),
        JSON.stringify(metadata),
      ]),
    );
  });

  it("is no more than the names where nothing matches", async () => {
    const { api } = await newMerchant();
    expect(await exported(api)).toBe(`${HEAD}\r\n`);
    expect(await exported(api, { limit: 5 })).toBe(`${HEAD}\r\n`);
  });

  it("keeps whatever is in metadata", async () => {
    const { api } = await newMerchant();
    const metadata = { 'a "quote"': 'x,y\r\n"z"', "käse 🧀": "=1+1", plain: "", '","': "\n" };
    await api.create({ ...ORDER, metadata });
    const [, record] = parse(await exported(api));
    expect(JSON.parse(record?.at(-1) ?? "")).toEqual(metadata);
    // What a spreadsheet takes for a formula begins with one of these.
    expect(record?.filter((field) => /^[=+\-@\t\r]/.test(field))).toEqual([]);
  });

  it.each([";=1+1", "a;@SUM(A1)", ";+1;-1", 'x";=1', "; =1"])(
    "has no cell with a formula where semicolons separate: %j",
    async (text) => {
      const { api } = await newMerchant();
      const metadata = { cart: text, [`name${text.replaceAll("=", "+")}`]: "" };
      await api.create({ ...ORDER, metadata });
      const file = await exported(api);
      const cells = file.split(/[;\r\n]/).map((cell) => cell.replace(/^["\s]+/, ""));
      expect(cells.filter((cell) => /^[=+\-@]/.test(cell))).toEqual([]);
      expect(JSON.parse(parse(file)[1]?.at(-1) ?? "")).toEqual(metadata);
    },
  );

  it("answers the same question as the list", async () => {
    const { api } = await newMerchant();
    for (const order_id of [1, 2, 1]) await api.create({ ...ORDER, order_id });
    const ids = parse(await exported(api, { order_id: 1, status: "pending" }))
      .slice(1)
      .map(([id]) => Number(id));
    expect(ids).toEqual((await list(api, { order_id: 1 })).data.map(({ id }) => id));
  });

  it("has one page with limit or a cursor back, and the links on", async () => {
    const { api } = await newMerchant();
    for (let n = 0; n < 3; n++) await api.create(ORDER);
    const { data, next_cursor, previous_cursor } = await list(api, { limit: 2 });
    const ids = async (query: Query) =>
      parse(await exported(api, query))
        .slice(1)
        .map(([id]) => Number(id));
    const [c, b, a] = [data[0]?.id, data[1]?.id, (data[1]?.id ?? 0) - 1];
    expect(await ids({ limit: 2 })).toEqual([c, b]);
    expect(await ids({ cursor: next_cursor ?? "" })).toEqual([a]);
    expect(await ids({ cursor: previous_cursor ?? "" })).toEqual([]);
    const { headers } = await api.request("GET", pathOf({ limit: 2 }), { headers: { Accept: "text/csv" } });
    expect(headers.get("Link")).toContain(`cursor=${next_cursor}>; rel="next"`);
    expect(headers.get("Next-Cursor")).toBe(next_cursor);
  });

  it("leads on by Next-Cursor under a filter, over pages without a payment", async () => {
    const { id, api } = await newMerchant();
    const others = (count: number) => Array.from({ length: count }, () => ({ created_at: 1 }));
    const failed = { created_at: 1, status: "failed" } as const;
    // A page of one looks at ten: the first is empty, the second ends where it has looked to, the third with its payment.
    const stored = await seedPayments(id, [failed, failed, ...others(9), failed, ...others(10)]);
    const files: number[][] = [];
    for (let cursor: string | undefined = "first"; cursor !== undefined; ) {
      const query: Query = { status: "failed", limit: 1, cursor: cursor === "first" ? undefined : cursor };
      const { headers, body } = await api.request("GET", pathOf(query), { headers: { Accept: "text/csv" } });
      files.push(
        parse(String(body))
          .slice(1)
          .map(([payment]) => Number(payment)),
      );
      expect(files.length).toBeLessThan(9);
      cursor = headers.get("Next-Cursor") ?? undefined;
    }
    const [oldest, second] = stored;
    expect(files).toEqual([[], [stored[11]?.id], [second?.id], [oldest?.id]]);
  });

  it("is refused like the list, as a problem", async () => {
    const { status, headers } = await client().request("GET", pathOf({ limit: 0 }), {
      headers: { Accept: "text/csv" },
    });
    expect([status, headers.get("Content-Type")]).toEqual([422, "application/problem+json"]);
  });
});

describe("Accept", () => {
  it.each([
    "text/csv",
    "TEXT/CSV",
    "text/csv; charset=utf-8",
    "text/csv;q=0.9, application/json;q=0.5",
    "application/json;q=0.1,text/csv",
    "text/csv, */*;q=0.1",
    "text/csv, */*",
    "text/*",
    "text/html, text/csv",
    "application/json;q=0, text/csv;q=0.1",
  ])("%j gives CSV", async (accept) => {
    const { api } = await newMerchant();
    await exported(api, { limit: 1 }, accept);
  });

  it.each([
    "application/json",
    "*/*",
    "",
    "application/json, text/csv;q=0.5",
    "application/json, text/csv",
    "text/csv;q=0",
    "text/csv;q=0.0, */*",
    "text/csv;q=0.2, application/json;q=0.3",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/csvx",
    "application/text/csv",
    "image/png",
    ",;=",
  ])("%j gives JSON", async (accept) => {
    const { headers } = await client().request("GET", pathOf({ limit: 1 }), { headers: { Accept: accept } });
    expect(headers.get("Content-Type")).toBe("application/json");
  });
});

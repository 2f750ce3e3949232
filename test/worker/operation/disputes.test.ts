/** The list of disputes: filters, and the order in which they are to be answered. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import type { DisputeResponse } from "../../../src/provider/dispute";
import { SCOPE_NAMES } from "../../../src/scopes";
import { type Client, client, newKey, newMerchant, ORDER } from "../client";

interface Page {
  data: DisputeResponse[];
  has_more: boolean;
  next_cursor: string | null;
  previous_cursor: string | null;
  errors?: object[];
}

/** The disputes of a shop: name, state, deadline, and when it was opened. */
const DISPUTES: readonly (readonly [name: string, state: string, dueAt: number | null, createdAt: number])[] = [
  ["late", "open", 9_000, 1_000],
  ["won", "won", 1_000, 2_000],
  ["urgent", "open", 4_000, 3_000],
  ["asked", "inquiry", 5_000, 4_000],
  ["whenever", "open", null, 5_000],
  ["lost", "lost", 3_000, 6_000],
  ["also urgent", "inquiry", 4_000, 7_000],
];

let api: Client;
let paymentId: number;

beforeAll(async () => {
  const merchantId = await newMerchant();
  api = client(undefined, { key: await newKey(SCOPE_NAMES, merchantId) });
  paymentId = (await api.create(ORDER)).body.id;
  const insert = env.DB.prepare(
    `INSERT INTO disputes (merchant_id, payment_id, reference, amount_minor, state, due_at, created_at, updated_at)
     VALUES (?, ?, ?, 100, ?, ?, ?, ?)`,
  );
  await env.DB.batch(
    DISPUTES.map(([name, state, dueAt, createdAt]) =>
      insert.bind(merchantId, paymentId, name, state, dueAt, createdAt, createdAt),
    ),
  );
});

const list = (query = "") => api.request<Page>("GET", `/api/v1/disputes${query}`);
const namesOf = async (query: string) => (await list(query)).body.data.map(({ reference }) => reference);

/** The pages from the first one on, as names. */
async function walk(query: string): Promise<string[][]> {
  const pages: string[][] = [];
  for (let cursor = ""; ; ) {
    const { body } = await list(`${query}${cursor}`);
    pages.push(body.data.map(({ reference }) => reference));
    if (body.next_cursor === null) return pages;
    cursor = `&cursor=${body.next_cursor}`;
  }
}

describe("disputes", () => {
  it("are listed newest first", async () => {
    const newest = ["also urgent", "lost", "whenever", "asked", "urgent", "won", "late"];
    expect(await namesOf("")).toEqual(newest);
    expect(await namesOf("?sort=created_at")).toEqual(newest);
    expect((await walk("?limit=3")).flat()).toEqual(newest);
  });

  it("are filtered by their state, and by their payment", async () => {
    expect(await namesOf("?state=open")).toEqual(["whenever", "urgent", "late"]);
    expect(await namesOf("?state=won&state=lost")).toEqual(["lost", "won"]);
    expect(await namesOf(`?state=inquiry&payment_id=${paymentId}`)).toEqual(["also urgent", "asked"]);
    expect(await namesOf(`?payment_id=${paymentId + 1}`)).toEqual([]);
  });

  it("are listed by when they must be answered, those that may be", async () => {
    const urgent = ["also urgent", "urgent", "asked", "late", "whenever"];
    expect(await namesOf("?sort=due_at")).toEqual(urgent);
    expect(await walk("?sort=due_at&limit=2")).toEqual([urgent.slice(0, 2), urgent.slice(2, 4), urgent.slice(4)]);
    expect(await namesOf("?sort=due_at&state=open")).toEqual(["urgent", "late", "whenever"]);
    const second = (await list(`?sort=due_at&limit=2&cursor=${(await list("?sort=due_at&limit=2")).body.next_cursor}`))
      .body;
    expect(await namesOf(`?sort=due_at&limit=2&cursor=${second.previous_cursor}`)).toEqual(urgent.slice(0, 2));
  });

  it.each([
    ["sort=deadline", "sort"],
    ["state=closed", "state"],
    ["sort=due_at&state=won", "state"],
    ["sort=due_at&state=open,lost", "state"],
  ])("are not listed by ?%s", async (query, parameter) => {
    const { status, body } = await list(`?${query}`);
    expect([status, body.errors]).toMatchObject([422, [{ parameter }]]);
  });

  it("take no cursor of the other order", async () => {
    const [byTime, byDeadline] = [await list("?limit=1"), await list("?limit=1&sort=due_at")];
    for (const query of [`?sort=due_at&cursor=${byTime.body.next_cursor}`, `?cursor=${byDeadline.body.next_cursor}`]) {
      const { status, body } = await list(query);
      expect([status, body.errors]).toMatchObject([422, [{ parameter: "cursor" }]]);
    }
  });
});

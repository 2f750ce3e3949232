import { env } from "cloudflare:workers";
import { expect } from "vitest";
import type { z } from "zod";
import { pageSchema } from "../../src/http/pages";
import { PaymentSchema } from "../../src/payment/routes/payment-schemas";
import { type Answer, type Client, client, newKey } from "./client";

export const PAYMENTS = "/api/v1/payments";
const PageSchema = pageSchema(PaymentSchema);
export type Page = z.output<typeof PageSchema>;
export type Shown = z.output<typeof PaymentSchema>;

/** Parameters of a question: a list is given as often as it has values. */
export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

export function pathOf(query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((each) => [name, String(each)]),
  );
  return pairs.length > 0 ? `${PAYMENTS}?${new URLSearchParams(pairs)}` : PAYMENTS;
}

/** A client of a merchant of its own, whose list begins empty. */
export async function newMerchant(): Promise<{ id: number; api: Client; key: string }> {
  const { status, body } = await client().request("POST", "/api/v1/merchants", {
    body: { name: "of one test" },
    headers: { Authorization: `Bearer ${env.ADMIN_KEY}` },
  });
  expect(status).toBe(201);
  const key = await newKey(undefined, body.id);
  return { id: body.id, key, api: client(undefined, { key }) };
}

export function readPage({ status, body }: Answer): Page {
  expect(status, JSON.stringify(body)).toBe(200);
  return PageSchema.parse(body);
}

export async function list(api: Client, query: Query = {}): Promise<Page> {
  return readPage(await api.request("GET", pathOf(query)));
}

/** A walk that comes to where it was would never end. */
function expectNew(asked: Set<unknown>, cursor: unknown): void {
  expect(asked, "cursors that were followed").not.toContain(cursor);
  asked.add(cursor);
}

/** Every page from a cursor on, or from the start, to where no cursor leads on. */
export async function walk(api: Client, query: Query, between = async (_: Page) => {}): Promise<Page[]> {
  const pages: Page[] = [];
  const asked = new Set<unknown>();
  for (let cursor = query.cursor; ; ) {
    expectNew(asked, cursor);
    const page = await list(api, { ...query, cursor });
    pages.push(page);
    if (page.next_cursor === null) return pages;
    await between(page);
    cursor = page.next_cursor;
  }
}

/** Every page from a cursor back to the newest payment: the last one is empty, and its cursor is its own. */
export async function walkBack(api: Client, query: Query, from: string): Promise<Page[]> {
  const pages: Page[] = [];
  const asked = new Set<unknown>();
  for (let cursor = from; ; ) {
    expectNew(asked, cursor);
    const page = await list(api, { ...query, cursor });
    if (page.data.length === 0 && page.previous_cursor === cursor) return pages;
    pages.push(page);
    cursor = page.previous_cursor ?? cursor;
  }
}

export const idsOf = (pages: readonly Page[]): number[] => pages.flatMap(({ data }) => data.map(({ id }) => id));

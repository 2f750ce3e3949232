import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { pageOf, pageParameters, toPageResponse, type Window, windowOf } from "../../../src/http/pages";

interface Row {
  at: number;
  id: number;
}

const positionOf = ({ at, id }: Row) => ({ at, id });
const LINKS = /^<([^>]*)>; rel="first"(?:, <([^>]*)>; rel="prev")?(?:, <([^>]*)>; rel="next")?$/;

/** A store of rows in memory, as the page's window asks for them. */
function find(rows: readonly Row[], { position, backward, limit }: Window): Row[] {
  const isNewer = (row: Row) => position !== null && (row.at - position.at || row.id - Number(position.id)) > 0;
  const isIt = (row: Row) => row.at === position?.at && row.id === position.id;
  const beyond = position === null ? [...rows] : rows.filter((row) => !isIt(row) && isNewer(row) === backward);
  beyond.sort((a, b) => (b.at - a.at || b.id - a.id) * (backward ? -1 : 1));
  return beyond.slice(0, limit + 1);
}

describe("pages", () => {
  const rows = fc.uniqueArray(fc.record({ at: fc.nat({ max: 5 }), id: fc.integer({ min: 1, max: 50 }) }), {
    selector: ({ id }) => id,
    maxLength: 20,
  });

  it("give every row once, newest first, in both directions", () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 6 }), (all, limit) => {
        const newestFirst = all.toSorted((a, b) => b.at - a.at || b.id - a.id);
        const forward: Row[] = [];
        let window: Window | null = { position: null, backward: false, limit };
        let last = pageOf(window, find(all, window), positionOf);
        while (window !== null) {
          last = pageOf(window, find(all, window), positionOf);
          expect(last.rows.length).toBeLessThanOrEqual(limit);
          forward.push(...last.rows);
          window = last.older && { position: last.older, backward: false, limit };
        }
        expect(forward).toEqual(newestFirst);

        const back = [...last.rows];
        for (let position = last.newer; position !== null; ) {
          const page = pageOf(
            { position, backward: true, limit },
            find(all, { position, backward: true, limit }),
            positionOf,
          );
          if (page.rows.length === 0) break;
          back.unshift(...page.rows);
          position = page.newer;
        }
        expect(back).toEqual(newestFirst);
      }),
    );
  });
});

describe("a page of what was found", () => {
  const rows = [3, 2, 1].map((n) => ({ at: n, id: n }));
  const of = (found: Row[], backward: boolean, position: Row | null = null) =>
    pageOf({ position, backward, limit: 2 }, found, positionOf);

  it("leads to older ones when more were found than asked for", () => {
    expect(of(rows, false)).toEqual({ rows: rows.slice(0, 2), older: rows[1], newer: rows[0] });
    expect(of(rows.slice(0, 2), false)).toEqual({ rows: rows.slice(0, 2), older: null, newer: rows[0] });
  });

  it("leads back to older ones when it was come to from them", () => {
    const [newest, middle, oldest = { at: 0, id: 0 }] = rows;
    expect(
      of(
        [middle, newest].filter((row) => row !== undefined),
        true,
        oldest,
      ),
    ).toEqual({
      rows: [newest, middle],
      older: middle,
      newer: newest,
    });
  });

  it("of nothing leads nowhere, or to what may yet come", () => {
    const from = { at: 1, id: 1 };
    expect(of([], false)).toEqual({ rows: [], older: null, newer: null });
    expect(of([], false, from)).toEqual({ rows: [], older: null, newer: null });
    expect(of([], true, from)).toEqual({ rows: [], older: null, newer: from });
  });
});

describe("a limit", () => {
  const read = (limit?: string) => z.strictObject(pageParameters("list")).safeParse({ limit });

  // A hundred rows are an answer of some 40 KB.
  it.each([
    ["1", 1],
    ["20", 20],
    ["99", 99],
    ["100", 100],
  ])("of %s is read", (text, limit) => {
    expect(read(text).data).toEqual({ limit });
  });

  it("that is not said is 20", () => {
    expect(windowOf(read().data ?? {})).toEqual({ limit: 20, position: null, backward: false });
  });

  it.each([
    "0",
    "101",
    "999",
    "1000",
    "0100",
    "-1",
    "+1",
    "1.0",
    "1e1",
    "0x1",
    "",
    " 1",
    "1 ",
    "1x",
    "x1",
    "1 1",
    "１",
  ])("of %j is refused", (text) => {
    expect(read(text).error?.issues.map(({ message }) => message)).toEqual(["Must be an integer from 1 to 100"]);
  });
});

describe("cursors", () => {
  const query = (id: "number" | "string") => z.strictObject(pageParameters("list", id));
  const row = { at: 1_768_582_661_614, id: 7 };
  const page = { rows: [row], older: row, newer: { at: row.at, id: "4fT9bQ2sXk7L" } };
  const { body, headers } = toPageResponse("http://localhost/list?limit=1&cursor=x&a=b%3Ec", page, ({ id }) => id);

  it("lead to the window that they were made of", () => {
    expect(windowOf(query("number").parse({ cursor: body.next_cursor }))).toEqual({
      position: row,
      backward: false,
      limit: 20,
    });
    expect(windowOf(query("string").parse({ cursor: body.previous_cursor, limit: "100" }))).toEqual({
      position: { at: row.at, id: "4fT9bQ2sXk7L" },
      backward: true,
      limit: 100,
    });
  });

  it("have ids of their list's kind, which are numbers unless it is said", () => {
    const byDefault = z.strictObject(pageParameters("list"));
    expect(byDefault.parse({ cursor: body.next_cursor })).toEqual({
      cursor: { list: "list", direction: "older", position: row },
    });
    for (const [schema, cursor] of [
      [byDefault, body.previous_cursor],
      [query("number"), body.previous_cursor],
      [query("string"), body.next_cursor],
    ] as const) {
      expect(schema.safeParse({ cursor }).success).toBe(false);
    }
  });

  it("are of letters, digits, - and _, whatever the position", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (at, id) => {
        const older = { at, id };
        const { next_cursor } = toPageResponse(
          "http://localhost/list/",
          { rows: [older], older, newer: null },
          () => null,
        ).body;
        expect(next_cursor).toMatch(/^[\w-]+$/);
        expect(windowOf(query("number").parse({ cursor: next_cursor })).position).toEqual(older);
      }),
    );
  });

  it("are refused when they are not as they were, in any character", () => {
    const cursor = body.next_cursor ?? "";
    // Mostly characters that a cursor has: others are refused before anything is read.
    const characters = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."MTIzabWxyw09_-"), minLength: 1, maxLength: 2 }),
      fc.string({ minLength: 1, maxLength: 2 }),
    );
    let accepted = 0;
    fc.assert(
      fc.property(fc.nat({ max: cursor.length - 1 }), characters, (at, text) => {
        // One that is changed is refused, or is the cursor of another place, written as that is.
        const tampered = cursor.slice(0, at) + text + cursor.slice(at + 1);
        const read = query("number").safeParse({ cursor: tampered });
        if (!read.success) return;
        accepted++;
        const { position } = windowOf(read.data);
        const { next_cursor, previous_cursor } = toPageResponse(
          "http://localhost/list/",
          { rows: [], older: position, newer: position },
          () => null,
        ).body;
        expect([next_cursor, previous_cursor]).toContain(tampered);
      }),
      { numRuns: 2_000 },
    );
    expect(accepted).toBeGreaterThan(10);
    for (let length = 0; length < cursor.length; length++) {
      expect(query("number").safeParse({ cursor: cursor.slice(0, length) }).success).toBe(false);
    }
  });

  it("of another list, or with ids of another kind, are refused", () => {
    const other = z.strictObject(pageParameters("others"));
    expect(other.safeParse({ cursor: body.next_cursor }).success).toBe(false);
    expect(query("string").safeParse({ cursor: body.next_cursor }).success).toBe(false);
    expect(query("number").safeParse({ cursor: body.previous_cursor }).success).toBe(false);
  });

  it("stand in the links, with the question that they are of", () => {
    expect(LINKS.exec(headers.Link ?? "")?.slice(1)).toEqual([
      "/list?limit=1&a=b%3Ec",
      `/list?limit=1&a=b%3Ec&cursor=${body.previous_cursor}`,
      `/list?limit=1&a=b%3Ec&cursor=${body.next_cursor}`,
    ]);
  });

  it("stand in no links longer than 1 KB, for clients have limits for headers", () => {
    const linkOf = (a: string) =>
      toPageResponse(`http://localhost/list?a=${a}`, { rows: [], older: null, newer: null }, () => null).headers.Link;
    const shortest = linkOf("")?.length ?? 0;
    expect(linkOf("a".repeat(1_024 - shortest))).toHaveLength(1_024);
    expect(linkOf("a".repeat(1_025 - shortest))).toBeUndefined();
  });

  it("are refused as what they are not", () => {
    const { error } = query("number").safeParse({ cursor: "x" });
    expect(error?.issues.map(({ code, path, message }) => [code, path, message])).toEqual([
      ["custom", ["cursor"], "Must be a cursor from an earlier answer, as it was"],
    ]);
  });

  it("are null where a list ends, and has_more says so", () => {
    expect(body.has_more).toBe(true);
    const end = toPageResponse("http://localhost/list", { rows: [], older: null, newer: null }, () => null);
    expect(end.body).toEqual({ data: [], has_more: false, next_cursor: null, previous_cursor: null });
    expect(end.headers.Link).toBe('</list>; rel="first"');
  });
});

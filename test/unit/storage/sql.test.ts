import { expect, it } from "vitest";
import { columnsOf, join, raw, sql } from "../../../src/storage/sql";

it("binds values in the order of their places, and inserts pieces with theirs", () => {
  const mine = sql`merchant_id = ${1}`;
  expect(sql`SELECT * FROM payments WHERE id = ${7} AND ${mine} AND key IS ${null} AND status = ${"x"}`).toEqual({
    text: "SELECT * FROM payments WHERE id = ? AND merchant_id = ? AND key IS ? AND status = ?",
    values: [7, 1, null, "x"],
  });
});

it("never puts a value into the text", () => {
  expect(sql`SELECT ${"'; DROP TABLE payments; --"}`).toEqual({
    text: "SELECT ?",
    values: ["'; DROP TABLE payments; --"],
  });
});

it("joins pieces", () => {
  expect(join([sql`a = ${1}`, raw("b IS NULL"), sql`c = ${2}`], " AND ")).toEqual({
    text: "a = ? AND b IS NULL AND c = ?",
    values: [1, 2],
  });
  expect(join([], ", ")).toEqual({ text: "", values: [] });
});

it("lists the columns of a row", () => {
  expect(columnsOf<{ id: number; name: string }>({ id: true, name: true }, "t").text).toBe("t.id, t.name");
  expect(columnsOf<{ id: number }>({ id: true }).text).toBe("id");
});

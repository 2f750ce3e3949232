import { describe, expect, it } from "vitest";
import { capacityOf, isDatabaseFull, readMaxBytes } from "../../../src/storage/capacity";

describe("DATABASE_MAX_BYTES", () => {
  it.each(["10000", "10000000000", "999999999999999"])("may be %s", (text) => {
    expect(readMaxBytes(text)).toBe(Number(text));
  });

  it.each([
    undefined,
    "",
    "9999",
    "1000000000000000",
    "010000",
    "1e10",
    "-10000",
    "10000.5",
    " 10000",
    "10000 ",
    "10000x",
  ])("is no number of bytes: %j", (text) => {
    expect(readMaxBytes(text)).toBeNull();
  });
});

describe("the database", () => {
  it.each([
    [0, "enough"],
    [79_999, "enough"],
    [80_000, "low"],
    [94_999, "low"],
    [95_000, "used_up"],
    [100_000, "used_up"],
    [250_000, "used_up"],
  ])("of 100,000 bytes has, at %s, %s", (bytes, capacity) => {
    expect(capacityOf(bytes, "100000")).toBe(capacity);
  });

  it("has enough while nobody knows its size", () => {
    expect(capacityOf(null, "100000")).toBe("enough");
  });

  it.each([
    "D1_ERROR: database or disk is full: SQLITE_FULL",
    "D1_ERROR: database or disk is full",
    "SQLITE_FULL",
    "D1_ERROR: Exceeded maximum DB size",
  ])("is full: %s", (message) => {
    expect(isDatabaseFull(new Error(message))).toBe(true);
  });

  it.each([new Error("D1_ERROR: no such table: full: SQLITE_ERROR"), new Error(""), null, undefined])(
    "is not full: %s",
    (cause) => {
      expect(isDatabaseFull(cause)).toBe(false);
    },
  );
});

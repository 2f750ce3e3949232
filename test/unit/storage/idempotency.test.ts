import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fingerprint, IDEMPOTENCY_KEY_PATTERN, readIdempotencyKey } from "../../../src/storage/idempotency";

const key = (value: string) => {
  const read = readIdempotencyKey(value);
  return read.ok ? read.key : `refused: ${read.detail}`;
};

describe("readIdempotencyKey", () => {
  it.each([
    ["abc", "abc"],
    ['"abc"', "abc"],
    ['"a\\"b\\\\c"', 'a"b\\c'],
    ["a,b;c=d", "a,b;c=d"],
    ['a"b', 'a"b'],
    ["!", "!"],
    ["~", "~"],
    ["k".repeat(255), "k".repeat(255)],
    [`"${"k".repeat(255)}"`, "k".repeat(255)],
  ])("reads %.20s", (value, expected) => {
    expect(key(value)).toBe(expected);
  });

  it.each([
    ["", "Must not be empty"],
    ['""', "Must not be empty"],
    ["k".repeat(256), "Must be at most 255 characters long"],
    [`"${"k".repeat(256)}"`, "Must be at most 255 characters long"],
    ["a b", "Must be one value of visible ASCII characters, without spaces"],
    ["a, b", "Must be one value of visible ASCII characters, without spaces"],
    ['"a b"', "Must be one value of visible ASCII characters, without spaces"],
    ["clé", "Must be one value of visible ASCII characters, without spaces"],
    ["a\tb", "Must be one value of visible ASCII characters, without spaces"],
    ['"a', "Must be one complete quoted string, or have no quote in front"],
    ['"a", "b"', "Must be one complete quoted string, or have no quote in front"],
    ['"a";p=1', "Must be one complete quoted string, or have no quote in front"],
    ['"a\\b"', "Must be one complete quoted string, or have no quote in front"],
  ])("refuses %.20s", (value, detail) => {
    expect(key(value)).toBe(`refused: ${detail}`);
  });
});

it("the document's pattern has the values that are keys, and no others", () => {
  const documented = new RegExp(IDEMPOTENCY_KEY_PATTERN);
  const characters = fc.string({
    unit: fc.constantFrom("a", "~", "!", " ", '"', "\\", '\\"', "\\\\", "é", "\t"),
    maxLength: 6,
  });
  const lengths = fc.integer({ min: 0, max: 260 }).map((length) => "k".repeat(length));
  const text = fc.tuple(characters, lengths, characters).map((parts) => parts.join(""));
  const value = fc.oneof(
    text,
    text.map((quoted) => `"${quoted}"`),
  );
  const examples = ["", "k", ...[254, 255, 256, 257, 258].map((length) => "k".repeat(length))];
  fc.assert(
    fc.property(value, (one) => {
      expect(documented.test(one), one).toBe(readIdempotencyKey(one).ok);
    }),
    { numRuns: 1_000, examples: examples.flatMap((one): [string][] => [[one], [`"${one}"`]]) },
  );
});

describe("fingerprint", () => {
  it("is SHA-256 in hex, and never changes: stored keys depend on it", async () => {
    const body = { order_id: 42, amount_minor: 9999, currency: "USD" };
    expect(await fingerprint("create", null, body)).toBe(
      "88226b3c71d5f5b6b3fbdee42edb5ae271f4ca484192c34911a6cf1f870b1426",
    );
  });

  it("does not depend on the order of fields", async () => {
    expect(await fingerprint("create", null, { a: 1, b: 2 })).toBe(await fingerprint("create", null, { b: 2, a: 1 }));
  });

  it("tells operations, payments and bodies apart", async () => {
    const prints = await Promise.all([
      fingerprint("create", null, { a: 1 }),
      fingerprint("create", null, { a: 2 }),
      fingerprint("create", null, { a: "1" }),
      fingerprint("create", null, {}),
      fingerprint("confirm", 1, {}),
      fingerprint("confirm", 2, {}),
      fingerprint("fail", 1, {}),
    ]);
    expect(new Set(prints).size).toBe(prints.length);
  });
});
